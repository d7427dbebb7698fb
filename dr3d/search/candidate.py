"""Which models may be an answer: the candidates of a query.

Notation: B models, N vectors of each; Q vectors of the query, D numbers each; C
candidates.

All that follows, votes, margin, rejection and ranking, reads the candidates
only. With an exhaustive index they are the best of all models. Otherwise they
are the best of the models that the index proposes.
"""

import dataclasses

import numpy as np

from dr3d.index.model_index import ModelIndex
from dr3d.index.projection import Features
from dr3d.search.similarity import Rate, rate_models

DECIMALS = 6  # of a score, so that rounding errors do not decide the order

CANDIDATES = 128
"""Models kept at least: their votes and rivals decide about the label."""

_DIRECT = 1024  # models that a filter leaves: scoring them needs no look-up
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
  stored: Features,
  index: ModelIndex,
  *,
  k: int,
  allowed: np.ndarray,
  rate: Rate,
  is_aligned: bool,
) -> Candidates:
  """Finds the candidates of a query.

  Args:
    vectors: float32 [Q, D] unit vectors of the query.
    stored: float32 [B, N, D] unit vectors of the models.
    index: of the models.
    k: models that the answer needs, at most as many as are allowed.
    allowed: bool [B], the models to search; at least one.
    rate: see `similarity.Rate`.
    is_aligned: whether vector n of the query is of the models' view n.

  Returns:
    The candidates, at least k.
  """
  found = None
  if not index.is_exhaustive and np.count_nonzero(allowed) > _DIRECT:
    found = index.find_models(
      vectors, k, allowed=allowed, is_aligned=is_aligned
    )
  if found is None or len(found) < k:
    models, similarity, score = _rate_allowed(vectors, stored, allowed, rate)
    chosen = select_candidates(models, similarity, score, k=k)
    return _rescore(vectors, stored, models[chosen], rate, bool(chosen.all()))
  rated = _rescore(vectors, stored, found, rate, False)
  chosen = select_candidates(found, rated.similarity, rated.score, k=k)
  return Candidates(
    rated.models[chosen], rated.similarity[chosen], rated.score[chosen], False
  )


def _rate_allowed(
  vectors: np.ndarray, stored: Features, allowed: np.ndarray, rate: Rate
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
  stored: Features,
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
