"""Find a 3D model in a database from whatever you have of it.

    import dr3d

    mesh = dr3d.load_mesh("part.stl")              # file → Mesh
    pipeline = dr3d.Pipeline.load()                # G and T, as they ship
    pipeline = dr3d.Pipeline.load("work/pipeline")  # or as you trained them
    pipeline.embed([mesh])                         # float32 [1, N, D]
    pipeline.render(mesh)                          # float32 [N, H, W, 4]

    database = dr3d.Database.create("parts.db", pipeline)
    database.update("models/")                     # embeds what is new
    database = dr3d.Database.open("parts.db")
    answer = database.query(mesh, k=10)            # Answer
    answer.prediction                              # label, probability, ...
    answer.matches                                 # rank, model, label, ...
    condition = dr3d.Condition(labels=["bolt"], same_size=0.05)
    database.query(mesh, condition=condition)
    database.add(["new.stl"], label="bolt")
    database.find_duplicates()                     # groups

    client = dr3d.Client("http://127.0.0.1:8000")   # dr3d serve
    client.query("part.stl", k=10)                 # Answer

    views = dr3d.look_at(eye, target, up)           # Views
    camera = dr3d.to_opencv(views, size=64)         # R, t, K
    triangles = dr3d.stack_meshes([mesh], face_count=2048)
    config = dr3d.RenderConfig(size=64, framing="sphere")
    images = dr3d.render(mesh, views, size=(480, 640), background=(1, 1, 1))
    dr3d.save_gif(images, "turn.gif")
    budget = dr3d.fit_budget(triangles, views, config=config)
    layers = dr3d.render_layers(                    # image, depth, normal
        triangles, views, size=64, sigma=0.7, gamma=3e-3, budget=budget)

    locator = dr3d.Locator.load()                  # an object in pictures
    locator.find("part.stl", "bench.jpg")          # box, mask, score; or []
    locator.heat_map("part.jpg", "bench.jpg")      # float32 [H, W]

    config = dr3d.TrainConfig()
    pipeline = dr3d.train(meshes, labels, config=config, workdir="work")

Everything that dr3d raises on purpose is a `Dr3dError`, or a `ValueError`
where an argument breaks a rule. The conventions of cameras, lights and
pictures are on one page: `help("dr3d.camera")`. A name is imported when it is
first used, so `import dr3d` brings neither jax nor scipy.

The import makes JAX keep compiled programs on the disk, in `~/.cache/dr3d` or
the folder that the environment variable `DR3D_CACHE` names, so that the next
process starts fast. `DR3D_CACHE=off` leaves JAX as it is, and a cache that you
have chosen yourself is kept.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from dr3d.runtime.cache import set_cache

if TYPE_CHECKING:
  from dr3d.camera.matrix import (
    OpencvCamera,
    from_opencv,
    from_opengl,
    to_opencv,
    to_opengl,
  )
  from dr3d.camera.pose import (
    bake_framing,
    look_at,
    project_points,
    to_quaternion,
  )
  from dr3d.camera.view import (
    Light,
    Material,
    PointLight,
    Views,
    dodecahedron_views,
    make_views,
    ring_views,
    sphere_views,
  )
  from dr3d.client import Client
  from dr3d.data.folder import ModelFile, find_models
  from dr3d.data.scan import simulate_scan
  from dr3d.database.condition import Condition
  from dr3d.database.file_reader import FileReader
  from dr3d.database.ingest import Report
  from dr3d.database.writer import Database
  from dr3d.error import (
    DatabaseError,
    Dr3dError,
    LabelError,
    MeshError,
    PictureError,
    PipelineError,
    ServiceError,
    TrainingError,
  )
  from dr3d.geometry.regularizer import (
    edge_penalty,
    laplacian_penalty,
    normal_penalty,
  )
  from dr3d.image.cutout import CutOut, cut_out
  from dr3d.locate.locator import Locator
  from dr3d.mesh import Mesh, load_mesh, make_mesh
  from dr3d.nn.encoder import EncoderConfig
  from dr3d.render.animation import save_gif, save_mp4
  from dr3d.render.draw import render
  from dr3d.render.layer import Layers, render_hard, render_layers
  from dr3d.render.raster import Budget, rasterize
  from dr3d.render.scene import (
    fit_in_sphere,
    join_triangles,
    point_triangles,
    transform_triangles,
  )
  from dr3d.render.texture import Texture
  from dr3d.render.textured_file import load_textured
  from dr3d.render.triangle import (
    RenderConfig,
    Triangles,
    fit_budget,
    stack_meshes,
  )
  from dr3d.retrieval.augment import AugmentConfig
  from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
  from dr3d.retrieval.recipe import TrainConfig
  from dr3d.retrieval.state import OptimizerConfig
  from dr3d.retrieval.step import LossConfig
  from dr3d.retrieval.train import train
  from dr3d.runtime.device import share_devices
  from dr3d.runtime.pool import Limits
  from dr3d.search.answer import Answer, Match, Prediction

  __version__: str

__all__ = [
  "Answer",
  "AugmentConfig",
  "Budget",
  "Client",
  "Condition",
  "CutOut",
  "Database",
  "DatabaseError",
  "Dr3dError",
  "EncoderConfig",
  "FileReader",
  "LabelError",
  "Layers",
  "Light",
  "Limits",
  "Locator",
  "LossConfig",
  "Match",
  "Material",
  "Mesh",
  "MeshError",
  "ModelFile",
  "OpencvCamera",
  "OptimizerConfig",
  "PictureError",
  "Pipeline",
  "PipelineConfig",
  "PipelineError",
  "PointLight",
  "Prediction",
  "RenderConfig",
  "Report",
  "ServiceError",
  "Texture",
  "TrainConfig",
  "TrainingError",
  "Triangles",
  "Views",
  "bake_framing",
  "cut_out",
  "dodecahedron_views",
  "edge_penalty",
  "find_models",
  "fit_budget",
  "fit_in_sphere",
  "from_opencv",
  "from_opengl",
  "join_triangles",
  "laplacian_penalty",
  "load_mesh",
  "load_textured",
  "look_at",
  "make_mesh",
  "make_views",
  "normal_penalty",
  "point_triangles",
  "project_points",
  "rasterize",
  "render",
  "render_hard",
  "render_layers",
  "ring_views",
  "save_gif",
  "save_mp4",
  "share_devices",
  "simulate_scan",
  "sphere_views",
  "stack_meshes",
  "to_opencv",
  "to_opengl",
  "to_quaternion",
  "train",
  "transform_triangles",
]

_HOME = {
  "Answer": "search.answer",
  "AugmentConfig": "retrieval.augment",
  "Budget": "render.raster",
  "Client": "client",
  "Condition": "database.condition",
  "CutOut": "image.cutout",
  "Database": "database.writer",
  "DatabaseError": "error",
  "Dr3dError": "error",
  "EncoderConfig": "nn.encoder",
  "FileReader": "database.file_reader",
  "LabelError": "error",
  "Layers": "render.layer",
  "Light": "camera.view",
  "Limits": "runtime.pool",
  "Locator": "locate.locator",
  "LossConfig": "retrieval.step",
  "Match": "search.answer",
  "Material": "camera.view",
  "Mesh": "mesh",
  "MeshError": "error",
  "ModelFile": "data.folder",
  "OpencvCamera": "camera.matrix",
  "OptimizerConfig": "retrieval.state",
  "PictureError": "error",
  "Pipeline": "retrieval.pipeline",
  "PipelineConfig": "retrieval.pipeline",
  "PipelineError": "error",
  "PointLight": "camera.view",
  "Prediction": "search.answer",
  "RenderConfig": "render.triangle",
  "Report": "database.ingest",
  "ServiceError": "error",
  "Texture": "render.texture",
  "TrainConfig": "retrieval.recipe",
  "TrainingError": "error",
  "Triangles": "render.triangle",
  "Views": "camera.view",
  "bake_framing": "camera.pose",
  "cut_out": "image.cutout",
  "dodecahedron_views": "camera.view",
  "edge_penalty": "geometry.regularizer",
  "find_models": "data.folder",
  "fit_budget": "render.triangle",
  "fit_in_sphere": "render.scene",
  "from_opencv": "camera.matrix",
  "from_opengl": "camera.matrix",
  "join_triangles": "render.scene",
  "laplacian_penalty": "geometry.regularizer",
  "load_mesh": "mesh",
  "load_textured": "render.textured_file",
  "look_at": "camera.pose",
  "make_mesh": "mesh",
  "make_views": "camera.view",
  "normal_penalty": "geometry.regularizer",
  "point_triangles": "render.scene",
  "project_points": "camera.pose",
  "rasterize": "render.raster",
  "render": "render.draw",
  "render_hard": "render.layer",
  "render_layers": "render.layer",
  "ring_views": "camera.view",
  "save_gif": "render.animation",
  "save_mp4": "render.animation",
  "share_devices": "runtime.device",
  "simulate_scan": "data.scan",
  "sphere_views": "camera.view",
  "stack_meshes": "render.triangle",
  "to_opencv": "camera.matrix",
  "to_opengl": "camera.matrix",
  "to_quaternion": "camera.pose",
  "train": "retrieval.train",
  "transform_triangles": "render.scene",
}
"""The module in which each name lives."""


if not TYPE_CHECKING:  # a type checker would take any name for granted

  def __getattr__(name: str) -> Any:
    """Imports a name of the API when it is first asked for (PEP 562)."""
    if name == "__version__":
      value: Any = _read_version()
    elif name in _HOME:
      module = importlib.import_module(f"{__name__}.{_HOME[name]}")
      value = getattr(module, name)
    else:
      raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__, "__version__"})


def _read_version() -> str:
  from importlib import metadata

  try:
    return metadata.version(__name__)
  except metadata.PackageNotFoundError:  # run from the sources
    return "unknown"


class _Package(types.ModuleType):
  """Keeps `dr3d.train` and `dr3d.render` the functions that they are.

  The import of a submodule of the same name would put the module there.
  """

  def __setattr__(self, name: str, value: Any) -> None:
    if name not in _HOME or not isinstance(value, types.ModuleType):
      super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
set_cache()
