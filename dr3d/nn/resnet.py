"""A residual network without pooling: pictures to codes.

`B` pictures, `H W` pixels, `C` channels, `Z` size of a code.

References:
  K. He et al., Deep residual learning (CVPR 2016), the 18-layer network.
  IM-NET (Chen and Zhang, CVPR 2019): the encoder of pictures, which keeps the
  place of a feature because a last convolution sees all of them.
"""

import flax.linen as nn
import jax

Array = jax.Array

_BLOCKS = 2  # in each stage


class Block(nn.Module):
  """Two convolutions and a shortcut, normalised over the channels."""

  width: int
  stride: int = 1

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """`[B, H, W, C]` to `[B, H / stride, W / stride, width]`."""
    strides = (self.stride, self.stride)
    y = nn.relu(nn.RMSNorm()(x))
    shortcut = x
    if self.stride > 1 or x.shape[-1] != self.width:
      shortcut = nn.Conv(
        self.width, (self.stride, self.stride), strides, use_bias=False
      )(y)
    y = nn.Conv(self.width, (3, 3), strides, use_bias=False)(y)
    y = nn.relu(nn.RMSNorm()(y))
    # Starts as the shortcut alone, so that the first steps are stable.
    zeros = nn.initializers.zeros
    return shortcut + nn.Conv(
      self.width, (3, 3), use_bias=False, kernel_init=zeros
    )(y)


class PictureEncoder(nn.Module):
  """Grey pictures to codes in (0, 1).

  Attributes:
    widths: channels of the four stages.
    code_size: Z.
  """

  widths: tuple[int, ...]
  code_size: int

  @nn.compact
  def __call__(self, pictures: Array) -> Array:
    """`[B, H, W]` in [0, 1], 0 for the background, to `[B, Z]`."""
    cell = 2 ** (len(self.widths) + 1)
    if pictures.shape[1] % cell or pictures.shape[2] % cell:
      raise ValueError(
        f"sides of pictures must be multiples of {cell}: {pictures.shape[1:]}."
      )
    x = nn.Conv(self.widths[0], (7, 7), (2, 2))(pictures[..., None] - 0.5)
    for stage, width in enumerate(self.widths):
      for block in range(_BLOCKS):
        x = Block(width, 2 if stage and not block else 1)(x)
    x = nn.Conv(self.widths[-1], (4, 4), (2, 2))(nn.relu(nn.RMSNorm()(x)))
    x = nn.relu(nn.RMSNorm()(x)).reshape(len(x), -1)
    return nn.sigmoid(nn.Dense(self.code_size)(x))
