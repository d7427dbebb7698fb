"""`dr3d.render`: meshes and views to images, without a budget to think of.

`B` models, `N` views of a model, `H W` pixels.
"""

import dataclasses
import functools
from collections.abc import Hashable, Sequence
from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.projection import Camera
from dr3d.camera.view import Views, make_views
from dr3d.mesh import Mesh, bucket_size
from dr3d.render import raster
from dr3d.render import triangle as triangle_lib
from dr3d.render.budget import HEADROOM, within_budget
from dr3d.render.config import (
  Coverage,
  Framing,
  Layer,
  RenderConfig,
  Shading,
  check_config,
)
from dr3d.render.triangle import Triangles, fit_budget, stack_meshes

Array = jax.Array
Shape = Mesh | Sequence[Mesh] | Triangles

SIZE = 256  # height and width of an image, pixels
MAX_BUDGETS = 256  # remembered; one is some hundred bytes

_HIDDEN = (
  jax.errors.ConcretizationTypeError,
  jax.errors.TracerIntegerConversionError,
)
"""What JAX raises if a number is asked for that is traced."""

_budgets: dict[Hashable, raster.Budget] = {}
"""Budgets that have held, by what a compiled call depends on."""


@overload
def render(
  shape: Shape,
  views: Views | Array | np.ndarray,
  *,
  size: int | tuple[int, int] = ...,
  sigma: Array | float = ...,
  gamma: Array | float = ...,
  budget: None = None,
  framing: Framing = ...,
  coverage: Coverage = ...,
  camera: Camera = ...,
  shading: Shading = ...,
  shadows: bool = ...,
  layers: tuple[Layer, ...] = ...,
  samples: int = ...,
  background: Sequence[float] | Array | np.ndarray | None = ...,
  devices: DeviceMesh | None = ...,
) -> Array: ...


@overload
def render(
  shape: Shape,
  views: Views | Array | np.ndarray,
  *,
  size: int | tuple[int, int] = ...,
  sigma: Array | float = ...,
  gamma: Array | float = ...,
  budget: raster.Budget,
  framing: Framing = ...,
  coverage: Coverage = ...,
  camera: Camera = ...,
  shading: Shading = ...,
  shadows: bool = ...,
  layers: tuple[Layer, ...] = ...,
  samples: int = ...,
  background: Sequence[float] | Array | np.ndarray | None = ...,
  devices: DeviceMesh | None = ...,
) -> tuple[Array, raster.Usage]: ...


def render(
  shape: Shape,
  views: Views | Array | np.ndarray,
  *,
  size: int | tuple[int, int] = SIZE,
  sigma: Array | float = 0.7,
  gamma: Array | float = 3e-3,
  budget: raster.Budget | None = None,
  framing: Framing = "sphere",
  coverage: Coverage = "face",
  camera: Camera = "perspective",
  shading: Shading = "smooth",
  shadows: bool = False,
  layers: tuple[Layer, ...] = (),
  samples: int = 1,
  background: Sequence[float] | Array | np.ndarray | None = None,
  devices: DeviceMesh | None = None,
) -> Array | tuple[Array, raster.Usage]:
  """Draws meshes or triangles in N views each.

  Differentiable in the corners, normals, albedo, and every field of the views.
  Without a budget, the call finds one, checks that it held and repeats with a
  larger one if it did not, so the image is always complete. That looks at
  numbers, which `jit` hides: inside of it give a budget, and check the usage
  outside. `jax.grad` alone needs none.

  Args:
    shape: a mesh, several meshes, or triangles that may be traced.
    views: cameras, lights and material, see `dr3d.camera`; or viewpoints
      `[N, 4]`, quaternions that get the cameras and the white light of
      `dr3d.make_views`.
    size: height and width of an image, pixels; one number for a square image.
      The field of view is vertical, so a wider image shows more at its sides.
    sigma: softness of edges, pixels; may be traced.
    gamma: softness of occlusion; may be traced.
    budget: room for the rasterizer, from `dr3d.fit_budget`; None finds it.
    framing: see `dr3d.RenderConfig`, as for the next three.
    coverage: triangles need neighbours for `"mesh"`, see `dr3d.stack_meshes`.
    camera: perspective or orthographic.
    shading: smooth or flat.
    shadows: whether objects cast shadows; see `dr3d.RenderConfig`.
    layers: drawn after alpha: `"depth"`, `"normal"`, `"share"`.
    samples: the image is drawn at this multiple of its height and width, and
      each pixel is the mean of its `samples²` parts. That smooths what σ does
      not: folds inside of the silhouette and fine colours. σ stays in pixels of
      the result. A budget is for the larger image.
    background: red, green and blue, `[3]` or of any shape that broadcasts to
      `[B, N, H, W, 3]`. It shows through where alpha is below 1, and alpha
      becomes 1. None leaves the images transparent.
    devices: see `dr3d.share_devices`; None for the default one.

  Returns:
    Images `[B, N, H, W, 4 + C]`, or `[N, H, W, 4 + C]` of one mesh: red, green
    and blue multiplied by alpha, then alpha, then the C channels of the layers.
    With a budget also the usage; the images are complete only if
    `budget.holds(usage)`.

  Raises:
    ValueError: a shape or an option does not fit, or a call inside `jit` has
      no budget.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    >>> faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    >>> mesh = dr3d.make_mesh(corners, faces)
    >>> views = dr3d.ring_views(2)
    >>> images = dr3d.render(mesh, views, size=(32, 48), background=(1, 1, 1))
    >>> images.shape
    (2, 32, 48, 4)

  References:
    WO 2021/178001 [0022, 0023]: G with N viewpoints, N lights, material and
    camera for all models.
  """
  is_single = isinstance(shape, Mesh)
  triangles = _to_triangles(shape, coverage)
  views = views if isinstance(views, Views) else _view_from(views)
  if samples < 1:
    raise ValueError(f"samples must be at least 1, got {samples}.")
  height, width = (samples * side for side in _read_size(size))
  sigma = samples * sigma
  config = RenderConfig(
    size=height, framing=framing, coverage=coverage, camera=camera,
    shading=shading, shadows=shadows,
  )  # fmt: skip
  check_config(config, layers)

  def call(budget: raster.Budget) -> tuple[Array, raster.Usage]:
    return _draw(
      triangles,
      views,
      sigma,
      gamma,
      config=config,
      width=width,
      budget=budget,
      layers=layers,
      devices=devices,
    )

  usage = None
  if budget is not None:
    images, usage = call(budget)
  else:
    key = (config, width, layers, devices, _describe((triangles, views)))
    try:
      start = _budgets.get(key) or _fit(
        triangles, views, sigma, config, width, devices
      )
      images, held = within_budget(call, start)
    except _HIDDEN as error:
      raise ValueError(
        "dr3d.render finds its budget by looking at numbers, which jit and vmap"
        " hide: make one outside with dr3d.fit_budget(triangles, views,"
        " config=...), and give it as budget=."
      ) from error
    _remember(key, held)
  if samples > 1:
    images = _average(images, samples)
  if background is not None:
    images = _put_on(images, jnp.asarray(background, images.dtype))
  if is_single:
    images = images[0]
  return images if usage is None else (images, usage)


