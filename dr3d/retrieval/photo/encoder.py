"""The encoder for photographs that ships with dr3d."""

import functools

from dr3d.retrieval.pipeline import PRETRAINED, Pipeline

PRETRAINED_PHOTO = PRETRAINED / "photo"


@functools.cache
def load_encoder() -> Pipeline:
  """Returns the pipeline for photographs, read once in a process.

  Raises:
    PipelineError: it is damaged.
  """
  return Pipeline.load(PRETRAINED_PHOTO)
