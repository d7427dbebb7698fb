"""What a training run is made of, and what contradicts itself."""

import dataclasses

from dr3d.retrieval.augment import AugmentConfig
from dr3d.retrieval.batch import BatchConfig
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.retrieval.state import OptimizerConfig
from dr3d.retrieval.step import LossConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """A training run.

  Attributes:
    batch: what a step looks at.
    seed: of everything random.
    checkpoint_every: steps between checkpoints.
    pipeline: G and T.
    loss: what they minimise.
    optimizer: how they move, and how many steps.
    augmentation: what is done to the models; None for nothing.
    whitening: power of the whitening of T's vectors at the end, see
      `whitening.fit_whitening`; 0 for none. It tells apart models of classes
      that T has not seen.
  """

  batch: BatchConfig = dataclasses.field(default_factory=BatchConfig)
  seed: int = 0
  checkpoint_every: int = 100
  pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)
  loss: LossConfig = dataclasses.field(default_factory=LossConfig)
  optimizer: OptimizerConfig = dataclasses.field(
    default_factory=OptimizerConfig
  )
  augmentation: AugmentConfig | None = dataclasses.field(
    default_factory=AugmentConfig
  )
  whitening: float = 0.0


def check_config(config: TrainConfig, init: Pipeline | None) -> None:
  """Refuses a run that could not end, before its first step.

  Args:
    config: the run.
    init: what it starts from, if anything.

  Raises:
    ValueError: the configuration contradicts itself.
  """
  if config.pipeline.embed.attention and config.batch.view_count is not None:
    raise ValueError(
      "attention goes over all views: batch.view_count must be None, got"
      f" {config.batch.view_count}."
    )
  if not 0 <= config.whitening <= 1:
    raise ValueError(
      f"whitening must be between 0 and 1, got {config.whitening}."
    )
  if config.optimizer.explore > config.optimizer.steps:
    raise ValueError(
      f"optimizer.explore must be at most optimizer.steps ="
      f" {config.optimizer.steps}, got {config.optimizer.explore}."
    )
  if init is not None and init.config != config.pipeline:
    raise ValueError(
      "a training that starts from a pipeline keeps its configuration:"
      " config.pipeline must be init.config."
    )
  if config.optimizer.explore and config.loss.objective == "task":
    raise ValueError(
      "optimizer.explore chooses viewpoints by L_G, and loss.objective is"
      ' "task".'
    )
