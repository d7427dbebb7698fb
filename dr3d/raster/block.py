"""Fragments of a block of faces over a tile: forward, merged, and backward.

Notation of `dr3d.raster.face`, and for a pixel and a face: `D` coverage, `z`
normalised inverse depth, `c` colour, `w = D exp((z - M) / γ)`, where M is the
largest z at the pixel; over the faces of a pixel `S = Σ w + background`,
`C = Σ w c / S`, `T = Π (1 - D)`.

All arrays of fragments are `[blocks, SLOTS, TILE²]`, pixels in the minor axis.
A few blocks at a time are worked on, so that fragments stay in the cache and
memory does not grow with their number. The backward pass works them out again.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.raster.bin import TILE, Bins
from dr3d.raster.face import FaceTable

Array = jax.Array

CUTOFF = -9.21  # logit of coverage 1e-4, below which a face is not felt
BACKGROUND_DEPTH = 1e-3  # normalised inverse depth of the background
CHUNK = 64  # blocks worked on at a time


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Softness:
  """The traced numbers of a call.

  Attributes:
    sigma: `[]` softness of edges, pixels.
    gamma: `[]` softness of occlusion, in normalised inverse depth.
    far: `[I]` inverse depth that z = 0 stands for.
    near: `[I]` inverse depth that z = 1 stands for.
  """

  sigma: Array
  gamma: Array
  far: Array
  near: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pixels:
  """The merged sums of every pixel, by tile: `[tiles + 1, TILE²]`.

  The last tile takes what the empty blocks write.

  Attributes:
    top: M.
    total: S.
    color: `[C, tiles + 1, TILE²]`, C.
    clear: T.
  """

  top: Array
  total: Array
  color: Array
  clear: Array


@dataclasses.dataclass(frozen=True)
class _Fragments:
  """What both passes need of each fragment; lists run over the edges k.

  Attributes:
    coverage: D, exactly 0 where the face is not felt.
    z: normalised inverse depth, at the nearest point of the face's weights.
    weight: clipped `e_k / h_k`, of the corner opposite to edge k.
    weight_sum: Σ weight.
    depth_sum: Σ weight · inverse depth.
    color: C channels.
    e: distances to the edges' lines.
    s: coordinates along the edges.
    square: squared distances to the edges.
    sign: of the logit, with 1/σ²: `logit = sign · min(square)`.
  """

  coverage: Array
  z: Array
  weight: list[Array]
  weight_sum: Array
  depth_sum: Array
  color: list[Array]
  e: list[Array]
  s: list[Array]
  square: list[Array]
  sign: Array


def _pixel_offsets(dtype):
  # NumPy makes these constants of the program. Left to XLA they would become
  # index arithmetic in the inner loop, which then does not vectorise.
  line = np.arange(TILE, dtype=dtype) - (TILE - 1) / 2
  y, x = np.meshgrid(line, line, indexing="ij")
  return x.reshape(-1).astype(dtype), y.reshape(-1).astype(dtype)


def _at(field, k):
  """Column k of `[blocks, SLOTS, 3]`, to be spread over the pixels."""
  return field[..., k][..., None]


def _beyond(s, length):
  """How far past the ends of an edge: negative before, positive behind."""
  return jnp.maximum(s - length, 0) + jnp.minimum(s, 0)


def _fragments(rows, used, center, softness, far, near):
  """Evaluates the faces `rows` (fields `[b, SLOTS, 3]`) at a tile's pixels."""
  x, y = _pixel_offsets(rows.normal_x.dtype)
  e, s, square = [], [], []
  for k in range(3):
    nx, ny = _at(rows.normal_x, k), _at(rows.normal_y, k)
    # Offsets from the tile's centre keep the products small and exact.
    dx = center[0][:, None, None] - _at(rows.start_x, k)
    dy = center[1][:, None, None] - _at(rows.start_y, k)
    e.append((nx * dx + ny * dy) + nx * x + ny * y)
    s.append((ny * dx - nx * dy) + ny * x - nx * y)
    square.append(e[k] ** 2 + _beyond(s[k], _at(rows.length, k)) ** 2)
  distance = jnp.minimum(jnp.minimum(square[0], square[1]), square[2])
  inside = jnp.minimum(jnp.minimum(e[0], e[1]), e[2]) >= 0
  sign = jnp.where(inside, 1, -1).astype(x.dtype) / softness.sigma**2
  logit = sign * distance
  weight = [
    jnp.maximum(e[k] * _at(rows.inverse_height, k), 0) for k in range(3)
  ]
  weight_sum = weight[0] + weight[1] + weight[2]
  # Rounding may leave a far sliver without weights.
  seen = used[..., None] & (logit > CUTOFF) & (weight_sum > 0)
  coverage = jnp.where(seen, jax.nn.sigmoid(logit), 0)

  depth_sum = sum(weight[k] * _at(rows.inverse_depth, k) for k in range(3))
  z = depth_sum / weight_sum
  z = (z - far[:, None, None]) / (near - far)[:, None, None]
  color = [
    sum(weight[k] * _at(rows.color[..., c, :], k) for k in range(3)) / depth_sum
    for c in range(rows.color.shape[-2])
  ]
  return _Fragments(
    coverage=coverage,
    z=z,
    weight=weight,
    weight_sum=weight_sum,
    depth_sum=depth_sum,
    color=color,
    e=e,
    s=s,
    square=square,
    sign=sign,
  )