def _to_triangles(shape: Shape, coverage: Coverage) -> Triangles:
  if isinstance(shape, Triangles):
    return shape
  meshes = [shape] if isinstance(shape, Mesh) else list(shape)
  if not meshes:
    raise ValueError("render needs at least one mesh, got none.")
  # Meshes of similar size share a compiled program.
  face_count = bucket_size(max(mesh.face_count for mesh in meshes))
  return stack_meshes(meshes, face_count=face_count, coverage=coverage)


@jax.jit
def _view_from(quaternion: Array | np.ndarray) -> Views:
  # Without jit, every operation is compiled on its own.
  return make_views(quaternion, colored=False)


def _read_size(size: int | tuple[int, int]) -> tuple[int, int]:
  height, width = (size, size) if isinstance(size, int) else size
  if min(height, width) < 1:
    raise ValueError(f"size must be at least 1 pixel, got {size}.")
  return int(height), int(width)


def _describe(tree: object) -> Hashable:
  """Structure and shapes, which a compiled call depends on."""
  leaves, structure = jax.tree.flatten(tree)
  return structure, tuple(np.shape(leaf) for leaf in leaves)


def _fit(
  triangles: Triangles,
  views: Views,
  sigma: Array | float,
  config: RenderConfig,
  width: int,
  devices: DeviceMesh | None,
) -> raster.Budget:
  """Finds a budget by counting; gradients do not pass."""
  triangles, views, sigma = jax.lax.stop_gradient((triangles, views, sigma))
  # A config is hashed, so its sigma is a number.
  config = dataclasses.replace(config, sigma=float(sigma))
  return fit_budget(
    triangles, views, config=config, devices=devices, width=width
  ).widened(HEADROOM)


def _remember(key: Hashable, budget: raster.Budget) -> None:
  """Keeps a budget, and forgets the one that was kept first."""
  if key not in _budgets and len(_budgets) >= MAX_BUDGETS:
    _budgets.pop(next(iter(_budgets)))
  _budgets[key] = budget


def _put_on(images: Array, background: Array) -> Array:
  """Puts images on an opaque background; layers stay as they are."""
  alpha = images[..., 3:4]
  color = images[..., :3] + (1 - alpha) * background
  return jnp.concatenate(
    [color, jnp.ones_like(alpha), images[..., 4:]], axis=-1
  )


@functools.partial(jax.jit, static_argnames="samples")
def _average(images: Array, samples: int) -> Array:
  """Means over blocks of pixels; those of layers are weighted by alpha."""
  *batch, height, width, C = images.shape
  parts = images.reshape(
    *batch, height // samples, samples, width // samples, samples, C
  )
  image = parts[..., :4].mean((-4, -2))
  if C == 4:
    return image
  alpha = parts[..., 3:4]
  weight = alpha.sum((-4, -2))
  layers = (alpha * parts[..., 4:]).sum((-4, -2))
  # A pixel that no face touches has layers of 0.
  layers = jnp.where(weight > 0, layers / jnp.where(weight > 0, weight, 1), 0)
  return jnp.concatenate([image, layers], axis=-1)


@functools.partial(
  jax.jit,
  static_argnames=("config", "width", "budget", "layers", "devices"),
)
def _draw(
  triangles: Triangles,
  views: Views,
  sigma: Array | float,
  gamma: Array | float,
  *,
  config: RenderConfig,
  width: int,
  budget: raster.Budget,
  layers: tuple[Layer, ...],
  devices: DeviceMesh | None,
) -> tuple[Array, raster.Usage]:
  return triangle_lib.render(
    triangles,
    views,
    size=(config.size, width),
    sigma=sigma,
    gamma=gamma,
    budget=budget,
    framing=config.framing,
    coverage=config.coverage,
    camera=config.camera,
    shading=config.shading,
    shadows=config.shadows,
    layers=layers,
    devices=devices,
  )
