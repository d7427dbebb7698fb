"""Settings of the shape model; the published ones are a row of them."""

import dataclasses
from typing import Literal

from dr3d.training.loop import LoopConfig


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
  """Encoder, decoder and their training.

  The defaults are what learns within half an hour on a CPU: a grid that the
  code unfolds into, sines of the coordinates and the cross entropy.
  `published_config` has the settings of the paper, which need some GPU-days and
  leave the constant prediction only after many more steps.

  Attributes:
    code_size: Z.
    encoder_widths: channels of the encoder's layers. Three of them take 32³
      voxels, each the share of its finer ones that are full, four take 64³.
    decoder_widths: of the decoder's layers.
    octaves: of the coordinates' sines and cosines; 0 for bare coordinates.
    scale: of the bare coordinates; 1 for [-1, 1], 0.5 for [-½, ½].
    deviation: of the decoder's initial weights; 0 for LeCun's.
    grid_widths: channels of the grid that a code unfolds into, at 4³, 8³ and
      so on voxels; the decoder reads it at the point. Empty for none, as
      published.
    loss: binary cross entropy or mean squared error of the occupancy.
    stages: resolution of the points and share of the steps, in turn.
    budget: points of a shape that are kept for a stage, times the published
      ones. With 2, most are near the surface, with 1 a quarter at 64³.
    shapes: of a step.
    points: of a shape and a step.
    rate: peak of the learning rate.
    momentum: Adam's β₁.
    constant_rate: whether the rate stays at its peak.
    loop: length, seed and checkpoints.
  """

  code_size: int = 128
  encoder_widths: tuple[int, ...] = (16, 32, 64)
  decoder_widths: tuple[int, ...] = (64, 64, 32)
  octaves: int = 4
  scale: float = 1.0
  deviation: float = 0.0
  grid_widths: tuple[int, ...] = (64, 32, 16)
  loss: Literal["bce", "mse"] = "bce"
  stages: tuple[tuple[int, float], ...] = ((16, 0.05), (32, 0.15), (64, 0.8))
  budget: int = 2
  shapes: int = 8
  points: int = 2048
  rate: float = 3e-3
  momentum: float = 0.9
  constant_rate: bool = False
  loop: LoopConfig = dataclasses.field(
    default_factory=lambda: LoopConfig(steps=2400, checkpoint_every=200)
  )


def published_config() -> AutoencoderConfig:
  """The settings of IM-NET, as far as its paper and code state them.

  The batch is that of the original code: one shape and 16 384 points. Its 200
  epochs of 5 000 shapes are a million steps.
  """
  return AutoencoderConfig(
    encoder_widths=(32, 64, 128, 256),
    decoder_widths=(2048, 1024, 512, 256, 128),
    octaves=0,
    scale=0.5,
    deviation=0.02,
    grid_widths=(),
    budget=1,
    loss="mse",
    stages=((16, 0.25), (32, 0.25), (64, 0.5)),
    shapes=1,
    points=16384,
    rate=5e-5,
    momentum=0.5,
    constant_rate=True,
    loop=LoopConfig(steps=1_000_000, checkpoint_every=5000),
  )


@dataclasses.dataclass(frozen=True)
class PictureConfig:
  """The picture encoder and its training; the decoder stays frozen.

  Attributes:
    size: height and width of a cropped picture; 128 is published.
    margin: pixels that a rendered picture is larger; 9 is published.
    widths: channels of the four stages; 64, 128, 256, 512 is published.
    views: pictures of a model.
    batch: pictures of a step.
    rate: peak of the learning rate.
    loop: length, seed and checkpoints.
  """

  size: int = 64
  margin: int = 4
  widths: tuple[int, ...] = (16, 32, 64, 128)
  views: int = 20
  batch: int = 32
  rate: float = 2e-3
  loop: LoopConfig = dataclasses.field(
    default_factory=lambda: LoopConfig(steps=400, checkpoint_every=100)
  )


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
  """The generator of codes: a Wasserstein GAN with gradient penalty.

  Attributes:
    widths: of the hidden layers of both networks; 2048, 2048 is published.
    noise: standard deviation of the generator's input.
    noise_size: length of the generator's input.
    penalty: λ.
    critic_steps: steps of the critic for each of the generator.
    batch: codes of a step.
    rate: of Adam for both.
    loop: length, seed and checkpoints.

  References:
    I. Gulrajani et al., Improved training of Wasserstein GANs (NeurIPS 2017),
    algorithm 1.
  """

  widths: tuple[int, ...] = (256, 256)
  noise: float = 0.2
  noise_size: int = 128
  penalty: float = 10.0
  critic_steps: int = 5
  batch: int = 64
  rate: float = 2e-4
  loop: LoopConfig = dataclasses.field(
    default_factory=lambda: LoopConfig(steps=600, checkpoint_every=200)
  )
