"""The encoder for photographs that ships with dr3d."""

import functools

import numpy as np

from dr3d.mesh import Mesh, view_picture
from dr3d.retrieval.pipeline import PRETRAINED, Pipeline

PRETRAINED_PHOTO = PRETRAINED / "photo"


@functools.cache
def load_encoder() -> Pipeline:
  """Returns the pipeline for photographs, read once in a process.

  Raises:
    PipelineError: it is damaged.
  """
  return Pipeline.load(PRETRAINED_PHOTO)


def draw_view(
  encoder: Pipeline, mesh: Mesh, index: int, *, size: int
) -> np.ndarray:
  """Draws a model in one of the views that photographs are compared with.

  Args:
    encoder: with N views.
    mesh: the model.
    index: of the view, from 0.
    size: height and width, pixels.

  Returns:
    float32 `[size, size, 4]`, see `mesh.view_picture`.
  """
  quaternion = np.asarray(encoder.views.quaternion)[index]
  distance = float(np.asarray(encoder.views.distance)[index])
  return view_picture.draw_view(mesh, quaternion, distance=distance, size=size)
