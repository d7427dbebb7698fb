"""An encoder that sees photographs and renderings of one thing alike.

It compares pictures part by part: what is where in the square counts, not only
what is anywhere. So a photograph is compared in several turns, and a model is
seen from many sides. The first blocks are those of EfficientNet-Lite0; the
later ones and the affine map start from it and are trained.

`B` models, `N` images of a model, `I` images, `H W` pixels, `D` feature size.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dr3d.nn.lite0 import Block, Stem, list_blocks
from dr3d.nn.unit import to_unit

Array = jax.Array

STEM_BLOCKS = 8
"""Blocks that keep the weights of ImageNet: to 80 channels at a sixteenth of
the height and width."""

BLOCKS = 11
"""Blocks in all. Behind them the network halves height and width again, and
too little is left of where things are."""

CELL = 16
"""Height and width of an image are multiples of it."""

_NARROW = 64  # channels before the affine map
_MEAN, _DEVIATION = 0.5, 0.2  # of a standardised image, within the thing
_NOISE = 0.02  # least deviation, or a flat surface would be all noise


class PhotoEncoder(nn.Module):
  """T for photographs."""

  feature_size: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    """`[B, N, H, W, 4]` to `[B, N, D]`; H and W are multiples of 16."""
    B, N, H, W, _ = images.shape
    if H % CELL or W % CELL:
      raise ValueError(f"image sides must be multiples of {CELL}: {H}, {W}.")
    grey = standardise(images.reshape(B * N, H, W, 4))
    x = Stem(STEM_BLOCKS, name="stem")(grey)
    z = PhotoHead(self.feature_size, name="head")(x)
    return z.reshape(B, N, self.feature_size)


class PhotoHead(nn.Module):
  """What is trained: the last blocks and the affine map."""

  feature_size: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """`[I, H / 16, W / 16, C]` to `[I, D]` unit vectors."""
    for i, (stage, stride) in list(enumerate(list_blocks()))[
      STEM_BLOCKS:BLOCKS
    ]:
      x = Block(stage, stride, name=f"block_{i}")(x)
    x = nn.Dense(_NARROW, name="narrow")(x)
    x = to_unit(x.reshape(len(x), -1))
    return to_unit(nn.Dense(self.feature_size, name="projection")(x))


def standardise(images: Array) -> Array:
  """Makes things of every colour equally bright and rich in contrast.

  A part may be black or white, a rendering is grey. Within the thing the image
  gets one mean and one deviation; outside it is black.

  Args:
    images: `[I, H, W, 4]`, red, green and blue multiplied by alpha, and alpha.

  Returns:
    `[I, H, W, 3]`, three times the same grey, in [0, 1].
  """
  alpha = jnp.clip(images[..., 3], 0, 1)
  grey = jnp.mean(images[..., :3], axis=-1)
  area = jnp.maximum(jnp.sum(alpha, axis=(1, 2), keepdims=True), 1.0)
  mean = jnp.sum(grey, axis=(1, 2), keepdims=True) / area
  # Premultiplied: grey - alpha * mean is alpha times the difference.
  apart = grey - alpha * mean
  square = jnp.sum(apart**2, axis=(1, 2), keepdims=True) / area
  deviation = jnp.sqrt(square) + _NOISE
  result = jnp.clip(alpha * _MEAN + apart * (_DEVIATION / deviation), 0, 1)
  return jnp.repeat(result[..., None], 3, axis=-1)
