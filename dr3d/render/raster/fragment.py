"""What a pixel sees of a face: the fragments of a block of faces over a tile.

Notation of `dr3d.render.raster.face`, and for a pixel and a face: `D` coverage,
`z` normalised inverse depth, `c` colour, `w = D exp((z - M) / γ)`, where M is
the largest z at the pixel; over the faces of a pixel `S = Σ w + background`, `C
= Σ w c / S`, `T = Π (1 - D)`.

All arrays of fragments are `[blocks, SLOTS, TILE²]`, pixels in the minor axis.
A few blocks are processed at a time, so that fragments stay in the cache and
memory does not grow with their number. The backward pass computes them again.

XLA computes an element-wise value again in each kernel that uses it, unless it
ends in a division or an exponential. Values that many kernels need therefore
end in one, and selections (`where`) come before it.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.projection import Camera
from dr3d.render.raster.bin import TILE, Bins
from dr3d.render.raster.face import FaceTable

Array = jax.Array

CUTOFF = -9.21  # logit of coverage 1e-4, below which a face does not contribute
BACKGROUND_DEPTH = -5.0  # normalised inverse depth: farther than the horizon
EMPTY_DEPTH = -1e9  # depth of a pixel that sees nothing
SLACK = 1e-3  # pixels that a hard face reaches beyond its edges: no cracks,
BRIM = 1e-6  # but with so little weight that it only fills them
CHUNK = 32  # blocks worked on at a time: fragments that fit in the cache


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Softness:
  """The traced numbers of a call.

  Attributes:
    sigma: `[]` softness of edges, pixels.
    gamma: `[]` softness of occlusion, in normalised inverse depth.
    far: `[I]` inverse depth at z = 0.
    near: `[I]` inverse depth at z = 1.
  """

  sigma: Array
  gamma: Array
  far: Array
  near: Array


@dataclasses.dataclass(frozen=True)
class Style:
  """Options that are static under jit.

  Attributes:
    is_hard: whether faces end at their edges, and there is no background.
    camera: `"perspective"` or `"orthographic"`.
  """

  is_hard: bool
  camera: Camera


@dataclasses.dataclass(frozen=True)
class Fragments:
  """What both passes need of each fragment; lists run over the edges k.

  Attributes:
    coverage: D, exactly 0 if the face does not contribute.
    z: normalised inverse depth, at the nearest point of the face's weights.
    weight: clipped `e_k / h_k`, of the corner opposite to edge k.
    weight_sum: Σ weight.
    depth_sum: Σ weight · inverse depth.
    color_sum: divisor of Σ weight · colour of the table: weight_sum for an
      orthographic camera, depth_sum for a perspective one.
    color: C channels.
    e: distances to the edges' lines.
    s: coordinates along the edges.
    square: squared distances to the edges.
    sign: of the logit: `logit = sign · min(square) / σ²`.
  """

  coverage: Array
  z: Array
  weight: list[Array]
  weight_sum: Array
  depth_sum: Array
  color_sum: Array
  color: list[Array]
  e: list[Array]
  s: list[Array]
  square: list[Array]
  sign: Array


def pixel_offsets(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
  """Pixel centres relative to the tile's centre, `[TILE²]` x and y."""
  # NumPy makes these constants of the program. Left to XLA they would become
  # index arithmetic in the inner loop, which then does not vectorise.
  line = np.arange(TILE, dtype=dtype) - (TILE - 1) / 2
  y, x = np.meshgrid(line, line, indexing="ij")
  return x.reshape(-1).astype(dtype), y.reshape(-1).astype(dtype)


def at_edge(field: Array, k: int) -> Array:
  """Entry k of `[3, blocks, SLOTS]`, to be spread over the pixels."""
  return field[k][..., None]


def less(a: Array, b: Array | float) -> Array:
  """Lesser of two numbers in one instruction; `minimum` takes four."""
  return jnp.where(a < b, a, b)


def more(a: Array, b: Array | float) -> Array:
  """The greater of two numbers."""
  return jnp.where(a > b, a, b)


def beyond_ends(s: Array, length: Array) -> Array:
  """How far past the ends of an edge: negative before, positive behind."""
  return more(s - length, 0) + less(s, 0)


def mix(weight: list[Array], field: Array) -> Array:
  """Σ weight · field over the edges."""
  x, y, z = (weight[k] * at_edge(field, k) for k in range(3))
  return x + y + z


