"""The flag that names a pipeline: a folder, checked before jax is imported."""

import json
import pathlib
from typing import TYPE_CHECKING

from dr3d.error import PipelineError
from dr3d.runtime.atomic import find_whole

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline

PRETRAINED = "pretrained"
"""Name of the general pipeline that ships with dr3d."""
FULL = "full"
"""Name of the slower and more accurate one, which also ships."""
CONFIG_FILE = "pipeline.json"
"""As in `dr3d.retrieval.pipeline`, which imports jax."""


def find_pipeline(directory: str) -> pathlib.Path:
  """Returns the folder of a pipeline.

  Args:
    directory: the pipeline, or the folder of the training run or the database
      that contains it; or "pretrained" or "full", which ship.

  Raises:
    PipelineError: there is no pipeline.
  """
  if directory == PRETRAINED:
    return pathlib.Path(__file__).parents[1] / PRETRAINED
  if directory == FULL:
    return pathlib.Path(__file__).parents[1] / PRETRAINED / FULL
  path = pathlib.Path(directory)
  for candidate in (path, path / "pipeline"):
    if (find_whole(candidate) / CONFIG_FILE).exists():
      return candidate
  raise PipelineError(
    f"{path} contains no pipeline ({CONFIG_FILE} is missing); give the folder"
    " that dr3d train wrote."
  )


def read_config(directory: str) -> dict[str, object]:
  """Reads the saved configuration of a pipeline, without its weights.

  Returns:
    Nested dicts of `PipelineConfig`; empty if the file is damaged, which
    `Pipeline.load` reports.

  Raises:
    PipelineError: there is no pipeline.
  """
  path = find_whole(find_pipeline(directory)) / CONFIG_FILE
  try:
    config = json.loads(path.read_text(encoding="utf-8"))["config"]
  except (OSError, ValueError, LookupError, TypeError):
    return {}
  return config if isinstance(config, dict) else {}


def load_pipeline(directory: str | None) -> "Pipeline":
  """Loads a pipeline.

  Args:
    directory: see `find_pipeline`; None for the general one.

  Raises:
    PipelineError: there is no pipeline, or it cannot be read.
  """
  path = find_pipeline(directory or PRETRAINED)
  from dr3d.retrieval.pipeline import Pipeline

  return Pipeline.load(path)
