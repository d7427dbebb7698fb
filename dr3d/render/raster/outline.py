"""Softens a hard image along the edges at which its surfaces end.

Notation. The hard image has, at a pixel centre p, the colour and coverage
`V(p)` and the normalised inverse depth `Z(p)` of what is seen, -∞ where there
is nothing. A soft edge has, at its point q nearest to p, the distance `d`, the
depth `z` and the colour `c` of its face, which lies on the edge's inner side.
The pixel across the edge, `o`, is the one that holds the point `STEP` pixels
beyond q. The edge is visible from p on its outer side where `z > Z(p)`, and
from p on its inner side where `z > Z(o)`: what lies beyond an edge must lie
behind it. With the nearest of the visible edges and `D = sigmoid(d²/σ²)`, the
pixel becomes

* on the inner side `D V(p) + (1 - D) V(o)`,
* on the outer side `(1 - D) (c, 1) + D V(p)`,

and it stays `V(p)` where no visible edge is within reach. At the contour of an
object alpha is therefore a function of the distance to it alone, a half on it;
before another object, colours blend and alpha stays 1. Where a pixel has no
cover it is on the outer side of every edge.

The choice of edge and the place across are steps of the geometry and have no
gradient; all else has.
"""

import dataclasses

import jax
import jax.numpy as jnp

from dr3d.camera.projection import Camera
from dr3d.render.raster.bin import TILE, Bins, tile_grid, untile
from dr3d.render.raster.face import FaceTable
from dr3d.render.raster.fragment import (
  CHUNK,
  CUTOFF,
  EMPTY_DEPTH,
  SLACK,
  Softness,
  chunk_count,
  pixel_offsets,
)
from dr3d.render.raster.gather import take_rows

Array = jax.Array

STEP = 0.75  # pixels beyond an edge, more than half a pixel's diagonal
PREFERENCE = 1e-3  # for the edge that p faces, of two that share a corner


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EdgeTable:
  """Edges of I images, in a form that `bin_faces` takes.

  Attributes:
    normal_x: `[3, I, E]`, for the half planes beside and behind the edge.
    normal_y: `[3, I, E]`.
    start_x: `[3, I, E]`.
    start_y: `[3, I, E]`.
    drawn: bool `[I, E]`.
  """

  normal_x: Array
  normal_y: Array
  start_x: Array
  start_y: Array
  drawn: Array


def list_edges(table: FaceTable, soft: Array, *, camera: Camera) -> EdgeTable:
  """The edges `3 f + k` of a table `[3, I, F]` with marks `[3, I, F]`."""
  table = jax.lax.stop_gradient(table)
  nx, ny = table.normal_x, table.normal_y
  ax, ay = table.start_x, table.start_y
  bx, by = (jnp.roll(v, -1, axis=0) for v in (ax, ay))
  drawn = soft & (table.length > 0)
  if camera == "perspective":
    drawn &= jnp.all(table.inverse_depth > 0, axis=0)
  zero = jnp.zeros_like(nx)
  return EdgeTable(
    normal_x=_by_edge(jnp.stack([nx, -nx, zero])),
    normal_y=_by_edge(jnp.stack([ny, -ny, zero])),
    start_x=_by_edge(jnp.stack([ax, bx, ax])),
    start_y=_by_edge(jnp.stack([ay, by, ay])),
    drawn=_by_edge(drawn),
  )


def _by_edge(array: Array) -> Array:
  """`[..., 3, I, F]` to `[..., I, 3 F]`, edge `3 f + k`."""
  *lead, _, image_count, faces = array.shape
  return jnp.moveaxis(array, -3, -1).reshape(*lead, image_count, 3 * faces)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Nearest:
  """The visible soft edge that is nearest to each pixel, fields `[I, H, W]`.

  Attributes:
    edge: int32, the edge's number `3 f + k` through all images; -1 for none.
    across: int32, number of the pixel o through all images.
    is_inner: bool, which side of the edge the pixel is on.
  """

  edge: Array
  across: Array
  is_inner: Array


