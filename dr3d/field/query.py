"""Photographs that ask a database through a field.

A fitted code is drawn at the N learned views of the pipeline, so one photograph
becomes a query of N views that the photograph does not show.
"""

from typing import TYPE_CHECKING

import numpy as np

from dr3d.field.field import Field
from dr3d.field.surface import LEVEL, make_renderer
from dr3d.search.query import Query, query_rendered

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline


def make_query(
  field: Field,
  code: np.ndarray,
  pipeline: "Pipeline",
  *,
  level: float = LEVEL,
) -> Query:
  """Makes a query of a code.

  Args:
    field: the field.
    code: `[Z]`.
    pipeline: of the database.
    level: density of the surface, inverse radii.

  Raises:
    FieldError: the code has no surface.
  """
  volume = make_renderer(
    field,
    code[None],
    config=pipeline.config.render,
    pose=pipeline.config.pose,
    level=level,
  )
  return query_rendered(volume, pipeline)
