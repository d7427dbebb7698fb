"""Photographs that ask a database through a field.

A fitted code is drawn at the N learned views of the pipeline, so one photograph
becomes a query of N views that the photograph does not show.
"""

from typing import TYPE_CHECKING

import numpy as np

from dr3d.field.field import Field
from dr3d.field.surface import make_field_mesh, make_renderer
from dr3d.search.query import Query

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline


def make_query(
  field: Field, code: np.ndarray, pipeline: "Pipeline", *, mesh: bool = False
) -> Query:
  """Makes a query of a code.

  Args:
    field: the field.
    code: `[Z]`.
    pipeline: of the database.
    mesh: whether matches may be registered to the surface of the code. Its
      size in millimetres is unknown, so search with `size="ignore"`.

  Raises:
    FieldError: the code has no surface.
  """
  volume = make_renderer(
    field,
    code[None],
    config=pipeline.config.render,
    pose=pipeline.config.pose,
  )
  (vectors,) = np.asarray(pipeline.embed_rendered(volume))
  surface = make_field_mesh(field, code) if mesh else None
  return Query(vectors, mesh=surface, unit="mm, assumed")
