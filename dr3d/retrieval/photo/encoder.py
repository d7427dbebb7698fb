"""The encoder for photographs that ships with dr3d."""

import dataclasses
import functools

import numpy as np

from dr3d.camera.view import take_views
from dr3d.retrieval.pipeline import PRETRAINED, Pipeline

PRETRAINED_PHOTO = PRETRAINED / "photo"


@functools.cache
def load_encoder() -> Pipeline:
  """Returns the pipeline for photographs, read once in a process.

  Raises:
    PipelineError: it is damaged.
  """
  return Pipeline.load(PRETRAINED_PHOTO)


def take_view(encoder: Pipeline, index: int) -> Pipeline:
  """Returns the pipeline with one of its views, to draw that alone.

  Args:
    encoder: with N views.
    index: of the view, from 0.
  """
  config = dataclasses.replace(encoder.config, view_count=1)
  views = take_views(encoder.views, np.array([index]))
  return dataclasses.replace(encoder, config=config, views=views)
