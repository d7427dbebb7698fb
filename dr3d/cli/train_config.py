"""The configuration that the flags of `dr3d train` describe.

The checks come before jax is imported, so that a mistake is told at once.
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from dr3d.cli import argument, pipeline_flag
from dr3d.cli.subcommand import FlagValues, UsageError
from dr3d.cli.train_flag import FLAGS, PARTS, SIZES, SMALL

if TYPE_CHECKING:
  from dr3d.render.config import Framing
  from dr3d.retrieval.pipeline_config import PipelineConfig
  from dr3d.retrieval.recipe import TrainConfig
  from dr3d.retrieval.step import LossConfig

FINE_TUNING_RATE = 1e-4
"""Learning rate of an encoder that photographs have taught; it would forget
what it knows at that of random weights."""
LITE0_FEATURES_MAX = 320
"""As `nn.lite0.FEATURE_SIZE`, which imports jax."""
INIT_FIELDS = {
  "views": ("view_count",),
  "pose": ("pose",),
  "faces": ("face_budget",),
  "size": ("render", "size"),
  "width": ("width",),
  "framing": ("render", "framing"),
  "free-center": ("free_center",),
  "shadows": ("render", "shadows"),
  "appearance": ("appearance",),
  "encoder": ("embed", "backbone"),
  "feature-size": ("embed", "feature_size"),
  "exchange": ("embed", "exchange"),
}
"""Flags that --init fixes, and their fields of `PipelineConfig`."""
LOSS_FIELDS = {
  "loss": "task",
  "mining": "mining",
  "margin": "margin",
  "alike": "alike",
  "objective": "objective",
  "shared": "shared",
  "within": "within",
}
"""Flags, and their fields of `LossConfig`."""


def check_arguments(flags: FlagValues) -> None:
  """Checks the flags before anything large is imported.

  Raises:
    UsageError: flags contradict each other.
    Dr3dError: a file or folder does not exist.
  """
  for reason in (
    _find_run_fault(flags),
    _find_network_fault(flags),
    _find_loss_fault(flags),
  ):
    if reason:
      raise UsageError(f"train: {reason}; see dr3d train --help.")
  argument.check_models(flags.models, flags.labels)
  argument.check_new_folder(flags.workdir)
  if flags.init:
    check_init(flags)


def _find_run_fault(flags: FlagValues) -> str:
  if flags.explore > flags.steps:
    return (
      f"--explore={flags.explore} is more than --steps={flags.steps}, of which"
      " it is a part"
    )
  if flags.explore and flags.objective == "task":
    return (
      "--explore chooses viewpoints by the renderer's own loss, which"
      " --objective=task does not use: omit one of the two"
    )
  if flags.explore and flags.exchange != "none":
    return (
      f"--explore compares single views, which --exchange={flags.exchange}"
      " joins: omit one of the two"
    )
  if flags.free_center and _choose_framing(flags) == "object":
    return "--free-center needs --framing=sphere"
  return ""


def _find_network_fault(flags: FlagValues) -> str:
  if flags.encoder != "lite0":
    return ""
  for name in ("size", "width"):
    if (flags[name].value or 0) % 32:
      return (
        f"--encoder=lite0 needs --{name} to be a multiple of 32, got"
        f" {flags[name].value}"
      )
  if flags.appearance:
    return "--appearance needs --encoder=small: lite0 sees grey images"
  if flags.exchange != "none":
    return f"--exchange={flags.exchange} needs --encoder=small"
  if flags.feature_size > LITE0_FEATURES_MAX:
    return (
      f"--encoder=lite0 needs --feature-size of at most {LITE0_FEATURES_MAX},"
      f" got {flags.feature_size}"
    )
  return ""


def _find_loss_fault(flags: FlagValues) -> str:
  loss = flags.loss or ("triplet" if _is_literal(flags) else "prototype")
  for name in ("mining", "margin"):
    if flags[name].value and loss != "triplet":
      return f"--{name} is of the triplet loss: add --loss=triplet"
  if flags.alike and flags.alike != "class" and loss == "prototype":
    return (
      f"--alike={flags.alike} needs positives and negatives: add"
      " --loss=triplet or --loss=contrastive"
    )
  if flags.pose_angle is not None and flags.alike in (None, "class"):
    return "--pose-angle is of --alike=pose or --alike=both: add one of them"
  if flags.shared and flags.objective == "task":
    return "--shared adds to a loss that --objective=task already is: omit it"
  return ""


def check_init(flags: FlagValues) -> None:
  """Checks that no flag differs from the pipeline to start from.

  Raises:
    UsageError: one does.
    PipelineError: there is no pipeline.
  """
  config = pipeline_flag.read_config(flags.init)
  embed = config.get("embed")
  if not isinstance(embed, dict):
    return  # damaged, which reading it says
  # A file names only what differs from the first pipelines.
  config = {"width": None, "free_center": False} | config
  exchange = "attention" if embed.get("attention") else "none"
  config["embed"] = {"backbone": SMALL, "exchange": exchange} | embed
  defaults = {flag.name: flag.default for flag in FLAGS}
  for name, path in INIT_FIELDS.items():
    stored: object = config
    for field in path:
      stored = stored.get(field) if isinstance(stored, dict) else None
    given = flags[name.replace("-", "_")].value
    if given and given not in (defaults[name], stored):
      raise UsageError(
        f"train: the pipeline of --init has {name} {stored}, which"
        f" --{name}={given} cannot change: omit --{name}, or train"
        " without --init; see dr3d train --help."
      )


def make_config(flags: FlagValues) -> "TrainConfig":
  """Makes the configuration of the run that the flags describe."""
  from dr3d.retrieval.recipe import TrainConfig, literal_config

  base = literal_config() if _is_literal(flags) else TrainConfig()
  replace = dataclasses.replace
  frozen = PARTS if "all" in flags.freeze else flags.freeze
  batch = replace(base.batch, sampling=flags.sampling or base.batch.sampling)
  if flags.exchange != "none":
    batch = replace(batch, view_count=None)
  return replace(
    base,
    seed=flags.seed,
    batch=batch,
    pipeline=_make_pipeline(flags, base.pipeline),
    loss=_make_loss(flags, base.loss),
    optimizer=replace(
      base.optimizer,
      steps=flags.steps,
      explore=flags.explore,
      trainable=tuple(part for part in PARTS if part not in frozen),
    ),
  )


def _make_pipeline(
  flags: FlagValues, base: "PipelineConfig"
) -> "PipelineConfig":
  attends = flags.exchange == "attention"
  return dataclasses.replace(
    base,
    view_count=flags.views,
    pose=flags.pose or base.pose,
    face_budget=flags.faces,
    width=flags.width,
    free_center=flags.free_center,
    appearance=flags.appearance,
    light_count=1 if flags.appearance else base.light_count,
    render=dataclasses.replace(
      base.render,
      size=flags.size or SIZES[flags.encoder],
      framing=_choose_framing(flags),
      shadows=flags.shadows,
    ),
    embed=dataclasses.replace(
      base.embed,
      backbone=flags.encoder,
      feature_size=flags.feature_size,
      attention=attends,
      exchange="none" if attends else flags.exchange,
    ),
  )


def _make_loss(flags: FlagValues, base: "LossConfig") -> "LossConfig":
  given: dict[str, Any] = {
    field: flags[name].value
    for name, field in LOSS_FIELDS.items()
    if flags[name].value is not None
  }
  if flags.explore and not _is_literal(flags):
    given = {"objective": "models"} | given
  if flags.pose_angle is not None:
    given["pose_angle"] = math.radians(flags.pose_angle)
  return dataclasses.replace(base, **given)


def _choose_framing(flags: FlagValues) -> "Framing":
  is_sphere = flags.free_center or _is_literal(flags)
  return flags.framing or ("sphere" if is_sphere else "object")


def _is_literal(flags: FlagValues) -> bool:
  return flags.recipe == "literal"
