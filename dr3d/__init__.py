"""Find a 3D model in a database from whatever you have of it.

    import dr3d

    mesh = dr3d.load_mesh("part.stl")              # file → Mesh
    pipeline = dr3d.Pipeline.load("work/pipeline")  # G and T, trained
    pipeline.embed([mesh])                         # float32 [1, N, D]
    pipeline.render(mesh)                          # float32 [N, H, W, 4]

    database = dr3d.Database.create("parts.db", pipeline)
    database.update("models/")                     # embeds what is new
    database = dr3d.Database.open("parts.db")
    answer = database.query(mesh, k=10)            # Answer
    answer.prediction                              # label, confidence, reliable
    answer.matches                                 # rank, model, label, ...

    config = dr3d.TrainConfig()
    pipeline = dr3d.train(meshes, labels, config=config, workdir="work")

Everything that dr3d raises on purpose is a `Dr3dError`, or a `ValueError`
where an argument breaks a rule. A name is imported when it is first used, so
`import dr3d` brings neither jax nor scipy.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from dr3d.embed import EmbedConfig
  from dr3d.error import (
    DatabaseError,
    Dr3dError,
    LabelError,
    MeshError,
    PipelineError,
    TrainingError,
  )
  from dr3d.folder import ModelFile, find_models
  from dr3d.mesh import Mesh, load_mesh, make_mesh
  from dr3d.mesh.scan import imitate_scan
  from dr3d.pipeline import Pipeline, PipelineConfig
  from dr3d.raster import rasterize
  from dr3d.render import RenderConfig, render
  from dr3d.search.database import Database
  from dr3d.search.intake import Report
  from dr3d.search.query import Answer, Match, Prediction
  from dr3d.training.augment import AugmentConfig
  from dr3d.training.state import OptimizerConfig
  from dr3d.training.step import LossConfig
  from dr3d.training.train import TrainConfig, train
  from dr3d.view import Views, make_views

  __version__: str

__all__ = [
  "Answer",
  "AugmentConfig",
  "Database",
  "DatabaseError",
  "Dr3dError",
  "EmbedConfig",
  "LabelError",
  "LossConfig",
  "Match",
  "Mesh",
  "MeshError",
  "ModelFile",
  "OptimizerConfig",
  "Pipeline",
  "PipelineConfig",
  "PipelineError",
  "Prediction",
  "RenderConfig",
  "Report",
  "TrainConfig",
  "TrainingError",
  "Views",
  "find_models",
  "imitate_scan",
  "load_mesh",
  "make_mesh",
  "make_views",
  "rasterize",
  "render",
  "train",
]

_HOME = {
  "Answer": "search.query",
  "AugmentConfig": "training.augment",
  "Database": "search.database",
  "DatabaseError": "error",
  "Dr3dError": "error",
  "EmbedConfig": "embed",
  "LabelError": "error",
  "LossConfig": "training.step",
  "Match": "search.query",
  "Mesh": "mesh",
  "MeshError": "error",
  "ModelFile": "folder",
  "OptimizerConfig": "training.state",
  "Pipeline": "pipeline",
  "PipelineConfig": "pipeline",
  "PipelineError": "error",
  "Prediction": "search.query",
  "RenderConfig": "render",
  "Report": "search.intake",
  "TrainConfig": "training.train",
  "TrainingError": "error",
  "Views": "view",
  "find_models": "folder",
  "imitate_scan": "mesh.scan",
  "load_mesh": "mesh",
  "make_mesh": "mesh",
  "make_views": "view",
  "rasterize": "raster",
  "render": "render",
  "train": "training.train",
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
