"""What is fixed before a pipeline is trained, and its form in a file."""

import dataclasses
import math
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
    width: of an image, pixels; None for a square one. The height is
      `render.size`.
    free_center: whether θ_G has the offset of the camera and the principal
      point of each view, which G then learns with the camera. It needs
      `framing="sphere"`: the framing of the object leaves them no effect.
    appearance: whether G draws the colours of the models, so that T can compare
      them; models without colours are white. For the small CNN, which sees
      colours; lite0 sees grey.
    light_count: lights of a view: 3 coloured ones, or 1 white one.
    render: how G draws.
    embed: the CNN T.
  """

  view_count: int = 6
  pose: Pose = "principal"
  face_budget: int = 1024
  width: int | None = None
  free_center: bool = False
  appearance: bool = False
  light_count: int = 3
  render: RenderConfig = dataclasses.field(default_factory=RenderConfig)
  embed: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)


def check_pipeline_config(config: PipelineConfig) -> None:
  """Raises a ValueError if options exclude each other."""
  if config.light_count not in (1, 3):
    raise ValueError(f"light_count must be 1 or 3, got {config.light_count}.")
  if config.appearance and config.embed.backbone != "small":
    raise ValueError(
      "appearance needs the small encoder, since the others see grey images:"
      f" got {config.embed.backbone!r}."
    )
  if config.free_center and config.render.framing != "sphere":
    raise ValueError(
      'free_center needs render.framing = "sphere", got'
      f" {config.render.framing!r}, which centres each image on the object."
    )


def check_surface_weight(saved: Any, path: pathlib.Path) -> float:
  """Reads how much surfaces count, see `geometric_score.DEFAULT_WEIGHT`.

  Args:
    saved: not yet checked.
    path: directory of the pipeline, for the message.

  Raises:
    PipelineError: it is not a number above 0.
  """
  is_number = isinstance(saved, int | float) and not isinstance(saved, bool)
  if not is_number or not 0 < saved < math.inf:
    raise PipelineError(
      f"{path / CONFIG_FILE} is damaged: surface_weight must be a number above"
      f" 0, got {saved!r}; copy the directory again."
    )
  return float(saved)


_LATER = (
  ("embed", "stem"),
  ("embed", "backbone"),
  ("embed", "exchange"),
  ("render", "shadows"),
  ("width",),
  ("free_center",),
  ("appearance",),
)
"""Options that came later than the first pipelines, by their path."""


def config_to_json(config: PipelineConfig) -> dict[str, Any]:
  """The configuration as plain values.

  An option that a T does not use is left out, so that its configuration is
  written as before the option existed. Otherwise the fingerprint would change,
  and older databases would not know their pipeline.
  """
  values = to_values(config)
  plain = to_values(PipelineConfig())
  for *parents, name in _LATER:
    group, default = values, plain
    for parent in parents:
      group, default = group[parent], default[parent]
    if group[name] == default[name]:
      del group[name]
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
