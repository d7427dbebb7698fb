"""EfficientNet-Lite0: images to features that photographs have taught.

The network and its normalisation are those that it was trained with on
ImageNet; `nn.imagenet` reads the weights. Each batch norm is folded into the
convolution before it, whose statistics are fixed here.

`I` images, `H W` pixels, `C` channels.

References:
  Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural
  Networks, ICML 2019. The Lite variants, without squeeze-excitation and with
  ReLU6: github.com/tensorflow/tpu, models/official/efficientnet/lite.
"""

import dataclasses
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array

FEATURE_SIZE = 320
"""Channels of the last block, whose mean over the image is the feature."""

CELL = 32
"""Height and width of an image are multiples of it."""

# By which red, green and blue were normalised in its training: 127 and 128 of
# 255 levels, unlike in networks of PyTorch.
_MEAN = 127 / 255
_DEVIATION = 128 / 255


@dataclasses.dataclass(frozen=True)
class Stage:
  """Blocks of one resolution.

  Attributes:
    repeats: blocks; the first has the stride.
    kernel: height and width of the depthwise kernels.
    stride: 2 halves height and width.
    expansion: channels inside a block, relative to its input.
    channels: of the output.
  """

  repeats: int
  kernel: int
  stride: int
  expansion: int
  channels: int


STEM = 32  # channels
MAP_CHANNELS = {4: 24, 8: 40, 16: 112}
"""Channels of the maps of `Lite0Maps`, by stride."""

STAGES = (
  Stage(1, 3, 1, 1, 16),
  Stage(2, 3, 2, 6, 24),
  Stage(2, 5, 2, 6, 40),
  Stage(3, 3, 2, 6, 80),
  Stage(3, 5, 1, 6, 112),
  Stage(4, 5, 2, 6, 192),
  Stage(1, 3, 1, 6, FEATURE_SIZE),
)


def list_blocks() -> Iterator[tuple[Stage, int]]:
  """Yields the stage of each block, and the block's stride."""
  for stage in STAGES:
    for i in range(stage.repeats):
      yield stage, stage.stride if i == 0 else 1


class Depthwise(nn.Module):
  """A convolution of each channel with a kernel of its own.

  A sum of shifted images, because XLA's grouped convolution takes five to
  sixty times as long on a CPU.
  """

  kernel: int
  stride: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """`[I, H, W, C]` to `[I, H / stride, W / stride, C]`."""
    k, s, C = self.kernel, self.stride, x.shape[-1]
    kernel = self.param("kernel", nn.initializers.normal(1 / k), (k, k, C))
    bias = self.param("bias", nn.initializers.zeros, (C,))
    # As TensorFlow's "SAME": the odd pixel of padding is below and right.
    missing = k - s
    pad = (missing // 2, missing - missing // 2)
    H, W = x.shape[1] // s, x.shape[2] // s
    x = jnp.pad(x, ((0, 0), pad, pad, (0, 0)))
    total = bias
    for i in range(k):
      for j in range(k):
        shifted = x[:, i : i + s * H : s, j : j + s * W : s]
        total = total + shifted * kernel[i, j]
    return total


class Block(nn.Module):
  """Expand the channels, convolve each of them, project them again."""

  stage: Stage
  stride: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """`[I, H, W, C]` to `[I, H / stride, W / stride, stage.channels]`."""
    y = x
    if self.stage.expansion > 1:
      y = nn.Dense(self.stage.expansion * x.shape[-1], name="expand")(y)
      y = jnp.clip(y, 0, 6)
    y = Depthwise(self.stage.kernel, self.stride, name="depthwise")(y)
    y = nn.Dense(self.stage.channels, name="project")(jnp.clip(y, 0, 6))
    return x + y if x.shape == y.shape else y


class Lite0Maps(nn.Module):
  """Feature maps of several strides, without the last stages.

  Its variables are some of those of `Lite0`, under the same names.
  """

  @nn.compact
  def __call__(self, images: Array) -> dict[int, Array]:
    """Maps images to features of every place.

    Args:
      images: `[I, H, W, 3]`, red, green and blue in [0, 1]; H and W are
        multiples of 16.

    Returns:
      Stride to `[I, H / stride, W / stride, C]`, for `MAP_CHANNELS`.
    """
    x = _run_stem(images)
    maps: dict[int, Array] = {}
    stride = 2
    for i, (stage, step) in enumerate(list_blocks()):
      if stride * step > max(MAP_CHANNELS):
        break
      stride *= step
      x = Block(stage, step, name=f"block_{i}")(x)
      maps[stride] = x  # the last block of a stride remains
    return {stride: maps[stride] for stride in MAP_CHANNELS}


class Stem(nn.Module):
  """The network up to one of its blocks, without a mean over the image.

  Attributes:
    blocks: how many.
  """

  blocks: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    """`[I, H, W, 3]` in [0, 1] to `[I, H / stride, W / stride, C]`.

    H and W are multiples of the stride of these blocks.
    """
    x = _run_stem(images)
    for i, (stage, stride) in list(enumerate(list_blocks()))[: self.blocks]:
      x = Block(stage, stride, name=f"block_{i}")(x)
    return x


class Lite0(nn.Module):
  """The network up to its last block."""

  @nn.compact
  def __call__(self, images: Array) -> Array:
    """Maps images to features.

    Args:
      images: `[I, H, W, 3]`, red, green and blue in [0, 1]; H and W are
        multiples of `CELL`.

    Returns:
      `[I, FEATURE_SIZE]`, not normalised.
    """
    x = _run_stem(images)
    for i, (stage, stride) in enumerate(list_blocks()):
      x = Block(stage, stride, name=f"block_{i}")(x)
    return jnp.mean(x, axis=(1, 2))


def _run_stem(images: Array) -> Array:
  """The first layer; called inside of a module."""
  x = (images - _MEAN) / _DEVIATION
  x = nn.Conv(STEM, (3, 3), strides=2, padding=((0, 1), (0, 1)), name="stem")(x)
  return jnp.clip(x, 0, 6)
