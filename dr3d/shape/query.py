"""Codes that ask a database: drawn at the learned views of its pipeline."""

from typing import TYPE_CHECKING

import numpy as np

from dr3d.search.query import Query, query_rendered
from dr3d.shape.lift import RESOLUTION, render_codes
from dr3d.shape.model import ShapeModel

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline


def make_query(
  model: ShapeModel,
  code: np.ndarray,
  pipeline: "Pipeline",
  *,
  resolution: int = RESOLUTION,
) -> Query:
  """Makes a query of a code.

  Args:
    model: the decoder.
    code: float [Z].
    pipeline: of the database.
    resolution: of the surface.

  Returns:
    The query, with the vectors of N views. It has no mesh: a code tells no
    size, and its surface is too rough to be registered.

  Raises:
    MeshError: the code stands for an empty shape.
  """
  renderer = render_codes(
    model,
    np.asarray(code)[None],
    config=pipeline.config.render,
    pose=pipeline.config.pose,
    width=pipeline.config.width,
    resolution=resolution,
    face_budget=pipeline.face_budget,
  )
  return query_rendered(renderer, pipeline)
