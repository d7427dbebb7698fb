"""A soft rasterizer for triangles: colour and alpha, differentiable.

`rasterize` is the fast form: tiles, sorted pairs, blocks, and a backward pass
written by hand. `rasterize_dense` is the formula as it reads, for tests.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from dr3d.raster.backward import scatter_gradient
from dr3d.raster.bin import TILE, Budget, Usage, bin_faces, tile_grid
from dr3d.raster.clip import clip_near
from dr3d.raster.dense import rasterize_dense
from dr3d.raster.face import THINNEST, tabulate, wind
from dr3d.raster.forward import gather_pixels
from dr3d.raster.fragment import BACKGROUND_DEPTH, CHUNK, CUTOFF, Softness

Array = jax.Array

__all__ = [
  "BACKGROUND_DEPTH",
  "CUTOFF",
  "THINNEST",
  "Budget",
  "Usage",
  "clip_near",
  "measure",
  "rasterize",
  "rasterize_dense",
]


def rasterize(
  corners: Array,
  colors: Array,
  *,
  size: tuple[int, int],
  sigma: Array | float,
  gamma: Array | float,
  depth_range: tuple[Array, Array],
  budget: Budget,
) -> tuple[Array, Array, Usage]:
  """Draws I pictures of F triangles each.

  With d the distance of a pixel centre to a face's boundary, the face covers
  the pixel by `D = sigmoid(±d²/σ²)`, positive inside; the colour is the mean of
  the faces' colours weighted by `D exp(z/γ)` beside a black background of
  `z = BACKGROUND_DEPTH`; alpha is `1 - Π(1 - D)`. A face is felt where
  `D > 1e-4`. Faces are two-sided. σ and γ may be traced: annealing them does
  not compile anew. Gradients flow to `corners`, `colors` and `depth_range`.

  Args:
    corners: `[I, F, 3, 3]` corner, then x to the right and y down in pixels,
      and the inverse depth; a face with one that is not positive is not drawn.
    colors: `[I, F, 3, C]` colour at each corner.
    size: height and width in pixels.
    sigma: `[]` softness of edges, pixels.
    gamma: `[]` softness of occlusion, in normalised inverse depth z.
    depth_range: `[I]` and `[I]`, the inverse depths that become z = 0 (far) and
      z = 1 (near).
    budget: room for tile-face pairs and blocks. A call that needs more is
      incomplete, and says so: check `budget.holds(usage)`, and call again with
      `budget.grown_to(usage)`.

  Returns:
    Colour `[I, H, W, C]`, alpha `[I, H, W]`, and what the call needed.

  Raises:
    ValueError: if the shapes do not fit.

  References:
    Liu et al., Soft Rasterizer, ICCV 2019, Eq. 3 to 5. Here the distance is in
    pixels and σ a length, and z is the inverse depth, which is affine in the
    picture.
  """
  if corners.ndim != 4 or corners.shape[-2:] != (3, 3):
    raise ValueError(f"corners must be [I, F, 3, 3], got {corners.shape}.")
  if colors.ndim != 4 or colors.shape[:3] != corners.shape[:3]:
    raise ValueError(
      f"colors must be [I, F, 3, C] beside corners {corners.shape}, got"
      f" {colors.shape}."
    )
  pictures = corners.shape[0]
  dtype = corners.dtype
  far, near = (
    jnp.broadcast_to(jnp.asarray(x, dtype), (pictures,)) for x in depth_range
  )
  softness = Softness(
    sigma=jax.lax.stop_gradient(jnp.asarray(sigma, dtype)),
    gamma=jax.lax.stop_gradient(jnp.asarray(gamma, dtype)),
    far=far,
    near=near,
  )
  blocks = -(-budget.blocks // CHUNK) * CHUNK
  budget = dataclasses.replace(budget, blocks=blocks)
  corners, colors = wind(corners, colors)
  return _draw(size, budget, corners, colors, softness)


def measure(
  corners: Array,
  *,
  size: tuple[int, int],
  sigma: Array | float,
  budget: Budget,
) -> Usage:
  """Counts what `rasterize` would need, without drawing; cheap to compile.

  Args:
    corners: as for `rasterize`, and so are `size`, `sigma` and `budget`.
    size: height and width.
    sigma: softness of edges, pixels.
    budget: room for the pairs; the blocks are counted only where these fit.
  """
  colors = jnp.zeros((*corners.shape[:3], 1), corners.dtype)
  table = tabulate(*wind(corners, colors))
  return bin_faces(table, size=size, reach=_reach(sigma), budget=budget).usage


def _reach(sigma):
  """How far beyond its edges a face is felt, pixels."""
  return sigma * (-CUTOFF) ** 0.5


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _draw(size, budget, corners, colors, softness):
  return _draw_forward(size, budget, corners, colors, softness)[0]


def _draw_forward(size, budget, corners, colors, softness):
  grid = tile_grid(size)
  table = tabulate(corners, colors)
  bins = bin_faces(
    table, size=size, reach=_reach(softness.sigma), budget=budget
  )
  pixels = gather_pixels(table, bins, softness, grid=grid)
  color = jnp.moveaxis(_untile(pixels.color, size), 0, -1)
  alpha = 1 - _untile(pixels.clear, size)
  return (color, alpha, bins.usage), (table, bins, softness, pixels)


def _draw_backward(size, budget, saved, gradient):
  del budget
  table, bins, softness, pixels = saved
  color, alpha, _ = gradient
  corners, colors, far, near = scatter_gradient(
    table,
    bins,
    softness,
    pixels,
    _tile(jnp.moveaxis(color, -1, 0)),
    _tile(alpha),
    grid=tile_grid(size),
  )
  zero = jnp.zeros_like(softness.sigma)
  return corners, colors, Softness(sigma=zero, gamma=zero, far=far, near=near)


_draw.defvjp(_draw_forward, _draw_backward)


def _untile(tiles: Array, size: tuple[int, int]) -> Array:
  """`[..., I·rows·columns + 1, TILE²]` → `[..., I, H, W]`."""
  height, width = size
  rows, columns = tile_grid(size)
  lead = tiles.shape[:-2]
  x = tiles[..., :-1, :].reshape(*lead, -1, rows, columns, TILE, TILE)
  x = jnp.swapaxes(x, -3, -2).reshape(*lead, -1, rows * TILE, columns * TILE)
  return x[..., :height, :width]


def _tile(picture: Array) -> Array:
  """`[..., I, H, W]` → `[..., I·rows·columns + 1, TILE²]`, zero beyond."""
  *lead, pictures, height, width = picture.shape
  rows, columns = tile_grid((height, width))
  none = [(0, 0)] * (len(lead) + 1)
  margin = [(0, rows * TILE - height), (0, columns * TILE - width)]
  x = jnp.pad(picture, none + margin)
  x = x.reshape(*lead, pictures, rows, TILE, columns, TILE)
  x = jnp.swapaxes(x, -3, -2).reshape(*lead, -1, TILE**2)
  return jnp.pad(x, [(0, 0)] * len(lead) + [(0, 1), (0, 0)])
