"""The implicit decoder: a code and a point to inside or outside.

`B` models, `P` points, `Z` size of a code.

References:
  IM-NET (Chen and Zhang, CVPR 2019), figure 2: the implicit decoder.
  M. Tancik et al., Fourier features let networks learn high frequency functions
  (NeurIPS 2020), for `octaves`.
  S. Peng et al., Convolutional occupancy networks (ECCV 2020): a grid of
  features that points read, for `grid_widths`.
"""

import functools
import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dr3d.nn.volume import GRID_START, LEAK, double

Array = jax.Array

# Layers that see code and point again, besides the first, IM-NET.
_SKIPS = 4


def encode_points(points: Array, *, octaves: int, scale: float) -> Array:
  """Returns the features of points: coordinates, sines and cosines.

  Args:
    points: `[..., 3]` in the cube [-1, 1]³.
    octaves: frequencies π, 2π, 4π, ... of sines and cosines; 0 for none.
    scale: multiplies the bare coordinates.

  Returns:
    `[..., 3 + 6 octaves]`.
  """
  parts = [scale * points]
  for k in range(octaves):
    angle = jnp.pi * 2**k * points
    parts += [jnp.sin(angle), jnp.cos(angle)]
  return jnp.concatenate(parts, axis=-1)


def read_grid(grid: Array, points: Array) -> Array:
  """Returns trilinear values of grids at points; beyond the last centre, its.

  Args:
    grid: `[B, n, n, n, C]` values at the centres of the cells of [-1, 1]³.
    points: `[B, P, 3]`.

  Returns:
    `[B, P, C]`.
  """
  B, n, *_, C = grid.shape
  place = jnp.clip((points + 1) * (n / 2) - 0.5, 0, n - 1)
  low = jnp.clip(jnp.floor(place), 0, n - 2).astype(jnp.int32)
  part = place - low
  flat = grid.reshape(-1, C)
  first = jnp.arange(B)[:, None] * n**3
  total: Any = 0.0
  for corner in itertools.product((0, 1), repeat=3):
    x, y, z = jnp.moveaxis(low + jnp.array(corner), -1, 0)
    sides = [
      part[..., k] if c else 1 - part[..., k] for k, c in enumerate(corner)
    ]
    share = functools.reduce(jnp.multiply, sides)
    total += share[..., None] * flat[first + (x * n + y) * n + z]
  return total


class Grid(nn.Module):
  """Codes to grids of features, by convolutions that double the resolution.

  Attributes:
    widths: channels at 4³, 8³, 16³ and so on.
  """

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, codes: Array) -> Array:
    """`[B, Z]` to `[B, n, n, n, C]`."""
    first, *others = self.widths
    x = nn.Dense(GRID_START**3 * first)(codes)
    x = x.reshape(-1, *(GRID_START,) * 3, first)
    for i, width in enumerate(others):
      x = nn.leaky_relu(nn.RMSNorm()(x), LEAK)
      # He's, by the eighth of the kernel's places that each voxel sees.
      start = nn.initializers.variance_scaling(
        8 * 2.0, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2
      )
      kernel = self.param(f"kernel_{i}", start, (4, 4, 4, width, x.shape[-1]))
      x = double(x, kernel)
    return x


class ImplicitDecoder(nn.Module):
  """A network of dense layers.

  A layer's product with the code is the same for all points of a shape, so it
  is computed once for each shape and added. That is the published network with
  its concatenated input, at 0.65 of the cost with the default widths.

  Attributes:
    widths: of the layers before the last.
    octaves: see `encode_points`.
    scale: see `encode_points`.
    deviation: standard deviation of the initial weights; that of LeCun, by the
      number of inputs, if 0.
    grid_widths: of a `Grid` that the code unfolds into; what a point reads
      there is added to its features. None if empty, as published.
  """

  widths: tuple[int, ...]
  octaves: int
  scale: float
  deviation: float = 0.0
  grid_widths: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, codes: Array, points: Array) -> Array:
    """`[B, Z]` and `[B, P, 3]` to logits `[B, P]`, positive inside."""
    start = nn.initializers.lecun_normal()
    if self.deviation:
      start = nn.initializers.normal(self.deviation)

    def dense(width: int, name: str, *, bias: bool = False) -> nn.Dense:
      return nn.Dense(width, use_bias=bias, kernel_init=start, name=name)

    features = encode_points(points, octaves=self.octaves, scale=self.scale)
    if self.grid_widths:
      local = read_grid(Grid(self.grid_widths, name="grid")(codes), points)
      features = jnp.concatenate([features, local], axis=-1)
    h = None
    for i, width in enumerate(self.widths):
      y: Any = 0.0 if h is None else dense(width, f"hidden_{i}")(h)
      if i <= _SKIPS:
        y = y + dense(width, f"point_{i}")(features)
        y = y + dense(width, f"code_{i}", bias=True)(codes)[:, None]
      h = nn.leaky_relu(y, LEAK)
    return dense(1, "last", bias=True)(h)[..., 0]
