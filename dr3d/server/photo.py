"""Photographs in the thread that owns the pipelines, and views to show."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dr3d.mesh import Mesh
from dr3d.search.query import Query
from dr3d.server import preview

if TYPE_CHECKING:
  from dr3d.database.reader import DatabaseReader
  from dr3d.image.cutout import CutOut


def prepare_query(
  reader: "DatabaseReader", cutouts: "Sequence[CutOut]"
) -> Query:
  """Embeds photographs, and makes the models findable by them if needed."""
  from dr3d.database.photo_search import embed_photos

  reader.prepare_photos()
  return embed_photos(cutouts)


def render_view(number: int, mesh: Mesh) -> tuple[bytes, ...]:
  """Renders a view of the gallery for photographs, in white light.

  Args:
    number: of the view, from 1.
    mesh: the model.

  Returns:
    One PNG with a transparent background.
  """
  return preview.render_views(_take_view(number - 1), mesh)


def count_views() -> int:
  """Views of a model in the gallery for photographs."""
  from dr3d.retrieval.photo.encoder import load_encoder

  return load_encoder().views.count


@functools.cache
def _take_view(index: int) -> Any:
  """The encoder with one view; cached, because it holds sizes of buffers."""
  import dataclasses

  from dr3d.camera.view import take_views
  from dr3d.retrieval.photo.encoder import load_encoder

  white = preview.with_white_light(load_encoder())
  config = dataclasses.replace(white.config, view_count=1)
  views = take_views(white.views, np.array([index]))
  return dataclasses.replace(white, config=config, views=views)
