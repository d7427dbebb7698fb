"""What describes a run of a field."""

import dataclasses

from dr3d.nn.radiance import NetworkConfig, check_network


@dataclasses.dataclass(frozen=True)
class LossConfig:
  """Weights of the losses beside that of the colour, which is 1.

  Attributes:
    mask: of the squared difference of alpha and mask; the text gives no value.
      Ignored if there are no masks.
    hard: of the hard-surface term on samples [0169].
    code: of the mean squared code: draws codes towards their common middle,
      as a Gaussian prior. The text has none.
  """

  mask: float = 1.0
  hard: float = 0.1
  code: float = 1e-4


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """What a step sees; its memory does not depend on the pictures' size.

  Attributes:
    pictures: of a step; at most K.
    pixels: P, of each picture. The text has 32 of each of 4096 pictures.
    near: share of the pixels that are drawn in and around the masks, the
      others anywhere; 0 in the text. What is far is learned first anyway.
      Ignored if there are no masks.
    samples: S, of a ray; the text has 128.
  """

  pictures: int = 64
  pixels: int = 16
  near: float = 0.75
  samples: int = 32


@dataclasses.dataclass(frozen=True)
class FieldConfig:
  """A run.

  Attributes:
    network: sizes.
    loss: weights.
    batch: pictures, pixels and samples of a step.
    steps: of the run.
    rate: first learning rate of the network (Adam); the text has 5e-4, for
      500 000 steps.
    code_rate: first learning rate of the codes, likewise.
    last_share: last learning rates over the first, with an exponential decay
      in between; the text has 1/5.
    learn_cameras: the azimuth, elevation and scale of each picture are learned
      with its code; their first values are those of the cameras.
    camera_rate: first learning rate of these, radians and logarithm.
    size: height and width of the pictures, pixels; larger ones are reduced.
    seed: of all random numbers.
    checkpoint_every: steps.
    draw_every: steps from one picture of the training views to the next.
  """

  network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
  loss: LossConfig = LossConfig()
  batch: BatchConfig = BatchConfig()
  steps: int = 2000
  rate: float = 2e-3
  code_rate: float = 5e-3
  last_share: float = 0.1
  learn_cameras: bool = False
  camera_rate: float = 3e-3
  size: int = 64
  seed: int = 0
  checkpoint_every: int = 200
  draw_every: int = 500


def check_config(config: FieldConfig) -> None:
  """Raises a ValueError if a run contradicts itself."""
  check_network(config.network)
  batch = config.batch
  if min(batch.pictures, batch.pixels, batch.samples, config.steps) < 1:
    raise ValueError(
      f"pictures, pixels, samples and steps must be at least 1, got {batch} and"
      f" {config.steps} steps."
    )
  if not 0 <= batch.near <= 1:
    raise ValueError(f"near must be between 0 and 1, got {batch.near}.")
  if config.size < 8:
    raise ValueError(f"size must be at least 8 pixels, got {config.size}.")
