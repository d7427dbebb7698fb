"""From blocks to pixels: a partial softmax for each block, merged by tile.

Notation of `dr3d.render.raster.fragment`.
"""

import dataclasses

import jax
import jax.numpy as jnp

from dr3d.render.raster.bin import TILE, Bins
from dr3d.render.raster.face import FaceTable
from dr3d.render.raster.fragment import (
  BACKGROUND_DEPTH,
  CHUNK,
  EMPTY_DEPTH,
  Softness,
  Style,
  chunk_count,
  cut_chunk,
  evaluate,
  pack,
)

Array = jax.Array


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


def gather_pixels(
  table: FaceTable,
  bins: Bins,
  softness: Softness,
  *,
  grid: tuple[int, int],
  style: Style,
) -> Pixels:
  """Sums the fragments of every pixel.

  Args:
    table: fields `[3, I, F]`.
    bins: the blocks; their number is a multiple of `CHUNK`.
    softness: traced numbers.
    grid: rows and columns of tiles in an image.
    style: how faces are drawn.

  Returns:
    The merged `Pixels` of all tiles of all images.
  """
  channels = len(table.color)
  dtype = table.start_x.dtype
  blocks = bins.tile.shape[0]
  tiles = len(table.drawn) * grid[0] * grid[1]
  packed = pack(table)
  lowest = EMPTY_DEPTH if style.is_hard else BACKGROUND_DEPTH

  def body(i, parts):
    rows, used, _, center, far, near = cut_chunk(
      table, packed, bins, softness, grid, i * CHUNK
    )
    f = evaluate(rows, used, center, softness, far, near, style=style)
    seen = f.coverage > 0
    top = jnp.max(jnp.where(seen, f.z, lowest), axis=1)
    top = jnp.maximum(top, lowest)
    w = jnp.exp(jnp.where(seen, f.z - top[:, None], 0) / softness.gamma)
    w = f.coverage * w
    clear = jnp.prod(1 - f.coverage, axis=1)
    new = [top, jnp.sum(w, axis=1), clear]
    new += [jnp.sum(jnp.where(seen, w * c, 0), axis=1) for c in f.color]
    return [
      jax.lax.dynamic_update_slice_in_dim(part, x, i * CHUNK, axis=0)
      for part, x in zip(parts, new, strict=True)
    ]

  empty = [jnp.full((blocks, TILE**2), lowest, dtype)]
  empty += [jnp.zeros((blocks, TILE**2), dtype)]
  empty += [jnp.ones((blocks, TILE**2), dtype)]
  empty += [jnp.zeros((blocks, TILE**2), dtype)] * channels
  parts = jax.lax.fori_loop(0, chunk_count(bins), body, empty)

  top = jnp.full((tiles + 1, TILE**2), lowest, dtype)
  top = top.at[bins.tile].max(parts[0], indices_are_sorted=True)
  scale = jnp.exp((parts[0] - top[bins.tile]) / softness.gamma)

  def merge(part):
    sums = jnp.zeros((tiles + 1, TILE**2), dtype)
    return sums.at[bins.tile].add(part, indices_are_sorted=True)

  total = merge(parts[1] * scale)
  if style.is_hard:
    total = jnp.where(total > 0, total, 1)
  else:
    total += jnp.exp((BACKGROUND_DEPTH - top) / softness.gamma)
  clear = jnp.ones((tiles + 1, TILE**2), dtype)
  clear = clear.at[bins.tile].multiply(parts[2], indices_are_sorted=True)
  color = jnp.stack([merge(part * scale) / total for part in parts[3:]])
  return Pixels(top=top, total=total, color=color, clear=clear)
