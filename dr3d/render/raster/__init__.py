"""A soft rasterizer for triangles: colour and alpha, differentiable.

`rasterize` is the fast form: tiles, sorted pairs, blocks, and a backward pass
written by hand. `rasterize_dense` evaluates the formula directly, for tests.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from dr3d.camera.projection import Camera, check_camera
from dr3d.render.raster.backward import scatter_gradient
from dr3d.render.raster.bin import (
  SLOTS,
  Budget,
  Usage,
  bin_faces,
  split_tiles,
  tile_grid,
  untile,
)
from dr3d.render.raster.clip import clip_near
from dr3d.render.raster.dense import rasterize_dense
from dr3d.render.raster.edge import opposite_corners, soft_edges
from dr3d.render.raster.face import THINNEST, tabulate, wind
from dr3d.render.raster.forward import gather_pixels
from dr3d.render.raster.fragment import (
  BACKGROUND_DEPTH,
  CHUNK,
  CUTOFF,
  EMPTY_DEPTH,
  SLACK,
  Softness,
  Style,
)
from dr3d.render.raster.outline import find_nearest, list_edges, soften

Array = jax.Array

HARD_SIGMA = 1e-3  # pixels; float32 pixel coordinates resolve about 3e-5
HARD_GAMMA = 1e-6  # of the depth of the unit sphere
# Alpha is 0.5 exactly on an edge; the rest is room for rounding.
INSIDE_ALPHA = 0.499
_SHIFT = (0.0137, 0.0071)  # pixels; far above HARD_SIGMA, far below one pixel

__all__ = [
  "BACKGROUND_DEPTH",
  "CUTOFF",
  "HARD_GAMMA",
  "HARD_SIGMA",
  "INSIDE_ALPHA",
  "THINNEST",
  "Budget",
  "Usage",
  "clip_near",
  "find_faces",
  "measure",
  "opposite_corners",
  "rasterize",
  "rasterize_dense",
  "soft_edges",
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
  camera: Camera = "perspective",
  soft: Array | None = None,
) -> tuple[Array, Array, Usage]:
  """Draws I images of F triangles each.

  With d the distance of a pixel centre to a face's boundary, the face covers
  the pixel by `D = sigmoid(±d²/σ²)`, positive inside; the colour is the mean of
  the faces' colours weighted by `D exp(z/γ)`, with a black background of
  `z = BACKGROUND_DEPTH`; alpha is `1 - Π(1 - D)`. A face contributes if
  `D > 1e-4`. Faces are two-sided. σ and γ may be traced: annealing them does
  not compile again. Gradients flow to `corners`, `colors` and `depth_range`.

  This formula softens every edge, so the image depends on how a surface is cut
  into faces. If `soft` marks the edges at which surfaces end in the image,
  faces are hard, and the image is softened only along these edges, by the
  distance to the nearest one: see `dr3d.render.raster.outline`. The colour
  of a hard pixel is the mean over the faces that cover it, weighted by
  `exp(z/γ)`.

  Args:
    corners: `[I, F, 3, 3]` corner, then x to the right and y down in pixels,
      and the inverse depth; in perspective, a face with one that is not
      positive is not drawn.
    colors: `[I, F, 3, C]` colour at each corner.
    size: height and width in pixels.
    sigma: `[]` softness of edges, pixels.
    gamma: `[]` softness of occlusion, in normalised inverse depth z.
    depth_range: `[I]` and `[I]`, the inverse depths that become z = 0 (far) and
      z = 1 (near).
    budget: room for tile-face pairs and blocks. A call that needs more is
      incomplete, and says so: check `budget.holds(usage)`, and call again with
      `budget.grown_to(usage)`.
    camera: `"perspective"`, or `"orthographic"`: colours are affine on a face
      in space, and so in the image where it is a parallel one. There the
      inverse depth may be any number that grows towards the camera and is
      affine in the image.
    soft: bool `[I, F, 3]`, the soft ones of a face's edges, edge k from corner
      k to k + 1; see `soft_edges`. None softens every edge of every
      face on its own.

  Returns:
    Colour `[I, H, W, C]`, alpha `[I, H, W]`, and what the call needed.

  Raises:
    ValueError: the shapes do not fit.

  References:
    Liu et al., Soft Rasterizer, ICCV 2019, Eq. 3 to 5. Here the distance is in
    pixels and σ a length, and z is the inverse depth, which is affine in the
    image.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> corners = np.float32([[[[2, 2, 0.5], [14, 2, 0.5], [2, 14, 0.5]]]])
    >>> color, alpha, usage = dr3d.rasterize(
    ...   corners, np.ones_like(corners), size=(16, 16), sigma=0.7, gamma=3e-3,
    ...   depth_range=(np.zeros(1), np.ones(1)), budget=dr3d.Budget(64, 64)
    ... )
    >>> print(alpha[0, 5, 5].round(2), alpha[0, 14, 14].round(2))
    1.0 0.0
  """
  if corners.ndim != 4 or corners.shape[-2:] != (3, 3):
    raise ValueError(f"corners must be [I, F, 3, 3], got {corners.shape}.")
  if colors.ndim != 4 or colors.shape[:3] != corners.shape[:3]:
    raise ValueError(
      f"colors must be [I, F, 3, C] beside corners {corners.shape}, got"
      f" {colors.shape}."
    )
  check_camera(camera)
  image_count = corners.shape[0]
  dtype = corners.dtype
  far, near = (
    jnp.broadcast_to(jnp.asarray(x, dtype), (image_count,)) for x in depth_range
  )
  softness = Softness(
    sigma=jax.lax.stop_gradient(jnp.asarray(sigma, dtype)),
    gamma=jax.lax.stop_gradient(jnp.asarray(gamma, dtype)),
    far=far,
    near=near,
  )
  blocks = -(-budget.blocks // CHUNK) * CHUNK
  budget = dataclasses.replace(budget, blocks=blocks)
  corners, colors, soft = wind(*_faces_last(corners, colors, soft))
  style = Style(is_hard=soft is not None, camera=camera)
  color, alpha, depth, usage = _draw(
    size, budget, style, corners, colors, softness
  )
  if soft is None:
    return color, alpha, usage
  table = tabulate(corners, colors, camera=camera)
  edges = list_edges(table, soft, camera=camera)
  bins = _bin_edges(edges, size=size, sigma=sigma, budget=budget)
  table, softness, depth = jax.lax.stop_gradient((table, softness, depth))
  nearest = find_nearest(table, bins, softness, depth, size=size)
  alpha = (depth > EMPTY_DEPTH).astype(color.dtype)
  hard = jnp.concatenate([color, alpha[..., None]], axis=-1)
  image = soften(
    corners, colors, hard, nearest, sigma=softness.sigma, camera=camera
  )
  alpha = image[..., -1]
  full = jnp.where(alpha > 0, alpha, 1)
  channels = [image[..., c] / full for c in range(color.shape[-1])]
  color = jnp.stack(channels, axis=-1)
  usage = dataclasses.replace(usage, edges=bins.usage.pairs)
  return color, alpha, usage


def _faces_last(corners, colors, soft):
  """`[I, F, 3, ...]` to `[..., 3, I, F]`."""
  corners, colors = (jnp.transpose(x, (3, 2, 0, 1)) for x in (corners, colors))
  return corners, colors, None if soft is None else jnp.moveaxis(soft, -1, 0)


def _bin_edges(edges, *, size, sigma, budget):
  rows, columns = tile_grid(size)
  pairs = max(budget.edges, 1)
  # No count of pairs needs more blocks than these.
  blocks = min(pairs, edges.drawn.shape[0] * rows * columns + pairs // SLOTS)
  room = Budget(pairs=pairs, blocks=-(-blocks // CHUNK) * CHUNK)
  return bin_faces(edges, size=size, reach=_reach(sigma), budget=room)


def find_faces(
  corners: Array,
  *,
  size: tuple[int, int],
  depth_range: tuple[Array, Array],
  budget: Budget,
  camera: Camera = "perspective",
) -> tuple[Array, Array]:
  """Returns the nearest face at the centre of each pixel, a constant.

  Args:
    corners: as for `rasterize`, and so are the others.
    size: height and width.
    depth_range: far and near.
    budget: room; that of a soft image is enough.
    camera: as for `rasterize`.

  Returns:
    int `[I, H, W]`; on the edge of two faces it may be of neither. And bool
    `[I, H, W]`, whether a face covers the pixel.
  """
  corners = jax.lax.stop_gradient(corners)
  # Faces often meet at the centres of pixels exactly, for example in the middle
  # of an image. A shift puts the edge beside them.
  corners = corners.at[..., :2].add(jnp.array(_SHIFT, corners.dtype))
  I, F = corners.shape[:2]
  number = jnp.broadcast_to(jnp.arange(F, dtype=corners.dtype), (I, F))
  values = jnp.stack([number, jnp.ones_like(number)], axis=-1)
  color, alpha, _ = rasterize(
    corners,
    jnp.broadcast_to(values[:, :, None], (I, F, 3, 2)),
    size=size,
    sigma=HARD_SIGMA,
    gamma=HARD_GAMMA,
    depth_range=jax.lax.stop_gradient(depth_range),
    budget=budget,
    camera=camera,
  )
  share = color[..., 1]
  face = jnp.rint(color[..., 0] / jnp.where(share > 0, share, 1))
  is_covered = (alpha > INSIDE_ALPHA) & (share > 0)
  return jnp.clip(face, 0, F - 1).astype(int), is_covered


def measure(
  corners: Array,
  *,
  size: tuple[int, int],
  sigma: Array | float,
  budget: Budget,
  camera: Camera = "perspective",
  soft: Array | None = None,
) -> Usage:
  """Counts what `rasterize` would need, without drawing; cheap to compile.

  Args:
    corners: as for `rasterize`, and so are `size`, `sigma` and `budget`.
    size: height and width.
    sigma: softness of edges, pixels.
    budget: room for the pairs; the blocks are counted only where these fit.
    camera: as for `rasterize`, and so is `soft`.
    soft: the soft edges.
  """
  colors = jnp.zeros((*corners.shape[:3], 0), corners.dtype)
  corners, colors, soft = wind(*_faces_last(corners, colors, soft))
  table = tabulate(corners, colors, camera=camera)
  reach = _reach(sigma) if soft is None else SLACK
  usage = bin_faces(table, size=size, reach=reach, budget=budget).usage
  if soft is None:
    return usage
  edges = list_edges(table, soft, camera=camera)
  bins = _bin_edges(edges, size=size, sigma=sigma, budget=budget)
  return dataclasses.replace(usage, edges=bins.usage.pairs)


def _reach(sigma):
  """How far beyond its edges a face contributes, pixels."""
  return sigma * (-CUTOFF) ** 0.5


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _draw(size, budget, style, corners, colors, softness):
  return _draw_forward(size, budget, style, corners, colors, softness)[0]


def _draw_forward(size, budget, style, corners, colors, softness):
  grid = tile_grid(size)
  table = tabulate(corners, colors, camera=style.camera)
  reach = SLACK if style.is_hard else _reach(softness.sigma)
  bins = bin_faces(table, size=size, reach=reach, budget=budget)
  pixels = gather_pixels(table, bins, softness, grid=grid, style=style)
  color = jnp.moveaxis(untile(pixels.color, size), 0, -1)
  alpha = 1 - untile(pixels.clear, size)
  depth = untile(pixels.top, size)
  return (color, alpha, depth, bins.usage), (table, bins, softness, pixels)


def _draw_backward(size, budget, style, saved, gradient):
  del budget
  table, bins, softness, pixels = saved
  color, alpha, _, _ = gradient
  corners, colors, far, near = scatter_gradient(
    table,
    bins,
    softness,
    pixels,
    split_tiles(jnp.moveaxis(color, -1, 0)),
    split_tiles(alpha),
    grid=tile_grid(size),
    style=style,
  )
  zero = jnp.zeros_like(softness.sigma)
  return corners, colors, Softness(sigma=zero, gamma=zero, far=far, near=near)


_draw.defvjp(_draw_forward, _draw_backward)
