"""The configuration of a training run, and its contradictions."""

import dataclasses

from dr3d.nn.encoder import make_encoder
from dr3d.render.config import RenderConfig
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
    seed: seed of everything random.
    checkpoint_every: steps from one checkpoint to the next.
    pipeline: G and T.
    loss: what G and T minimise.
    optimizer: how G and T move, and the number of steps.
    augmentation: random changes of the models; None for none.
    whitening: power of the whitening of T's vectors at the end, in [0, 1], see
      `nn.whitening.fit_whitening`; 0 for none. It helps to separate models of
      classes that T was not trained on.
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


def literal_config() -> TrainConfig:
  """Returns the run that the patent describes, as far as it can be run.

  Two models a step, all their views and all triplets of Eq. 1, the margin of
  Eq. 2, and Eq. 3 as printed with Eq. 3b at its full weight. G moves in each
  step. There are no guards, no augmentation and no whitening; models keep the
  pose and the framing of the file.

  What is left of dr3d: vectors have length 1, because an index compares them
  by cosine; the margin has no gradient; Eq. 1 and its slope are means, of which
  Adam ignores the scale.

  References:
    WO 2021/178001, Eq. 1 to 3 [0020–0029].
  """
  return TrainConfig(
    batch=BatchConfig(sampling="pair", view_count=None),
    pipeline=PipelineConfig(pose="file", render=RenderConfig(framing="sphere")),
    loss=LossConfig(
      task="triplet",
      mining="all",
      margin="patent",
      objective="literal",
      within=1.0,
      spread=0.0,
      repulsion=0.0,
      coverage=0.0,
    ),
    optimizer=OptimizerConfig(render_every=1),
    augmentation=None,
  )


def check_config(config: TrainConfig, init: Pipeline | None) -> None:
  """Rejects a run that contradicts itself, before its first step.

  Args:
    config: the run.
    init: the pipeline that it starts from, if any.

  Raises:
    ValueError: the configuration contradicts itself.
  """
  make_encoder(config.pipeline.embed)  # raises if options exclude each other
  if config.pipeline.embed.mixes_views and config.batch.view_count is not None:
    raise ValueError(
      "attention and other exchange between views needs all views of a model in"
      " each step: batch.view_count must be None, got"
      f" {config.batch.view_count}."
    )
  if config.pipeline.embed.mixes_views and config.optimizer.explore:
    raise ValueError(
      "optimizer.explore compares single views, and the vectors of an encoder"
      " whose views exchange information belong to all: set one of the two"
      " otherwise."
    )
  _check_loss(config.loss)
  if init is None and config.pipeline.embed.backbone == "joint":
    raise ValueError(
      "both encoders together are trained from a pipeline that has them: give"
      " one, see retrieval.imagenet.join_imagenet."
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
      "a run that starts from a pipeline keeps its configuration:"
      " config.pipeline must be init.config."
    )
  if config.optimizer.explore and config.loss.objective == "task":
    raise ValueError(
      "optimizer.explore chooses viewpoints by L_G, which"
      ' loss.objective = "task" does not use: set one of the two otherwise.'
    )


def _check_loss(loss: LossConfig) -> None:
  if loss.alike != "class" and loss.task == "prototype":
    raise ValueError(
      f"loss.alike = {loss.alike!r} needs positives and negatives:"
      ' loss.task must be "triplet" or "contrastive", got "prototype".'
    )
  if loss.alike == "pose" and loss.models:
    raise ValueError(
      'loss.models compares classes, which loss.alike = "pose" ignores: set'
      " loss.models to 0."
    )
  if loss.shared < 0:
    raise ValueError(f"loss.shared must be at least 0, got {loss.shared}.")