def find_nearest(
  table: FaceTable,
  bins: Bins,
  softness: Softness,
  depth: Array,
  *,
  size: tuple[int, int],
) -> Nearest:
  """Finds the nearest visible edges.

  Args:
    table: fields `[3, I, F]`.
    bins: the blocks of its edges; their number is a multiple of `CHUNK`.
    softness: traced numbers.
    depth: `[I, H, W]` Z, `EMPTY_DEPTH` for nothing.
    size: H and W.
  """
  height, width = size
  rows, columns = tile_grid(size)
  image_count = len(depth)
  tiles = image_count * rows * columns
  dtype = depth.dtype
  x, y = pixel_offsets(dtype)
  fields = [
    table.normal_x,
    table.normal_y,
    table.start_x,
    table.start_y,
    table.length,
    # Corner data stand at the opposite edge: the start of edge k at k + 1.
    jnp.roll(table.inverse_depth, -1, axis=0),
    jnp.roll(table.inverse_depth, -2, axis=0),
  ]
  packed = _by_edge(jnp.stack(fields)).reshape(len(fields), -1).T
  flat_depth = depth.reshape(-1)

  def body(i, best):
    def cut(x):
      return jax.lax.dynamic_slice_in_dim(x, i * CHUNK, CHUNK)

    number, used, tile = cut(bins.face), cut(bins.used), cut(bins.tile)
    nx, ny, ax, ay, length, start, end = jnp.moveaxis(
      packed[number][..., None], 2, 0
    )
    image_index = jnp.minimum(tile // (rows * columns), image_count - 1)
    within = tile % (rows * columns)
    px, py = (
      (index * TILE + TILE / 2).astype(dtype)[:, None, None] + offset
      for index, offset in ((within % columns, x), (within // columns, y))
    )
    dx, dy = px - ax, py - ay
    e, s = nx * dx + ny * dy, ny * dx - nx * dy
    foot = jnp.clip(s, 0, length)
    beyond = s - foot
    square = e**2 + beyond**2
    far, near = (
      v[image_index][:, None, None] for v in (softness.far, softness.near)
    )
    z = start + foot / length * (end - start)
    z = (z - far) / (near - far)

    def pixel_of(x, y):
      column = jnp.clip(jnp.floor(x), 0, width - 1).astype(jnp.int32)
      row = jnp.clip(jnp.floor(y), 0, height - 1).astype(jnp.int32)
      return (image_index[:, None, None] * height + row) * width + column

    here = pixel_of(px, py)
    behind_here = flat_depth[here]
    is_inner = (e >= -SLACK) & (behind_here > EMPTY_DEPTH)
    # From p on to its foot and beyond; straight across the edge's inside.
    apart = jnp.sqrt(jnp.where(beyond == 0, 1, square))
    way_x = jnp.where(beyond == 0, nx, (e * nx + beyond * ny) / apart)
    way_y = jnp.where(beyond == 0, ny, (e * ny - beyond * nx) / apart)
    across = pixel_of(
      ax + foot * ny - STEP * way_x, ay - foot * nx - STEP * way_y
    )
    across = jnp.where(is_inner, across, here)
    visible = used[..., None] & (square < -CUTOFF * softness.sigma**2)
    visible &= z > jnp.where(is_inner, flat_depth[across], behind_here)
    key = square + PREFERENCE * beyond**2
    key = jnp.where(visible, key, jnp.inf)
    least = jnp.min(key, axis=1)
    is_least = visible & (key == least[:, None])
    # Of equals the last edge; its other values go with it.
    winner = jnp.max(jnp.where(is_least, number[..., None], -1), axis=1)
    is_winner = is_least & (number[..., None] == winner[:, None])
    place = jnp.max(jnp.where(is_winner, 2 * across + is_inner, -1), axis=1)
    return [
      jax.lax.dynamic_update_slice_in_dim(b, v, i * CHUNK, axis=0)
      for b, v in zip(best, (least, winner, place), strict=True)
    ]

  shape = (bins.tile.shape[0], TILE**2)
  none = jnp.full(shape, -1, jnp.int32)
  key, winner, place = jax.lax.fori_loop(
    0, chunk_count(bins), body, [jnp.full(shape, jnp.inf, dtype), none, none]
  )
  none = jnp.full((tiles + 1, TILE**2), -1, jnp.int32)
  least = jnp.full((tiles + 1, TILE**2), jnp.inf, dtype)
  least = least.at[bins.tile].min(key, indices_are_sorted=True)
  winner = jnp.where(key == least[bins.tile], winner, -1)
  edge = none.at[bins.tile].max(winner, indices_are_sorted=True)
  place = jnp.where(winner == edge[bins.tile], place, -1)
  place = none.at[bins.tile].max(place, indices_are_sorted=True)
  edge, place = untile(edge, size), untile(place, size)
  return Nearest(
    edge=edge, across=jnp.maximum(place, 0) // 2, is_inner=place % 2 == 1
  )


def soften(
  corners: Array,
  colors: Array,
  hard: Array,
  nearest: Nearest,
  *,
  sigma: Array,
  camera: Camera,
) -> Array:
  """Blends each pixel across its nearest edge.

  Args:
    corners: `[3, 3, I, F]` wound corners.
    colors: `[C, 3, I, F]`.
    hard: `[I, H, W, C + 1]` V, colour and coverage 0 or 1.
    nearest: the edges.
    sigma: softness of edges, pixels.
    camera: `"perspective"` or `"orthographic"`.

  Returns:
    `[I, H, W, C + 1]`, colour multiplied by alpha, and alpha.
  """
  _, height, width, channels = hard.shape
  # Channel by channel, written out: sums over so short an axis are slow, and
  # the gradient of each product with D would be one.
  data = jnp.concatenate([corners, colors])
  data = _by_edge(jnp.concatenate([data, jnp.roll(data, -1, axis=1)]))
  data = take_rows(
    data.reshape(len(data), -1).T, jnp.maximum(nearest.edge, 0).reshape(-1)
  ).reshape(*nearest.edge.shape, -1)
  first = [data[..., c] for c in range(channels + 2)]
  second = [data[..., channels + 2 + c] for c in range(channels + 2)]
  ax, ay, start, *start_color = first
  bx, by, end, *end_color = second
  has_edge = nearest.edge >= 0
  x = jnp.arange(width, dtype=hard.dtype) + 0.5
  y = (jnp.arange(height, dtype=hard.dtype) + 0.5)[:, None]
  square = (bx - ax) ** 2 + (by - ay) ** 2
  share = (x - ax) * (bx - ax) + (y - ay) * (by - ay)
  share = jnp.clip(share / jnp.where(square > 0, square, 1), 0, 1)
  d2 = (x - ax - share * (bx - ax)) ** 2 + (y - ay - share * (by - ay)) ** 2
  cover = jax.nn.sigmoid(jnp.where(has_edge, d2, 0) / sigma**2)
  if camera == "orthographic":
    start = end = jnp.ones_like(share)
  start, end = (1 - share) * start, share * end
  total = jnp.where(has_edge, start + end, 1)
  beyond = hard.reshape(-1, channels)[nearest.across]
  image = []
  for c in range(channels):
    if c < channels - 1:
      other = (start * start_color[c] + end * end_color[c]) / total
    else:
      other = jnp.ones_like(total)
    other = jnp.where(nearest.is_inner, beyond[..., c], other)
    soft = cover * hard[..., c] + (1 - cover) * other
    image.append(jnp.where(has_edge, soft, hard[..., c]))
  return jnp.stack(image, axis=-1)
