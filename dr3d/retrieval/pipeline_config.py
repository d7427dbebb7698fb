"""What is fixed before a pipeline is trained, and its form in a file."""

import dataclasses
import pathlib
from typing import Any

from dr3d.error import PipelineError
from dr3d.nn.config import EncoderConfig
from dr3d.render.config import Pose, RenderConfig
from dr3d.retrieval.pipeline_file import CONFIG_FILE
from dr3d.runtime.config import from_values, to_values


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
  """What is fixed before training.

  Attributes:
    view_count: N.
    pose: `"principal"` turns every model into its principal axes first, so that
      the pose of a query does not matter; `"file"` keeps the axes of the files.
    face_budget: models are simplified to at most this many faces.
    light_count: lights of a view: 3 coloured ones, or 1 white one.
    render: how G draws.
    embed: the CNN T.
  """

  view_count: int = 6
  pose: Pose = "principal"
  face_budget: int = 1024
  light_count: int = 3
  render: RenderConfig = dataclasses.field(default_factory=RenderConfig)
  embed: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)


def config_to_json(config: PipelineConfig) -> dict[str, Any]:
  """The configuration as plain values.

  An option that a T does not use is left out, so that its configuration is
  written as before the option existed. Otherwise the fingerprint would change,
  and older databases would not know their pipeline.
  """
  values = to_values(config)
  if not config.embed.stem:
    del values["embed"]["stem"]
  if config.embed.backbone == "small":
    del values["embed"]["backbone"]
  return values


def config_from_json(saved: Any, path: pathlib.Path) -> PipelineConfig:
  """Reads what `config_to_json` returned.

  Args:
    saved: not yet checked.
    path: directory of the pipeline, for the message.

  Raises:
    PipelineError: it is of another version.
  """
  try:
    if not isinstance(saved, dict):
      raise ValueError("config is missing")
    return from_values(PipelineConfig, saved)
  except ValueError as error:
    raise PipelineError(
      f"{path / CONFIG_FILE} is not of this version of dr3d: {error}."
    ) from error
