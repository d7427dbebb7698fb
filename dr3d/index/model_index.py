"""Finds the models that can be near a query, whatever is stored of them.

`ViewIndex` looks up the nearest of all vectors. `SummaryIndex` looks up one
short vector of each model: N times fewer, so a million models fit a machine.
Both only propose models; their exact scores are computed afterwards.

Notation: B models, N vectors of each, D numbers of a vector; Q vectors of the
query; E numbers of a short vector.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dr3d.index.engine import EXACT_BELOW, build_index, choose_engine
from dr3d.index.milvus import Fields, MilvusIndex
from dr3d.index.projection import (
  Features,
  Projection,
  fit_projection,
  iterate_blocks,
)
from dr3d.index.scann import ScannIndex
from dr3d.index.vector_index import VectorIndex, check_vectors

MIN_MODELS = 640
"""Models that are proposed for a query at least; near copies need so many."""

_DEPTH_PER_MATCH = 16  # neighbours of a vector looked up for each match wanted
_MIN_DEPTH = 160  # neighbours; ten matches, the default, want so many
_DENSE = 1 / 32  # of the vectors: a deeper look-up costs more than scoring all

_MODELS_PER_MATCH = 16  # looked up for each match wanted
_DENSE_MODELS = 1 / 8  # of the models: likewise
_EACH = 64  # for a vector of an unknown view, as each view


class ModelIndex(Protocol):
  """Models that can be looked up; see `ViewIndex` and `SummaryIndex`."""

  @property
  def engine(self) -> str:
    """Name of the engine that holds the vectors."""

  @property
  def is_exhaustive(self) -> bool:
    """Whether a look-up costs no less than scoring all models."""

  def find_models(
    self,
    vectors: np.ndarray,
    k: int,
    *,
    allowed: np.ndarray,
    is_aligned: bool,
  ) -> np.ndarray | None:
    """Proposes models for a query.

    Args:
      vectors: float32 [Q, D] unit vectors of the query.
      k: models wanted; several times as many are proposed.
      allowed: bool [B], which models may be found.
      is_aligned: whether vector n is of the models' view n, of all N.

    Returns:
      int, rows of models, ascending and distinct, all that are allowed if they
      are fewer than k. None if scoring all allowed models costs less.
    """


@dataclasses.dataclass(frozen=True, eq=False)
class ViewIndex:
  """Looks up all vectors of all models.

  Attributes:
    index: of the B·N vectors; row b·N + n is view n of model b.
    views: N.
  """

  index: VectorIndex
  views: int

  @property
  def engine(self) -> str:
    """See `ModelIndex`."""
    return self.index.engine

  @property
  def is_exhaustive(self) -> bool:
    """See `ModelIndex`."""
    return self.index.is_exhaustive

  def find_models(
    self,
    vectors: np.ndarray,
    k: int,
    *,
    allowed: np.ndarray,
    is_aligned: bool,
  ) -> np.ndarray | None:
    """Models that own the nearest vectors; see `ModelIndex.find_models`."""
    del is_aligned  # a vector is compared with those of all views
    depth = max(_MIN_DEPTH, _DEPTH_PER_MATCH * k)
    if depth > _DENSE * self.views * np.count_nonzero(allowed):
      return None
    hits = self.index.search(
      vectors, depth, allowed=np.repeat(allowed, self.views)
    )
    return np.unique(hits.ids // self.views)


@dataclasses.dataclass(frozen=True, eq=False)
class SummaryIndex:
  """Looks up one short vector of each model.

  Attributes:
    index: of the B short vectors.
    projection: makes them.
  """

  index: VectorIndex
  projection: Projection

  is_exhaustive = False

  @property
  def engine(self) -> str:
    """See `ModelIndex`."""
    return self.index.engine

  def find_models(
    self,
    vectors: np.ndarray,
    k: int,
    *,
    allowed: np.ndarray,
    is_aligned: bool,
  ) -> np.ndarray | None:
    """Models of the nearest short vectors; see `ModelIndex.find_models`.

    A vector of an unknown view is looked up as if it was of each view, so such
    a query costs N · Q searches.
    """
    depth = max(MIN_MODELS, _MODELS_PER_MATCH * k)
    if depth > _DENSE_MODELS * np.count_nonzero(allowed):
      return None
    return self.propose(vectors, depth, allowed=allowed, is_aligned=is_aligned)

  def within(self, expression: str) -> "SummaryIndex":
    """The same index with a filter of Milvus, if Milvus holds the vectors."""
    if not isinstance(self.index, MilvusIndex):
      return self
    return dataclasses.replace(self, index=self.index.within(expression))

  def propose(
    self,
    vectors: np.ndarray,
    depth: int,
    *,
    allowed: np.ndarray | None = None,
    is_aligned: bool,
  ) -> np.ndarray:
    """Finds models, whatever that costs.

    Args:
      vectors: see `find_models`, as for the following.
      depth: models that are found, or somewhat more if views are unknown.
      allowed: all models if None.
      is_aligned: see `find_models`.

    Returns:
      int, rows of models, ascending and distinct.
    """
    if is_aligned:
      query = _normalise(self.projection.project_query(vectors))
      hits = self.index.search(query, depth, allowed=allowed)
      return np.sort(hits.ids[0])
    short = self.projection.project_each(vectors)
    each = max(_EACH, depth // len(vectors))
    flat = _normalise(short.reshape(-1, short.shape[2]))
    return np.unique(self.index.search(flat, each, allowed=allowed).ids)


def index_models(
  features: Features,
  *,
  engine: str = "auto",
  exact_below: int = EXACT_BELOW,
  fields: Sequence[Fields] | None = None,
) -> ModelIndex:
  """Makes models searchable.

  Args:
    features: [B, N, D] unit vectors.
    engine: see `engine.build_index`. Exact search needs no short vectors.
    exact_below: number of vectors, B · N, from which "auto" is ScaNN.
    fields: what Milvus filters each model by; see `milvus.make_fields`.

  Raises:
    ValueError: see `engine.build_index`.
  """
  if engine == "auto":
    vectors = len(features) * features.shape[1]
    engine = choose_engine(vectors, exact_below=exact_below)
  if engine == "exact":
    stored = np.asarray(features)
    index = build_index(stored.reshape(-1, stored.shape[2]), engine="exact")
    return ViewIndex(index, features.shape[1])
  projection = fit_projection(features)
  short = summarise(features, projection)
  index = build_index(short, engine=engine, fields=fields)
  if isinstance(index, ScannIndex):  # it was built from a copy in float32
    index = dataclasses.replace(index, vectors=short)
  return SummaryIndex(index, projection)


def summarise(features: Features, projection: Projection) -> np.ndarray:
  """Short vectors of all models: float16 [B, E], half the memory.

  Raises:
    ValueError: a vector is not a unit vector.
  """
  short = np.empty((len(features), projection.size), np.float16)
  for rows, part in iterate_blocks(features):
    check_vectors(part.reshape(-1, part.shape[2]), "vectors")
    short[rows] = projection.project(part)
  return short


def _normalise(vectors: np.ndarray) -> np.ndarray:
  """Unit vectors; one of length 0, orthogonal to all, becomes the last axis."""
  length = np.linalg.norm(vectors, axis=1, keepdims=True)
  unit = np.divide(
    vectors, length, out=np.zeros_like(vectors), where=length > 0
  )
  unit[length[:, 0] == 0, -1] = 1
  return unit
