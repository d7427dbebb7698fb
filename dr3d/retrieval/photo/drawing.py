"""Models drawn once, from which training makes photographs of any light.

`M` models, `N` views of the gallery, `H W` pixels.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import FOV_RATIO, Views, make_views
from dr3d.mesh import Mesh
from dr3d.render.budget import HEADROOM, Budget, within_budget
from dr3d.render.triangle import TriangleRenderer
from dr3d.retrieval.model_batch import make_batches
from dr3d.retrieval.pipeline import Pipeline

# How far a photograph is taken from the nearest view of the gallery: 48 views
# are 34 degrees apart, and a photograph is compared in turns of 45 degrees.
TILT_MAX = 22.0  # degrees
TURN_MAX = 26.0
DISTANCES = (2.5, 8.0)  # of the camera, radii of the model
_DEPTH_RANGE = 127.0  # levels for one radius before and behind the centre


@dataclasses.dataclass(frozen=True, eq=False)
class Drawings:
  """M models, each in the N views of the gallery and once near each of them.

  Attributes:
    gallery: uint8 `[M, N, H, W, 2]`, grey multiplied by alpha, and alpha.
    normal: int8 `[M, N, H, W, 3]`, 127 times the unit normals of the second
      drawings, in the axes of the camera.
    depth: int8 `[M, N, H, W]`, 127 at one radius nearer than the centre.
    alpha: uint8 `[M, N, H, W]`.
  """

  gallery: np.ndarray
  normal: np.ndarray
  depth: np.ndarray
  alpha: np.ndarray


def draw_models(
  meshes: Sequence[Mesh],
  pipeline: Pipeline,
  *,
  seed: int,
  progress: Callable[[int, int], None] | None = None,
) -> Drawings:
  """Draws models for training.

  Args:
    meshes: M models.
    pipeline: its views and pictures are those of the gallery.
    seed: of the views beside those of the gallery.
    progress: called with the models drawn and M.
  """
  size, N = pipeline.config.render.size, pipeline.views.count
  shape = (len(meshes), N, size, size)
  result = Drawings(
    np.zeros((*shape, 2), np.uint8),
    np.zeros((*shape, 3), np.int8),
    np.zeros(shape, np.int8),
    np.zeros(shape, np.uint8),
  )
  budgets: dict[Any, Budget[Any]] = {}
  done = 0
  for number, (chosen, renderer) in enumerate(
    make_batches(meshes, pipeline.config)
  ):
    count = len(chosen)
    images = _draw(renderer, pipeline.views, budgets)[:count]
    grey = images[..., :3].mean(axis=-1)
    both = np.stack([grey, images[..., 3]], axis=-1)
    result.gallery[chosen] = _to_bytes(both)
    rng = np.random.default_rng((seed, number))
    views = perturb(pipeline.views, rng)
    normal, depth, alpha = draw_layers(renderer, views, budgets)
    result.normal[chosen] = normal[:count]
    result.depth[chosen] = depth[:count]
    result.alpha[chosen] = alpha[:count]
    done += count
    if progress is not None:
      progress(done, len(meshes))
  return result


def draw_layers(
  renderer: TriangleRenderer, views: Views, budgets: dict[Any, Budget[Any]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws normal, depth and alpha of B models, see `Drawings`.

  Args:
    renderer: the models.
    views: N views.
    budgets: that have held, by the shape of the call; changed.
  """
  layered = dataclasses.replace(renderer, layers=("depth", "normal"))
  images = _draw(layered, views, budgets)
  distance = np.asarray(views.distance)[:, None, None]
  depth = np.where(images[..., 4] > 0, distance - images[..., 4], 0)
  return (
    np.rint(127 * np.clip(images[..., 5:8], -1, 1)).astype(np.int8),
    np.clip(_DEPTH_RANGE * depth, -127, 127).astype(np.int8),
    _to_bytes(images[..., 3]),
  )


def perturb(views: Views, rng: np.random.Generator) -> Views:
  """Returns a view near each of some, at a distance of its own."""
  N = views.count
  # Even over the area of the cap.
  tilt = np.radians(TILT_MAX) * np.sqrt(rng.random(N))
  turn = np.radians(rng.uniform(-TURN_MAX, TURN_MAX, N))
  way = rng.uniform(0, 2 * np.pi, N)
  zero = np.zeros(N)
  tilted = np.stack(
    [
      np.cos(tilt / 2),
      np.sin(tilt / 2) * np.cos(way),
      np.sin(tilt / 2) * np.sin(way),
      zero,
    ],
    axis=-1,
  )
  turned = np.stack([np.cos(turn / 2), zero, zero, np.sin(turn / 2)], axis=-1)
  quaternion = _multiply(
    turned, _multiply(tilted, np.asarray(views.quaternion))
  )
  distance = np.exp(
    rng.uniform(math.log(DISTANCES[0]), math.log(DISTANCES[1]), N)
  )
  return dataclasses.replace(
    make_views(quaternion, colored=False),
    distance=jnp.asarray(distance, jnp.float32),
    fov=jnp.asarray(FOV_RATIO * np.arcsin(1 / distance), jnp.float32),
  )


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Product of quaternions `[N, 4]`: b is applied first."""
  aw, av, bw, bv = a[:, :1], a[:, 1:], b[:, :1], b[:, 1:]
  real = aw * bw - np.sum(av * bv, axis=1, keepdims=True)
  return np.concatenate([real, aw * bv + bw * av + np.cross(av, bv)], axis=1)


@functools.partial(jax.jit, static_argnames="budget")
def _render(renderer: TriangleRenderer, views: Views, *, budget: Any) -> Any:
  return renderer.render(views, budget=budget)


def _draw(
  renderer: TriangleRenderer, views: Views, budgets: dict[Any, Budget[Any]]
) -> np.ndarray:
  key = renderer.layers, renderer.triangles.corners.shape
  start = budgets.get(key)
  if start is None:
    start = renderer.fit_budget(views).widened(HEADROOM)
  images, budgets[key] = within_budget(
    lambda budget: _render(renderer, views, budget=budget), start
  )
  return np.asarray(images, np.float32)


def _to_bytes(x: np.ndarray) -> np.ndarray:
  return np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)
