"""Which faces touch which tile: pairs, sorted, cut into blocks.

An image is cut into square tiles. A pair is a tile and a face that may touch
it. Pairs are found from each face's bounding box, tested edge by edge, and
sorted by tile; then the pairs of a tile are cut into blocks of a fixed number
of faces. Later work is proportional to the number of blocks, even if the tiles
are very unequal, so no number of faces per tile has to be fixed in advance.

Tiles are numbered across all images, so that one list of tiles serves any
number of models and views.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp

Array = jax.Array

TILE = 8  # pixels along the side of a tile
SLOTS = 16  # faces in a block


class Outline(Protocol):
  """Three half planes and three points; see `FaceTable` for the fields."""

  @property
  def normal_x(self) -> Array: ...  # noqa: D102

  @property
  def normal_y(self) -> Array: ...  # noqa: D102

  @property
  def start_x(self) -> Array: ...  # noqa: D102

  @property
  def start_y(self) -> Array: ...  # noqa: D102

  @property
  def drawn(self) -> Array: ...  # noqa: D102


@dataclasses.dataclass(frozen=True)
class Budget:
  """Room of one call, see `dr3d.render.budget`; static under jit.

  Attributes:
    pairs: tile-face pairs of all images.
    blocks: blocks of all images.
    crossing: faces of one image that the near plane cuts into two triangles;
      at least 1 if a corner may be nearer than that plane.
    edges: pairs of a tile and a soft edge, if edges are given.
  """

  pairs: int
  blocks: int
  crossing: int = 0
  edges: int = 0

  def grown_to(self, usage: "Usage") -> "Budget":
    """Returns the next larger budget, of a few sizes an octave."""
    return Budget(
      pairs=max(self.pairs, _round_up(int(jnp.max(usage.pairs)))),
      blocks=max(self.blocks, _round_up(int(jnp.max(usage.blocks)))),
      crossing=max(self.crossing, _round_some(int(jnp.max(usage.crossing)))),
      edges=max(self.edges, _round_some(int(jnp.max(usage.edges)))),
    )

  def joined(self, other: "Budget") -> "Budget":
    """Returns a budget with at least the room of both."""
    return Budget(
      pairs=max(self.pairs, other.pairs),
      blocks=max(self.blocks, other.blocks),
      crossing=max(self.crossing, other.crossing),
      edges=max(self.edges, other.edges),
    )

  def multiplied(self, count: int) -> "Budget":
    """Returns a budget for `count` times as many images."""
    return Budget(
      pairs=_round_up(self.pairs * count),
      blocks=_round_up(self.blocks * count),
      crossing=self.crossing,
      edges=_round_some(self.edges * count),
    )

  def widened(self, factor: float) -> "Budget":
    """Returns a budget with `factor` times the room."""
    return Budget(
      pairs=_round_up(int(self.pairs * factor)),
      blocks=_round_up(int(self.blocks * factor)),
      crossing=_round_some(int(self.crossing * factor)),
      edges=_round_some(int(self.edges * factor)),
    )

  def holds(self, usage: "Usage") -> bool:
    """Whether a call that counted `usage` under this budget was complete."""
    return (
      int(jnp.max(usage.pairs)) <= self.pairs
      and int(jnp.max(usage.blocks)) <= self.blocks
      and int(jnp.max(usage.crossing)) <= self.crossing
      and int(jnp.max(usage.edges)) <= self.edges
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Usage:
  """What a call needed, counted whether or not the budget had room for it.

  Attributes:
    pairs: int32 `[]`, tile-face pairs from the faces' bounding boxes.
    blocks: int32 `[]`, blocks of `SLOTS` faces; exact only if `pairs` fits.
    crossing: int32 `[]`, faces that the near plane cuts into two triangles, in
      the image that has most of them, and at least 1 if a corner is nearer than
      that plane. Pairs and blocks are exact only if these fit.
    edges: int32 `[]`, tile-edge pairs.
  """

  pairs: Array
  blocks: Array
  crossing: Array | int = 0
  edges: Array | int = 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bins:
  """The blocks of all images.

  Attributes:
    face: int32 `[blocks, SLOTS]`, rows of the face table.
    used: bool `[blocks, SLOTS]`, false in the slots that hold no face.
    tile: int32 `[blocks]`, the tile, numbered across all images.
    count: int32 `[]`, how many blocks hold work; the rest are empty.
    usage: what the images needed.
  """

  face: Array
  used: Array
  tile: Array
  count: Array
  usage: Usage


def _round_up(n: int) -> int:
  """Rounds up to 8, 12, 16, 24, 32, 48, …: few sizes are compiled."""
  step = 1 << max(n - 1, 7).bit_length() - 2
  return -(-n // step) * step


def _round_some(n: int) -> int:
  return _round_up(n) if n else 0


def tile_grid(size: tuple[int, int]) -> tuple[int, int]:
  """Rows and columns of the tiles that cover `size` (height, width)."""
  return -(-size[0] // TILE), -(-size[1] // TILE)


def bin_faces(
  table: Outline,
  *,
  size: tuple[int, int],
  reach: Array | float,
  budget: Budget,
) -> Bins:
  """Finds the faces of each tile.

  Args:
    table: fields `[3, I, F]` for I images of F faces, or of F edges.
    size: height and width of an image, pixels.
    reach: how far beyond its edges a face contributes, pixels.
    budget: the room for pairs and blocks.

  Returns:
    Bins that miss no pair as long as `usage` is within `budget`.
  """
  rows, columns = tile_grid(size)
  image_count, faces = table.drawn.shape
  tiles = image_count * rows * columns
  table = jax.tree.map(jax.lax.stop_gradient, table)

  def span(start, cells):
    # Pixel centres, not pixel corners, must lie within reach.
    low = jnp.min(start, axis=0) - reach - 0.5
    high = jnp.max(start, axis=0) + reach - 0.5
    first = jnp.clip(jnp.ceil(low), 0, cells * TILE) // TILE
    last = jnp.clip(jnp.floor(high), -1, cells * TILE - 1) // TILE
    return first.astype(jnp.int32), (last - first + 1).astype(jnp.int32)

  first_x, across = span(table.start_x, columns)
  first_y, down = span(table.start_y, rows)
  is_seen = table.drawn & (across > 0) & (down > 0)
  counts = jnp.where(is_seen, across * down, 0).reshape(-1)
  ends = jnp.cumsum(counts)
  pair_count = ends[-1]

  n = budget.pairs
  number = jnp.arange(n)
  face = jnp.repeat(
    jnp.arange(image_count * faces), counts, total_repeat_length=n
  ).astype(jnp.int32)
  box = jnp.stack([first_x, first_y, across, ends.reshape(across.shape)], -1)
  box = box.reshape(-1, 4)[face]
  within = number - (box[:, 3] - counts[face])
  across = jnp.maximum(box[:, 2], 1)
  x = box[:, 0] + within % across
  y = box[:, 1] + within // across
  touches = (number < pair_count) & _touches(table, face, x, y, reach)
  tile = (face // faces) * (rows * columns) + y * columns + x
  tile, order = _sort(jnp.where(touches, tile, tiles), tiles)

  starts = jnp.searchsorted(tile, jnp.arange(tiles + 1)).astype(jnp.int32)
  filled = starts[1:] - starts[:-1]
  blocks = -(-filled // SLOTS)
  block_ends = jnp.cumsum(blocks)
  block_tile = jnp.repeat(
    jnp.arange(tiles), blocks, total_repeat_length=budget.blocks
  ).astype(jnp.int32)
  block = jnp.arange(budget.blocks)
  place = block - (block_ends - blocks)[block_tile]
  pair = starts[block_tile] + place * SLOTS
  pair = pair[:, None] + jnp.arange(SLOTS)
  is_block = block < block_ends[-1]
  used = is_block[:, None] & (pair < starts[block_tile + 1][:, None])
  return Bins(
    face=jnp.where(used, face[order[jnp.minimum(pair, n - 1)]], 0),
    used=used,
    tile=jnp.where(is_block, block_tile, tiles),
    count=jnp.minimum(block_ends[-1], budget.blocks),
    usage=Usage(pairs=pair_count, blocks=block_ends[-1]),
  )


def _touches(table, face, x, y, reach):
  """Whether some pixel centre of a tile is within reach of all three edges."""
  half = (TILE - 1) / 2
  fields = (table.normal_x, table.normal_y, table.start_x, table.start_y)
  columns = jnp.concatenate([f.reshape(3, -1) for f in fields])
  rows = columns.T[face]
  center_x = x * TILE + TILE / 2
  center_y = y * TILE + TILE / 2
  touches = jnp.ones(face.shape, bool)
  for k in range(3):
    nx, ny, sx, sy = (rows[:, 3 * j + k] for j in range(4))
    nearest = nx * (center_x - sx) + ny * (center_y - sy)
    nearest += half * (jnp.abs(nx) + jnp.abs(ny))
    # The slack covers rounding: an extra pair costs time, a missing one is
    # a hole in the image.
    touches &= nearest >= -reach - 1e-3
  return touches


def _sort(key, largest):
  """Sorts int32 keys in [0, largest]; returns them and their former indices."""
  n = key.shape[0]
  bits = max(n - 1, 1).bit_length()
  if bits + int(largest).bit_length() > 32:
    return jax.lax.sort((key, jnp.arange(n, dtype=jnp.int32)), num_keys=1)
  # One word sorts several times faster than a key with a value.
  word = (key.astype(jnp.uint32) << bits) | jnp.arange(n, dtype=jnp.uint32)
  word = jax.lax.sort(word)
  return (
    (word >> bits).astype(jnp.int32),
    (word & ((1 << bits) - 1)).astype(jnp.int32),
  )


def untile(tiles: Array, size: tuple[int, int]) -> Array:
  """`[..., I·rows·columns + 1, TILE²]` → `[..., I, H, W]`."""
  height, width = size
  rows, columns = tile_grid(size)
  lead = tiles.shape[:-2]
  x = tiles[..., :-1, :].reshape(*lead, -1, rows, columns, TILE, TILE)
  x = jnp.swapaxes(x, -3, -2).reshape(*lead, -1, rows * TILE, columns * TILE)
  return x[..., :height, :width]


def split_tiles(image: Array) -> Array:
  """`[..., I, H, W]` → `[..., I·rows·columns + 1, TILE²]`, zero beyond."""
  *lead, image_count, height, width = image.shape
  rows, columns = tile_grid((height, width))
  none = [(0, 0)] * (len(lead) + 1)
  margin = [(0, rows * TILE - height), (0, columns * TILE - width)]
  x = jnp.pad(image, none + margin)
  x = x.reshape(*lead, image_count, rows, TILE, columns, TILE)
  x = jnp.swapaxes(x, -3, -2).reshape(*lead, -1, TILE**2)
  return jnp.pad(x, [(0, 0)] * len(lead) + [(0, 1), (0, 0)])
