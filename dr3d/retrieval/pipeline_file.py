"""The files of a saved pipeline: its configuration and its arrays."""

from dr3d.error import PipelineError
from dr3d.runtime.weight_directory import WEIGHTS_FILE, WeightDirectory

__all__ = ["CONFIG_FILE", "FORMAT", "PIPELINE_FILES", "WEIGHTS_FILE"]

FORMAT = 2  # of the files; raised when older ones can no longer be read
CONFIG_FILE = "pipeline.json"
PIPELINE_FILES = WeightDirectory(
  "pipeline", CONFIG_FILE, FORMAT, "dr3d train", PipelineError
)
