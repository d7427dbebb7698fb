"""Photographs → a query: vectors of what they show, in several turns."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dr3d.image.cutout import CutOut
from dr3d.search.query import Query
from dr3d.search.similarity import TURNS


class ImageEncoder(Protocol):
  """Makes vectors of pictures; a `Pipeline` implements it."""

  def embed_images(self, images: np.ndarray, /) -> np.ndarray:
    """Float32 `[B, M, H, W, 4]` to `[B, M, D]` unit vectors."""


def make_query(
  cutouts: Sequence[CutOut], encoder: ImageEncoder, *, size: int
) -> Query:
  """Makes the query of one thing that several photographs show.

  Args:
    cutouts: P photographs, at least one.
    encoder: the pipeline for photographs.
    size: height and width of its pictures.

  Returns:
    A query of P · TURNS vectors, those of a photograph in a row.

  Raises:
    ValueError: there is no photograph.
  """
  if not cutouts:
    raise ValueError("a query needs at least one photograph, got none")
  vectors = [
    encoder.embed_images(cutout.turn(size, count=TURNS)[None])[0]
    for cutout in cutouts
  ]
  return Query(
    np.concatenate(vectors), is_view_aligned=False, is_photograph=True
  )
