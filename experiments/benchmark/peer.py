"""Times other renderers, if they can be imported.

They draw the same sphere at the same size by formulas of their own. The
gradient is that of a weighted sum of the image by the vertices.

jaxrenderer is missing: its releases up to 0.3.2 require a JAX below 0.5, dr3d
requires 0.6, so one process cannot hold both.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from dr3d.render.raster import CUTOFF
from dr3d.render.triangle import RenderConfig
from experiments.benchmark.cost import time_calls
from experiments.benchmark.row import Row
from experiments.benchmark.scene import Scene

FACES_PER_PIXEL = 50  # K of PyTorch3D, which drops all further faces
SAMPLES = 16  # per pixel, Mitsuba

Calls = tuple[Callable[[], Any], Callable[[], Any]]


def measure_peers(
  scene: Scene, *, config: RenderConfig, repeats: int, seconds: float
) -> list[Row]:
  """Times each installed renderer; only for scenes of one view.

  Args:
    scene: to draw.
    config: softness, for renderers that have it.
    repeats: see `measure`.
    seconds: for each of the two calls.
  """
  rows: list[Row] = []
  if len(scene.corners) > 1:
    return rows
  for name, package, prepare in (
    (f"PyTorch3D, K = {FACES_PER_PIXEL}", "pytorch3d", _pytorch3d),
    (f"Mitsuba, {SAMPLES} samples", "mitsuba", _mitsuba),
  ):
    try:
      importlib.import_module(package)
    except ImportError:
      continue
    costs = [
      time_calls(call, repeats=repeats, seconds=seconds)
      for call in prepare(scene, config)
    ]
    rows.append(
      Row(
        faces=scene.corners.shape[1],
        size=scene.size,
        views=1,
        form=name,
        forward=costs[0],
        both=costs[1],
      )
    )
  return rows


def _pytorch3d(scene: Scene, config: RenderConfig) -> Calls:
  """SoftRas's formula over the K nearest faces of a pixel."""
  torch = importlib.import_module("torch")
  blending = importlib.import_module("pytorch3d.renderer.blending")
  rasterizing = importlib.import_module(
    "pytorch3d.renderer.mesh.rasterize_meshes"
  )
  structures = importlib.import_module("pytorch3d.structures")
  shaders = importlib.import_module("pytorch3d.renderer.mesh.rasterizer")
  x, y, inverse = np.moveaxis(np.asarray(scene.corners[0]), -1, 0).copy()
  # PyTorch3D's x points left and y up, both from -1 to 1.
  half = scene.size / 2
  position = np.stack([1 - x / half, 1 - y / half, 1 / inverse], axis=-1)
  vertices = torch.tensor(position.reshape(-1, 3), requires_grad=True)
  faces = torch.arange(len(vertices)).reshape(-1, 3)
  colors = torch.tensor(np.array(scene.colors[0]))
  sigma = (config.sigma / half) ** 2
  blend = blending.BlendParams(sigma=sigma, gamma=config.gamma)
  weights = torch.randn(1, scene.size, scene.size, 4)

  def draw():
    fragments = shaders.Fragments(
      *rasterizing.rasterize_meshes(
        structures.Meshes(verts=[vertices], faces=[faces]),
        image_size=scene.size,
        blur_radius=-CUTOFF * sigma,
        faces_per_pixel=FACES_PER_PIXEL,
      )
    )
    face = fragments.pix_to_face.clamp(min=0)
    texels = (fragments.bary_coords[..., None] * colors[face]).sum(-2)
    return blending.softmax_rgb_blend(texels, fragments, blend)

  def both():
    vertices.grad = None
    (draw() * weights).sum().backward()

  return draw, both


def _mitsuba(scene: Scene, config: RenderConfig) -> Calls:
  """Direct light by sampling, with the gradient of silhouettes."""
  del config  # Mitsuba has hard edges
  mi = importlib.import_module("mitsuba")
  dr = importlib.import_module("drjit")
  mi.set_variant("llvm_ad_rgb")
  vertices = np.asarray(scene.triangles.corners[0]).reshape(-1, 3)
  mesh = mi.Mesh("sphere", len(vertices), len(vertices) // 3)
  parameters = mi.traverse(mesh)
  parameters["vertex_positions"] = vertices.ravel()
  parameters["faces"] = np.arange(len(vertices), dtype=np.uint32)
  parameters.update()
  distance = float(scene.views.distance[0])
  world = mi.load_dict(
    {
      "type": "scene",
      "integrator": {"type": "direct_projective"},
      "light": {"type": "constant"},
      "sphere": mesh,
      "sensor": {
        "type": "perspective",
        "fov": float(np.degrees(scene.views.fov[0])),
        "to_world": mi.ScalarTransform4f().look_at(
          [0, 0, distance], [0, 0, 0], [0, 1, 0]
        ),
        "film": {
          "type": "hdrfilm",
          "width": scene.size,
          "height": scene.size,
          "rfilter": {"type": "box"},
        },
      },
    }
  )
  changed = mi.traverse(world)
  key = "sphere.vertex_positions"
  weights = mi.TensorXf(
    np.random.default_rng(0).normal(size=(scene.size, scene.size, 3))
  )

  def draw():
    with dr.suspend_grad():
      image = mi.render(world, changed, spp=SAMPLES)
    dr.eval(image)
    dr.sync_thread()

  def both():
    dr.enable_grad(changed[key])
    image = mi.render(world, changed, spp=SAMPLES)
    dr.backward(dr.sum(image * weights, axis=None))
    dr.eval(dr.grad(changed[key]))
    dr.sync_thread()
    dr.disable_grad(changed[key])

  return draw, both
