"""Which models may be an answer: the candidates of a query.

Notation: B models, N vectors of each; Q vectors of the query, D numbers each; C
candidates.

All that follows, votes, margin, rejection and ranking, reads the candidates
only. With an exhaustive index they are the best of all models. Otherwise they
are the best of the models that own the nearest vectors.
"""

import dataclasses

import numpy as np

from dr3d.index.vector_index import VectorIndex
from dr3d.search.similarity import Rate, rate_models

DECIMALS = 6  # of a score, so that rounding errors do not decide the order

CANDIDATES = 128
"""Models kept at least: their votes and rivals decide about the label."""

_DEPTH_PER_MATCH = 16  # neighbours of a vector looked up for each match wanted
_MIN_DEPTH = 160  # neighbours; ten matches, the default, want so many
_DENSE = 1 / 32  # of the vectors: a deeper look-up costs more than scoring all
_DIRECT = 4096  # models that a filter leaves: scoring them needs no look-up
_SLACK = 1e-4  # more than a score is off in single precision


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
  """The models that can be part of the answer.

  Attributes:
    models: int [C], ascending.
    similarity: float32 [C, Q], what each query vector votes by.
    score: float64 [C], rounded to `DECIMALS`.
    is_complete: whether they are all models that may be found.
  """

  models: np.ndarray
  similarity: np.ndarray
  score: np.ndarray
  is_complete: bool

  @property
  def order(self) -> np.ndarray:
    """Indices of the models by score, ties in their order: int [C]."""
    return np.argsort(-self.score, kind="stable")

  @property
  def votes(self) -> np.ndarray:
    """How many of the query's vectors vote for each model: int [C]."""
    nearest = self.similarity.argmax(axis=0)  # the first of equal ones
    return np.bincount(nearest, minlength=len(self.models))


def select_candidates(
  models: np.ndarray,
  similarity: np.ndarray,
  score: np.ndarray,
  *,
  k: int,
) -> np.ndarray:
  """Chooses the best models and those that are voted for.

  Args:
    models: int [A], ascending.
    similarity: [A, Q].
    score: [A].
    k: models that the answer needs; `CANDIDATES` are kept at least.

  Returns:
    bool [A]. Models within rounding errors of the last one are kept too.
  """
  count = min(max(k, CANDIDATES), len(models))
  least = np.partition(score, len(score) - count)[len(score) - count]
  voted = (similarity >= similarity.max(axis=0) - _SLACK).any(axis=1)
  return voted | (score >= least - _SLACK)


def find_candidates(
  vectors: np.ndarray,
  stored: np.ndarray,
  index: VectorIndex,
  *,
  k: int,
  allowed: np.ndarray,
  rate: Rate,
) -> Candidates:
  """Finds the candidates of a query.

  Args:
    vectors: float32 [Q, D] unit vectors of the query.
    stored: float32 [B, N, D] unit vectors of the models.
    index: of the B·N vectors; row b·N + n is view n of model b.
    k: models that the answer needs, at most as many as are allowed.
    allowed: bool [B], the models to search; at least one.
    rate: see `similarity.Rate`.

  Returns:
    The candidates, at least k.
  """
  found = None
  if not index.is_exhaustive and np.count_nonzero(allowed) > _DIRECT:
    found = _look_up(vectors, stored.shape[1], index, k=k, allowed=allowed)
  if found is None:
    models, similarity, score = _rate_allowed(vectors, stored, allowed, rate)
    chosen = select_candidates(models, similarity, score, k=k)
    return _rescore(vectors, stored, models[chosen], rate, bool(chosen.all()))
  rated = _rescore(vectors, stored, found, rate, False)
  chosen = select_candidates(found, rated.similarity, rated.score, k=k)
  return Candidates(
    rated.models[chosen], rated.similarity[chosen], rated.score[chosen], False
  )


def _look_up(
  vectors: np.ndarray,
  views: int,
  index: VectorIndex,
  *,
  k: int,
  allowed: np.ndarray,
) -> np.ndarray | None:
  """Allowed models that own the nearest vectors; None if they are too few.

  A filter may hide the nearest ones, so the look-up goes deeper until enough
  are found, or until it would cost more than scoring the allowed models.
  """
  depth = max(_MIN_DEPTH, _DEPTH_PER_MATCH * k)
  while depth <= _DENSE * index.count:
    owner = index.search(vectors, depth).ids // views
    models = np.unique(owner[allowed[owner]])
    if len(models) >= k:
      return models
    depth *= 4
  return None


def _rate_allowed(
  vectors: np.ndarray, stored: np.ndarray, allowed: np.ndarray, rate: Rate
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The allowed models with their similarities and scores, in float32."""
  models = np.flatnonzero(allowed)
  if len(models) < len(stored) / 2:
    return models, *rate_models(vectors, stored, models, rate)
  # Rating all of them copies no vectors.
  similarity, score = rate_models(vectors, stored, None, rate)
  if len(models) == len(stored):
    return models, similarity, score
  return models, similarity[models], score[models]


def _rescore(
  vectors: np.ndarray,
  stored: np.ndarray,
  models: np.ndarray,
  rate: Rate,
  is_complete: bool,
) -> Candidates:
  """Rates in float64, so that equal vectors give equal scores everywhere."""
  similarity, score = rate_models(
    vectors.astype(np.float64), stored, models, rate
  )
  score = np.round(score, DECIMALS) + 0.0  # no negative zero
  return Candidates(models, similarity, score, is_complete)