def evaluate(rows, used, center, softness, far, near, *, style):
  """Evaluates the faces `rows` (fields `[3, b, SLOTS]`) at a tile's pixels.

  Hard faces cover what is inside of them, whatever σ is.
  """
  x, y = pixel_offsets(rows.normal_x.dtype)
  e, s, square = [], [], []
  for k in range(3):
    nx, ny = at_edge(rows.normal_x, k), at_edge(rows.normal_y, k)
    # Offsets from the tile's centre keep the products small and exact.
    dx = center[0][:, None, None] - at_edge(rows.start_x, k)
    dy = center[1][:, None, None] - at_edge(rows.start_y, k)
    e.append((nx * dx + ny * dy) + nx * x + ny * y)
    s.append((ny * dx - nx * dy) + ny * x - nx * y)
    square.append(e[k] ** 2 + beyond_ends(s[k], at_edge(rows.length, k)) ** 2)
  distance = less(less(square[0], square[1]), square[2])
  innermost = less(less(e[0], e[1]), e[2])
  sign = jnp.where(innermost >= 0, 1, -1).astype(x.dtype)
  weight = [more(e[k] * at_edge(rows.inverse_height, k), 0) for k in range(3)]
  weight_sum = weight[0] + weight[1] + weight[2]
  # Rounding may leave a far sliver without weights.
  seen = used[..., None] & (weight_sum > 0)
  if style.is_hard:
    # Not the lines' distances: beyond a sharp corner they stay small for long.
    coverage = jnp.where(distance <= SLACK**2, BRIM, 0)
    coverage = jnp.where(innermost >= 0, 1, coverage)
    coverage = jnp.where(seen, coverage, 0).astype(x.dtype)
  else:
    logit = sign * distance / softness.sigma**2
    seen &= logit > CUTOFF
    # The division comes last: XLA stores its result for all users, while each
    # would compute a selection again.
    coverage = 1 / (1 + jnp.exp(jnp.where(seen, -logit, jnp.inf)))

  depth_sum = mix(weight, rows.inverse_depth)
  z = depth_sum / weight_sum
  z = (z - far[:, None, None]) / (near - far)[:, None, None]
  color_sum = depth_sum if style.camera == "perspective" else weight_sum
  color = [mix(weight, field) / color_sum for field in rows.color]
  return Fragments(
    coverage=coverage,
    z=z,
    weight=weight,
    weight_sum=weight_sum,
    depth_sum=depth_sum,
    color_sum=color_sum,
    color=color,
    e=e,
    s=s,
    square=square,
    sign=sign,
  )


def cut_chunk(table, packed, bins, softness, grid, start):
  """The blocks from `start` on, and where they lie."""
  rows, columns = grid

  def cut(x):
    return jax.lax.dynamic_slice_in_dim(x, start, CHUNK)

  face, used, tile = cut(bins.face), cut(bins.used), cut(bins.tile)
  image_index = image_of(tile, len(table.drawn), grid)
  within = tile % (rows * columns)
  center = tuple(
    (index * TILE + TILE / 2).astype(table.start_x.dtype)
    for index in (within % columns, within // columns)
  )
  rows = _unpack(packed[face], len(table.color))
  return (
    rows,
    used,
    tile,
    center,
    softness.far[image_index],
    softness.near[image_index],
  )


def image_of(tile, image_count, grid):
  """The images of tiles; that of empty blocks is the last one."""
  return jnp.minimum(tile // (grid[0] * grid[1]), image_count - 1)


def pack(table: FaceTable) -> Array:
  """The table as one array `[I·F, columns]`, so that one gather reads a row."""
  fields = [
    table.normal_x,
    table.normal_y,
    table.start_x,
    table.start_y,
    table.length,
    table.inverse_height,
    table.inverse_depth,
    table.color.reshape(-1, *table.drawn.shape),
  ]
  packed = jnp.concatenate(fields)
  return packed.reshape(len(packed), -1).T


def _unpack(rows, channels):
  columns = jnp.moveaxis(rows, -1, 0)
  edges = [columns[3 * j : 3 * j + 3] for j in range(7)]
  return FaceTable(
    normal_x=edges[0],
    normal_y=edges[1],
    start_x=edges[2],
    start_y=edges[3],
    length=edges[4],
    inverse_height=edges[5],
    inverse_depth=edges[6],
    color=columns[21:].reshape(channels, 3, *rows.shape[:-1]),
    drawn=jnp.ones(rows.shape[:-1], bool),
  )


def chunk_count(bins: Bins) -> Array:
  """How many chunks hold work."""
  return -(-bins.count // CHUNK)
