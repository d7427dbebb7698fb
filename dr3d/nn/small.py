"""The small encoder: a CNN that learns from rendered images alone.

`B` models, `N` images of a model, `I` = B·N images, `H W` pixels, `C` channels,
`Z` latent size, `D` feature size.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dr3d.nn.config import EncoderConfig
from dr3d.nn.exchange import exchange_views
from dr3d.nn.unit import to_unit

Array = jax.Array


class Block(nn.Module):
  """A residual block: normalisation and two convolutions.

  The norm is over the channels of a pixel, so that the features of an image do
  not depend on its batch.
  """

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """`[I, H, W, C]` to the same shape."""
    channels = x.shape[-1]
    y = nn.RMSNorm()(x)
    y = nn.Conv(channels, (3, 3))(y)
    y = nn.relu(y)
    y = nn.Conv(channels, (3, 3), kernel_init=nn.initializers.zeros)(y)
    return x + y


class SmallEncoder(nn.Module):
  """A CNN of residual blocks, see `EncoderConfig`."""

  config: EncoderConfig

  @nn.compact
  def __call__(self, images: Array) -> Array:
    """Embeds the images of B models.

    Args:
      images: `[B, N, H, W, 4]`; height and width are multiples of
        `4 · 2^(stages - 1)`.

    Returns:
      `[B, N, D]` unit vectors.
    """
    B, N, H, W, C = images.shape
    widths = self.config.widths
    cell = 4 * 2 ** (len(widths) - 1)
    if H % cell or W % cell:
      raise ValueError(f"image sides must be multiples of {cell}: {H}, {W}.")
    x = images.reshape(B * N, H, W, C) - 0.5
    if self.config.stem:
      x = nn.relu(nn.Conv(self.config.stem, (4, 4), strides=2)(x))
      x = nn.Conv(widths[0], (3, 3), strides=2)(x)
    else:
      x = x.reshape(B * N, H // 4, 4, W // 4, 4, C)
      x = jnp.moveaxis(x, 2, 3).reshape(B * N, H // 4, W // 4, 16 * C)
      x = nn.Conv(widths[0], (3, 3))(x)
    for stage, width in enumerate(widths):
      if stage:
        x = nn.Conv(width, (2, 2), strides=2)(nn.RMSNorm()(x))
      for _ in range(self.config.depth):
        x = Block()(x)
    x = nn.relu(nn.RMSNorm()(x))
    z = jnp.concatenate([jnp.mean(x, (1, 2)), jnp.max(x, (1, 2))], axis=-1)
    z = nn.Dense(2 * self.config.feature_size)(z)
    z = z.reshape(B, N, -1)
    z = exchange_views(z, self.config)
    z = nn.Dense(self.config.feature_size)(nn.relu(z))
    return to_unit(z)