def _chunk(table, packed, bins, softness, grid, start):
  """The blocks from `start` on, and where they lie."""
  rows, columns = grid

  def cut(x):
    return jax.lax.dynamic_slice_in_dim(x, start, CHUNK)

  face, used, tile = cut(bins.face), cut(bins.used), cut(bins.tile)
  picture = _picture(tile, table.drawn.shape[0], grid)
  within = tile % (rows * columns)
  center = tuple(
    (index * TILE + TILE / 2).astype(table.start_x.dtype)
    for index in (within % columns, within // columns)
  )
  rows = _unpack(packed[face], table.color.shape[-2])
  return rows, used, tile, center, softness.far[picture], softness.near[picture]


def _picture(tile, pictures, grid):
  """The pictures of tiles; that of empty blocks is the last one."""
  return jnp.minimum(tile // (grid[0] * grid[1]), pictures - 1)


def _pack(table):
  """The table as one array `[I·F, columns]`, so that one gather reads a row."""
  fields = [
    table.normal_x,
    table.normal_y,
    table.start_x,
    table.start_y,
    table.length,
    table.inverse_height,
    table.inverse_depth,
    table.color.reshape(*table.drawn.shape, -1),
  ]
  packed = jnp.concatenate(fields, axis=-1)
  return packed.reshape(-1, packed.shape[-1])


def _unpack(rows, channels):
  edges = [rows[..., 3 * j : 3 * j + 3] for j in range(7)]
  return FaceTable(
    normal_x=edges[0],
    normal_y=edges[1],
    start_x=edges[2],
    start_y=edges[3],
    length=edges[4],
    inverse_height=edges[5],
    inverse_depth=edges[6],
    color=rows[..., 21:].reshape(*rows.shape[:-1], channels, 3),
    drawn=jnp.ones(rows.shape[:-1], bool),
  )


def _chunk_count(bins):
  return -(-bins.count // CHUNK)


def gather_pixels(
  table: FaceTable,
  bins: Bins,
  softness: Softness,
  *,
  grid: tuple[int, int],
) -> Pixels:
  """Sums the fragments of every pixel.

  Args:
    table: fields `[I, F, 3]`.
    bins: the blocks; their number is a multiple of `CHUNK`.
    softness: traced numbers.
    grid: rows and columns of tiles in a picture.

  Returns:
    The merged `Pixels` of all tiles of all pictures.
  """
  channels = table.color.shape[-2]
  dtype = table.start_x.dtype
  blocks = bins.tile.shape[0]
  tiles = table.drawn.shape[0] * grid[0] * grid[1]
  packed = _pack(table)

  def body(i, parts):
    rows, used, _, center, far, near = _chunk(
      table, packed, bins, softness, grid, i * CHUNK
    )
    f = _fragments(rows, used, center, softness, far, near)
    seen = f.coverage > 0
    top = jnp.max(jnp.where(seen, f.z, BACKGROUND_DEPTH), axis=1)
    top = jnp.maximum(top, BACKGROUND_DEPTH)
    w = jnp.exp(jnp.where(seen, f.z - top[:, None], 0) / softness.gamma)
    w = f.coverage * w
    clear = jnp.prod(1 - f.coverage, axis=1)
    new = [top, jnp.sum(w, axis=1), clear]
    new += [jnp.sum(jnp.where(seen, w * c, 0), axis=1) for c in f.color]
    return [
      jax.lax.dynamic_update_slice_in_dim(part, x, i * CHUNK, axis=0)
      for part, x in zip(parts, new, strict=True)
    ]

  empty = [jnp.full((blocks, TILE**2), BACKGROUND_DEPTH, dtype)]
  empty += [jnp.zeros((blocks, TILE**2), dtype)]
  empty += [jnp.ones((blocks, TILE**2), dtype)]
  empty += [jnp.zeros((blocks, TILE**2), dtype)] * channels
  parts = jax.lax.fori_loop(0, _chunk_count(bins), body, empty)

  top = jnp.full((tiles + 1, TILE**2), BACKGROUND_DEPTH, dtype)
  top = top.at[bins.tile].max(parts[0], indices_are_sorted=True)
  scale = jnp.exp((parts[0] - top[bins.tile]) / softness.gamma)

  def merge(part):
    sums = jnp.zeros((tiles + 1, TILE**2), dtype)
    return sums.at[bins.tile].add(part, indices_are_sorted=True)

  total = merge(parts[1] * scale)
  total += jnp.exp((BACKGROUND_DEPTH - top) / softness.gamma)
  clear = jnp.ones((tiles + 1, TILE**2), dtype)
  clear = clear.at[bins.tile].multiply(parts[2], indices_are_sorted=True)
  color = jnp.stack([merge(part * scale) / total for part in parts[3:]])
  return Pixels(top=top, total=total, color=color, clear=clear)


def scatter_gradient(
  table: FaceTable,
  bins: Bins,
  softness: Softness,
  pixels: Pixels,
  color_gradient: Array,
  alpha_gradient: Array,
  *,
  grid: tuple[int, int],
) -> tuple[Array, Array, Array, Array]:
  """Carries the gradient of the pixels back to the faces.

  Two identities spare the way through the table. Where `f` is the point of an
  edge that is nearest to p, at the share t of its length, `d² = ‖p - f‖²` has
  the gradient `-2(1 - t)(p - f)` in the edge's start and `-2t(p - f)` in its
  end. And barycentric weights obey `∂λ_i/∂v_j = -λ_j ∇λ_i`, so what reaches
  them reaches corner j as `-λ_j Σ_i g_i ∇λ_i`.

  Args:
    table: as in `gather_pixels`, and so are `bins`, `softness` and `grid`.
    bins: the blocks.
    softness: traced numbers.
    pixels: what `gather_pixels` returned.
    color_gradient: `[C, tiles + 1, TILE²]`.
    alpha_gradient: `[tiles + 1, TILE²]`.
    grid: rows and columns of tiles in a picture.

  Returns:
    The gradients with respect to the wound corners `[I, F, 3, 3]` (x, y,
    inverse depth), their colours `[I, F, 3, C]`, and `softness.far` and
    `softness.near`, `[I]` each.
  """
  pictures, faces = table.drawn.shape
  channels = table.color.shape[-2]
  dtype = table.start_x.dtype
  packed = _pack(table)

  def body(i, both):
    sums, ranges = both
    rows, used, tile, center, far, near = _chunk(
      table, packed, bins, softness, grid, i * CHUNK
    )
    f = _fragments(rows, used, center, softness, far, near)

    def pixel(array):
      return array[tile][:, None]

    # The nearest edge, ties to the first: offset from it and share along it.
    first = (f.square[0] <= f.square[1]) & (f.square[0] <= f.square[2])
    second = ~first & (f.square[1] <= f.square[2])
    nearest = [first, second, ~(first | second)]

    def pick(values):
      later = jnp.where(second, values[1], values[2])
      return jnp.where(first, values[0], later)

    e = pick(f.e)
    s = pick(f.s)
    nx = pick([_at(rows.normal_x, k) for k in range(3)])
    ny = pick([_at(rows.normal_y, k) for k in range(3)])
    length = pick([_at(rows.length, k) for k in range(3)])
    beyond = _beyond(s, length)
    share = jnp.clip(s, 0, length) / jnp.where(length > 0, length, 1)
    off_x = e * nx + beyond * ny
    off_y = e * ny - beyond * nx
    seen = f.coverage > 0

    # Rounding may differ between the passes: a face at the cut-off that is felt
    # only in this one may lie before the top, and must not overflow.
    behind = jnp.minimum(f.z - pixel(pixels.top), 0)
    w = jnp.where(seen, behind, 0) / softness.gamma
    w = f.coverage * jnp.exp(w) / pixel(pixels.total)
    g_color = [pixel(color_gradient[c]) for c in range(channels)]
    pull = sum(
      g_color[c] * (f.color[c] - pixel(pixels.color[c]))
      for c in range(channels)
    )
    pull = jnp.where(seen, w * pull, 0)  # dL/d log w
    g_logit = (1 - f.coverage) * pull
    g_logit += pixel(alpha_gradient * pixels.clear) * f.coverage
    push = -2 * g_logit * f.sign
    g_z = pull / ((near - far)[:, None, None] * softness.gamma)
    g_near = -jnp.sum(jnp.where(seen, g_z * f.z, 0), axis=(1, 2))
    g_far = -g_near - jnp.sum(g_z, axis=(1, 2))
    g_depth = jnp.where(seen, g_z / f.weight_sum, 0)
    mixed = jnp.where(seen, w / f.depth_sum, 0)
    g_depth_sum = g_depth - mixed * sum(
      g * c for g, c in zip(g_color, f.color, strict=True)
    )
    g_weight_sum = -g_depth * f.depth_sum / jnp.where(seen, f.weight_sum, 1)
    slope_x = slope_y = 0
    for k in range(3):
      g_weight = g_weight_sum + g_depth_sum * _at(rows.inverse_depth, k)
      for c in range(channels):
        g_weight += mixed * g_color[c] * _at(rows.color[..., c, :], k)
      g_weight = jnp.where(f.e[k] > 0, g_weight, 0)
      g_weight = g_weight * _at(rows.inverse_height, k)
      slope_x -= g_weight * _at(rows.normal_x, k)
      slope_y -= g_weight * _at(rows.normal_y, k)

    def over_pixels(g):
      return jnp.sum(g, axis=-1)

    columns = []
    for j in range(3):
      k = (j + 1) % 3  # the edge opposite to corner j
      # Corner j starts edge j and ends edge j - 1.
      part = jnp.where(
        nearest[j], 1 - share, jnp.where(nearest[j - 1], share, 0)
      )
      bary = f.e[k] * _at(rows.inverse_height, k)
      columns += [
        over_pixels(part * push * off_x + bary * slope_x),
        over_pixels(part * push * off_y + bary * slope_y),
        over_pixels(g_depth_sum * f.weight[k]),
      ]
      columns += [over_pixels(mixed * f.weight[k] * g) for g in g_color]
    new = jnp.stack(columns, axis=-1)
    face = jax.lax.dynamic_slice_in_dim(bins.face, i * CHUNK, CHUNK)
    sums = sums.at[face].add(jnp.where(used[..., None], new, 0))
    picture = _picture(tile, pictures, grid)
    return sums, ranges.at[picture].add(jnp.stack([g_far, g_near], axis=-1))

  sums = jnp.zeros((pictures * faces, 3 * (3 + channels)), dtype)
  sums, ranges = jax.lax.fori_loop(
    0, _chunk_count(bins), body, (sums, jnp.zeros((pictures, 2), dtype))
  )
  sums = sums.reshape(pictures, faces, 3, 3 + channels)
  # The table holds colour times inverse depth.
  opposite = [1, 2, 0]
  depth = table.inverse_depth[..., opposite][..., None]
  depth = jnp.where(depth == 0, 1, depth)
  color = jnp.swapaxes(table.color[..., opposite], -1, -2) / depth
  g_color = sums[..., 3:] * depth
  g_depth = sums[..., 2:3] + jnp.sum(
    sums[..., 3:] * color, axis=-1, keepdims=True
  )
  g_corners = jnp.concatenate([sums[..., :2], g_depth], axis=-1)
  return g_corners, g_color, ranges[:, 0], ranges[:, 1]
