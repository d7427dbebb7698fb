"""T: images to unit feature vectors.

`B` models, `N` images of a model, `H W` pixels, `D` feature size.

References:
  WO 2021/178001 [0019]: an image to a vector in R^D; [0022]: each image alone
  or the N images together.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from dr3d.nn.config import EncoderConfig as EncoderConfig
from dr3d.nn.lite0 import CELL, Lite0
from dr3d.nn.photo import PhotoEncoder
from dr3d.nn.small import SmallEncoder
from dr3d.nn.unit import to_unit

Array = jax.Array

POOLED = 2
"""Height and width of the joint encoder's image, in those of its small CNN."""


LARGE_SHARE = 0.65
"""Share of EfficientNet-Lite0 in the cosine of two joint vectors. Chosen on
parts of classes that the small CNN was not trained on: mAP .530 without it,
.597 with half, .609 with this share, .611 with .8, which is worse for the first
match."""


def make_encoder(config: EncoderConfig) -> nn.Module:
  """Returns T: `[B, N, H, W, 4]` images to `[B, N, D]` unit vectors.

  Raises:
    ValueError: the backbone is unknown, or an option needs another one.
  """
  if config.backbone == "small":
    return SmallEncoder(config)
  if config.mixes_views:
    raise ValueError(
      "attention and other exchange between views need the small encoder, not"
      f" {config.backbone}."
    )
  if config.backbone == "lite0":
    return Lite0Encoder(config.feature_size)
  if config.backbone == "photo":
    return PhotoEncoder(config.feature_size)
  if config.backbone == "joint":
    if config.feature_size % 2:
      raise ValueError(
        f"feature_size must be even for both encoders: {config.feature_size}."
      )
    return JointEncoder(config)
  raise ValueError(f"unknown backbone {config.backbone!r}.")


class Lite0Encoder(nn.Module):
  """EfficientNet-Lite0 of the images in grey, and an affine map.

  Renderings are of one material, and their lights may have colours that no
  photograph has. So red, green and blue are averaged.
  """

  feature_size: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    """`[B, N, H, W, 4]` to `[B, N, D]`; H and W are multiples of 32."""
    B, N, H, W, _ = images.shape
    if H % CELL or W % CELL:
      raise ValueError(f"image sides must be multiples of {CELL}: {H}, {W}.")
    grey = jnp.mean(images[..., :3], axis=-1, keepdims=True)
    grey = jnp.broadcast_to(grey, (B, N, H, W, 3)).reshape(B * N, H, W, 3)
    features = to_unit(Lite0(name="lite0")(grey))
    z = nn.Dense(self.feature_size, name="projection")(features)
    return to_unit(z).reshape(B, N, self.feature_size)


class JointEncoder(nn.Module):
  """The small CNN and EfficientNet-Lite0: a weighted mean of their cosines."""

  config: EncoderConfig

  @nn.compact
  def __call__(self, images: Array) -> Array:
    """`[B, N, H, W, 4]` to `[B, N, D]`."""
    B, N, H, W, C = images.shape
    size = self.config.feature_size // 2
    halved = dataclasses.replace(self.config, feature_size=size)
    cells = (B, N, H // POOLED, POOLED, W // POOLED, POOLED, C)
    pooled = jnp.mean(images.reshape(cells), axis=(3, 5))
    z = SmallEncoder(halved, name="small")(pooled)
    z = to_unit(nn.Dense(size, name="projection")(z))
    other = Lite0Encoder(size, name="large")(images)
    shares = (1 - LARGE_SHARE) ** 0.5, LARGE_SHARE**0.5
    return jnp.concatenate([shares[0] * z, shares[1] * other], axis=-1)
