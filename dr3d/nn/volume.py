"""The encoder of voxels: 3D convolutions in a form that is fast on a CPU.

`B` models, `R` voxels along an axis, `C` channels, `Z` size of a code.

References:
  IM-NET (Chen and Zhang, CVPR 2019), network of the encoder.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array

LEAK = 0.02  # slope of leaky ReLU at negative values, IM-NET
GRID_START = 4  # voxels along an axis beside a code, in both directions


def halve(x: Array, kernel: Array) -> Array:
  """Convolves with a kernel of 4³, stride 2, and one voxel of padding.

  The sum is that of `jax.lax.conv`, computed as eight products of matrices:
  blocks of 2³ voxels become channels, and a kernel of 4³ covers 2³ blocks. XLA
  needs nine times as long for the convolution itself on a CPU.

  Args:
    x: `[B, R, R, R, C]`, R even.
    kernel: `[4, 4, 4, C, K]`.

  Returns:
    `[B, R/2, R/2, R/2, K]`.
  """
  B, R, *_, C = x.shape
  n = R // 2
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
  x = x.reshape(B, n + 1, 2, n + 1, 2, n + 1, 2, C)
  x = x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(B, *(n + 1,) * 3, 8 * C)
  w = kernel.reshape(2, 2, 2, 2, 2, 2, C, -1)
  w = w.transpose(0, 2, 4, 1, 3, 5, 6, 7).reshape(2, 2, 2, 8 * C, -1)
  products = [
    x[:, i : i + n, j : j + n, k : k + n] @ w[i, j, k]
    for i in range(2)
    for j in range(2)
    for k in range(2)
  ]
  return functools.reduce(jnp.add, products)


def double(x: Array, kernel: Array) -> Array:
  """The adjoint of `halve`: a convolution that doubles the resolution.

  Args:
    x: `[B, n, n, n, K]`.
    kernel: `[4, 4, 4, C, K]`.

  Returns:
    `[B, 2n, 2n, 2n, C]`.
  """
  B, n = x.shape[:2]
  fine = jax.ShapeDtypeStruct((B, *(2 * n,) * 3, kernel.shape[3]), x.dtype)
  (y,) = jax.linear_transpose(lambda y: halve(y, kernel), fine)(x)
  return y


class VoxelEncoder(nn.Module):
  """Voxels to codes in (0, 1).

  The norm is over the channels of a voxel, so that a code depends on no other
  shape of the batch. IM-NET normalises over the batch or over the voxels; the
  latter would hide how full a shape is.

  Attributes:
    widths: channels after each layer that halves the resolution; 4 voxels must
      remain.
    code_size: Z.
  """

  widths: tuple[int, ...]
  code_size: int

  @nn.compact
  def __call__(self, voxels: Array) -> Array:
    """`[B, R, R, R]` values in [0, 1] to `[B, Z]`."""
    resolution = GRID_START * 2 ** len(self.widths)
    if voxels.shape[1:] != (resolution,) * 3:
      raise ValueError(
        f"an encoder of {len(self.widths)} layers takes {resolution}³ voxels,"
        f" not {voxels.shape[1:]}."
      )
    x = voxels[..., None]
    for i, width in enumerate(self.widths):
      kernel = self.param(
        f"kernel_{i}",
        nn.initializers.he_normal(),
        (4, 4, 4, x.shape[-1], width),
      )
      x = nn.leaky_relu(nn.RMSNorm()(halve(x, kernel)), LEAK)
    return nn.sigmoid(nn.Dense(self.code_size)(x.reshape(len(x), -1)))
