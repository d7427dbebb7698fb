"""Losses of a heat map against the true mask.

`B` pairs, `H W` cells of a map. A map d is in [0, 1], a mask y is 0 or 1, or
between where a cell is on the border. Every loss is unreduced.

References:
  US 2018/0260664 [0061].
"""

import dataclasses

import jax
import jax.numpy as jnp

Array = jax.Array

HIGH = 0.9  # what a map must reach on the object, away from its border
LOW = 0.1  # and must not exceed off it
BORDER_GAP = 0.05  # half the distance of both at the border
BORDER_CELLS = 2  # the border's thresholds pass into those over so many cells


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Thresholds:
  """Per-pixel thresholds of the double margin, `high > low`.

  Attributes:
    high: `[B, H, W]`, on-pixels are pushed above it.
    low: `[B, H, W]`, off-pixels are pushed below it.
  """

  high: Array
  low: Array


def squared_loss(d: Array, y: Array) -> Array:
  """(d - y)², `[B, H, W]`: the plain L2 loss of [0061]."""
  return (d - y) ** 2


def double_margin_loss(d: Array, y: Array, thresholds: Thresholds) -> Array:
  """y·max(H - d, 0)² + (1 - y)·max(d - L, 0)², `[B, H, W]` [0061].

  Nothing between the thresholds is punished, so a border that is uncertain by
  a cell costs nothing.

  Args:
    d: `[B, H, W]` heat.
    y: `[B, H, W]` mask.
    thresholds: of each pixel.

  Example:
    >>> import jax.numpy as jnp
    >>> y = jnp.array([[[1.0, 0.0]]])
    >>> limits = Thresholds(jnp.full(y.shape, 0.9), jnp.full(y.shape, 0.1))
    >>> double_margin_loss(jnp.array([[[0.95, 0.05]]]), y, limits).sum().item()
    0.0
  """
  on = jnp.maximum(thresholds.high - d, 0) ** 2
  off = jnp.maximum(d - thresholds.low, 0) ** 2
  return y * on + (1 - y) * off


def make_thresholds(y: Array) -> Thresholds:
  """Relaxes the thresholds linearly to 0.5 ± `BORDER_GAP` at the border.

  Args:
    y: `[B, H, W]` mask.

  Returns:
    Thresholds by how far a pixel is from the border, in cells: 1 beside it,
    `HIGH` and `LOW` more than `BORDER_CELLS` away.
  """
  inside = (y > 0.5).astype(y.dtype)
  depth = jnp.zeros_like(y)
  for _ in range(BORDER_CELLS):
    # A cell keeps its side only if all its neighbours have the same.
    window = (1, 3, 3)
    largest = jax.lax.reduce_window(
      inside, -jnp.inf, jax.lax.max, window, (1, 1, 1), "SAME"
    )
    smallest = jax.lax.reduce_window(
      inside, jnp.inf, jax.lax.min, window, (1, 1, 1), "SAME"
    )
    same = (largest == smallest).astype(y.dtype)
    depth = depth + same
    # The border widens by a cell: mixed cells become neither side.
    inside = jnp.where(same > 0, inside, 0.5)
  share = depth / BORDER_CELLS
  high = 0.5 + BORDER_GAP + share * (HIGH - 0.5 - BORDER_GAP)
  low = 0.5 - BORDER_GAP - share * (0.5 - BORDER_GAP - LOW)
  return Thresholds(high, low)


def balance(y: Array) -> Array:
  """Weights `[B, H, W]` by which a mean gives object and rest equal parts.

  Without them a small object vanishes in the mean over pixels. Without an
  object, all pixels weigh 1.

  Args:
    y: `[B, H, W]` mask.
  """
  area = jnp.sum(y, axis=(1, 2), keepdims=True)
  rest = y[0].size - area
  half = y[0].size / 2
  # An object of less than a few cells would get a weight without bound.
  on, off = half / jnp.maximum(area, 4), half / jnp.maximum(rest, 4)
  return jnp.where(area > 0, y * on + (1 - y) * off, 1.0)
