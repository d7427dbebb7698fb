"""Other renderers, timed where they can be imported.

They draw the same sphere in pictures of the same size, by formulas of their
own. The gradient is that of a weighted sum of the image by the vertices.

jaxrenderer is not among them: its releases up to 0.3.2 ask for a JAX below 0.5,
dr3d for one from 0.6 on, so that no process can hold both.
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

FACES_A_PIXEL = 50  # K of PyTorch3D; it drops the faces beyond
SAMPLES = 16  # of a pixel, Mitsuba

Calls = tuple[Callable[[], Any], Callable[[], Any]]


def measure_peers(
  scene: Scene, *, config: RenderConfig, repeats: int, seconds: float
) -> list[Row]:
  """Times each of them that is there; of one view only.

  Args:
    scene: what they draw.
    config: softness, for those that have it.
    repeats: see `measure`, and so is `seconds`.
    seconds: for each of the two calls.
  """
  rows: list[Row] = []
  if len(scene.corners) > 1:
    return rows
  for name, package, prepare in (
    (f"PyTorch3D, K = {FACES_A_PIXEL}", "pytorch3d", _pytorch3d),
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
  """SoftRas's formula, the K nearest faces of a pixel."""
  torch = importlib.import_module("torch")
  blending = importlib.import_module("pytorch3d.renderer.blending")
  rasterizing = importlib.import_module(
    "pytorch3d.renderer.mesh.rasterize_meshes"
  )
  structures = importlib.import_module("pytorch3d.structures")
  shaders = importlib.import_module("pytorch3d.renderer.mesh.rasterizer")
  x, y, inverse = np.moveaxis(np.asarray(scene.corners[0]), -1, 0).copy()
  # Its x points left and its y up, both from -1 to 1.
  half = scene.size / 2
  place = np.stack([1 - x / half, 1 - y / half, 1 / inverse], axis=-1)
  vertices = torch.tensor(place.reshape(-1, 3), requires_grad=True)
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
        faces_per_pixel=FACES_A_PIXEL,
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
  """Direct light, sampled, with the gradient of silhouettes."""
  del config  # its edges are hard
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
