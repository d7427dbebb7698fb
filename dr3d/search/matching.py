"""Candidates → votes → an answer: which models a query looks like, its label.

Notation: B models of the gallery, N vectors each; Q vectors of the query, C
candidates; K matches.

Patent WO 2021/178001 [0032]: each vector of the query looks up its nearest
stored vectors, and the label named most often is the prediction, or the model
where there are no labels. That is the similarity `"max"`. Here a vector of a
mesh votes by more than its nearest vector, see `similarity`. The patent does
not say how models are ranked. Most get no vote, and ranking by votes first is
worse (by seven points of nearest neighbour and ten of average precision on 904
models of unseen classes). So models are ranked by a score, the most similar of
them also by how near their registered surfaces come, see `geometric_score`, and
by the neighbours that they have in common with the query, see `reciprocal`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.search.answer import (
  AMBIGUOUS,
  NO_ANSWER,
  TARGET_PRECISION,
  UNKNOWN,
  UNLABELLED,
  Answer,
  Match,
  Prediction,
  RejectReason,
)
from dr3d.search.calibration import Calibration
from dr3d.search.candidate import Candidates
from dr3d.search.evidence import Evidence
from dr3d.search.gallery import Gallery
from dr3d.search.geometric_score import (
  COMPARED_COUNT,
  DEFAULT_WEIGHT,
  add_geometric_score,
  is_same,
  rank_samples,
  rank_surfaces,
  score_distance,
)
from dr3d.search.query import Query
from dr3d.search.reciprocal import (
  COMMON_COUNT,
  rank_by_neighbours,
  rate_neighbours,
)
from dr3d.search.similarity import TURNS
from dr3d.search.size import SizeRating
from dr3d.search.vote import count_votes, vote_model

if TYPE_CHECKING:
  from dr3d.registration.surface import Fit

Register = Callable[[Sequence[str]], "Mapping[str, Fit]"]
"""Names of models → how well each fits the query; models whose mesh is not
stored are left out."""
Compare = Callable[[Sequence[str]], Mapping[str, float]]
"""Names of models → distances of their points from the query's, likewise."""


def find_matches(
  query: Query,
  gallery: Gallery,
  *,
  k: int = 10,
  target_precision: float = TARGET_PRECISION,
  exclude: Collection[str] = (),
  only: Collection[str] | np.ndarray | None = None,
  min_score: float = -1.0,
  register: Register | None = None,
  compare: Compare | None = None,
  verify: int = VERIFIED_COUNT,
  size: SizeRating | None = None,
  neighbours: int = 1,
  surface_weight: float = DEFAULT_WEIGHT,
) -> Answer:
  """Answers which models of the gallery the query looks like.

  Models are ranked by score, then by name. With an exhaustive index these are
  the first k of all models; otherwise the first k of those that own the nearest
  vectors. Registered models are ranked by score plus geometric score, and all
  of them by their sizes as well. Behind the first five, models gain by what
  they have in common with the query, see `reciprocal`. Neither size nor common
  neighbours change the prediction.

  Args:
    query: of vectors as long as the gallery's.
    gallery: the models.
    k: matches wanted, at least 1.
    target_precision: share of the accepted predictions that are to be right.
    exclude: names of models to leave out, with their vectors and votes.
    only: names of the models to search, or bool [B]; all if None.
    min_score: matches of a lower score are left out of the answer; they still
      vote.
    register: registers models to the query; none are registered if None.
    compare: compares points of models with those of the query, as far as they
      are registered at all. It tells which of those that score highest are
      registered, and helps to rank these; see `geometric_score.rank_samples`.
    verify: how many of the models that score highest are registered, in the
      answer or beyond it; with sizes, also as many that score highest with it.
    size: how nearly the models have the size of the query; None if that does
      not count.
    neighbours: models that each vector votes for [0032]; the calibration is
      fitted with as many.
    surface_weight: how much surfaces count beside these vectors; see
      `geometric_score.DEFAULT_WEIGHT`.

  Returns:
    min(k, allowed models) matches and the prediction.

  Raises:
    ValueError: the query does not fit the gallery, or k is below 1.
  """
  _check(query, gallery, k)
  gallery = gallery.with_neighbours(neighbours)
  allowed = gallery.find_allowed(exclude, only)
  count = int(allowed.sum())
  if not count:
    return NO_ANSWER
  candidates = gallery.find_candidates(
    query.vectors,
    k=min(k if register is None else max(k, verify), count),
    allowed=allowed,
    similarity=query.similarity,
  )
  labels = gallery.label_array[candidates.models]
  names = [gallery.names[model] for model in candidates.models]
  nearness = np.zeros(len(names))
  fits: Mapping[str, Fit] = {}
  chosen = np.zeros(0, int)
  if register is not None:
    if compare is not None:
      compared = candidates.order[:COMPARED_COUNT]
      near = compare([names[i] for i in compared])
      nearness = surface_weight * rank_samples(
        [near.get(name, np.nan) for name in names]
      )
      _credit(nearness, [i for i in compared if names[i] not in near])
    score = candidates.score + nearness
    chosen = choose_first(candidates.models, score, labels, verify, size)
    fits = register([names[i] for i in chosen])
  found = [fits.get(name) for name in names]
  geometric = np.array(
    [score_distance(fit.plain) if fit else 0.0 for fit in found]
  )
  surfaces = surface_weight * rank_surfaces(
    [
      np.nan if fit is None or fit.trimmed is None else fit.trimmed
      for fit in found
    ]
  )
  # Points alone say less about the class than vectors do, so they rank only
  # models that are registered, among which the very part may be.
  ranking = np.zeros(len(names))
  ranking[chosen] = nearness[chosen] + surfaces[chosen]
  _credit(ranking, [i for i in chosen if names[i] not in fits])
  shape = add_geometric_score(
    candidates.score + ranking, surface_weight * geometric
  )
  total = shape
  if size is not None:
    total = shape + size.score(candidates.models, labels, shape)
  common = _find_common(query, gallery, candidates)
  order = np.argsort(-rank_by_neighbours(total, common), kind="stable")[:k]
  order = order[candidates.score[order] >= min_score]
  votes = count_votes(candidates.similarity, neighbours)
  matches = tuple(
    _make_match(rank, i, candidates, query, gallery, fits, int(votes[i]))
    for rank, i in enumerate(order.tolist(), start=1)
  )
  evidence = gallery.weigh(
    candidates, similarity=query.similarity, geometric=geometric
  )
  if not evidence.label:
    best, share = vote_model(candidates.similarity, neighbours=neighbours)
    prediction = Prediction("", share, 0.0, UNLABELLED, names[best])
    return Answer(prediction, matches)
  calibration = gallery.calibrate(query.similarity)
  return Answer(_predict(evidence, calibration, target_precision), matches)


def _find_common(
  query: Query, gallery: Gallery, candidates: Candidates
) -> np.ndarray:
  """How many neighbours candidates have in common with the query: [C].

  0 for all if the views of the query are unknown: then no view of a model
  corresponds to them.
  """
  common = np.zeros(len(candidates.models))
  if query.is_view_aligned:
    first = np.sort(candidates.order[:COMMON_COUNT])
    models = gallery.features[candidates.models[first]]
    common[first] = rate_neighbours(query.vectors, models)
  return common


def _credit(ranking: np.ndarray, unknown: Sequence[int]) -> None:
  """Ranks models whose mesh is not stored by their vectors alone.

  What is added to others must not put these behind them. So they get as much as
  the nearest model.
  """
  ranking[unknown] = ranking.max(initial=0.0)


def choose_first(
  models: np.ndarray,
  score: np.ndarray,
  labels: np.ndarray,
  count: int,
  size: SizeRating | None,
) -> np.ndarray:
  """Chooses the candidates that are registered to the query.

  The size brings in others, but those that look most like the query stay,
  because the prediction depends on them.

  Args:
    models: int [C].
    score: [C] of these.
    labels: str [C] of these.
    count: how many of the highest scores, without the size and with it.
    size: see `find_matches`.

  Returns:
    int, indices of candidates: by score, then the others.
  """
  first = np.argsort(-score, kind="stable")[:count]
  if size is None:
    return first
  score = score + size.score(models, labels, score)
  other = np.argsort(-score, kind="stable")[:count]
  return np.concatenate([first, other[~np.isin(other, first)]])


def _check(query: Query, gallery: Gallery, k: int) -> None:
  _, views, size = gallery.features.shape
  count, numbers = query.vectors.shape
  if numbers != size:
    raise ValueError(
      f"vectors of a query must have {size} numbers each like the gallery's, "
      f"got {numbers}"
    )
  if query.is_view_aligned and count != views:
    raise ValueError(
      f"a query must have {views} vectors, of the same views as a model, got "
      f"{count}; is_view_aligned=False compares vectors of any views"
    )
  if k < 1:
    raise ValueError(f"k must be at least 1, got {k}")


def _predict(
  evidence: Evidence, calibration: Calibration, target_precision: float
) -> Prediction:
  probability = float(calibration.estimate(evidence.margin))
  reason: RejectReason = ""
  if probability < calibration.probability_threshold(target_precision):
    reason = AMBIGUOUS
  elif evidence.rejection_score <= calibration.rejection_threshold(
    target_precision
  ):
    reason = UNKNOWN
  return Prediction(evidence.label, evidence.confidence, probability, reason)


def _make_match(
  rank: int,
  index: int,
  candidates: Candidates,
  query: Query,
  gallery: Gallery,
  fits: "Mapping[str, Fit]",
  votes: int,
) -> Match:
  model = candidates.models[index]
  cosine = query.vectors @ gallery.features[model].T
  query_view, view = np.unravel_index(cosine.argmax(), cosine.shape)
  if query.is_photograph:  # the number of the photograph, not of its turn
    query_view //= TURNS
  name = gallery.names[model]
  return Match(
    rank=rank,
    model=name,
    label=gallery.labels[model],
    score=float(candidates.score[index]),
    votes=votes,
    query_view=int(query_view) + 1,
    view=int(view) + 1,
    **_describe_fit(fits.get(name)),
  )


class _FitFields(TypedDict, total=False):
  """Fields of a match that its registration gives."""

  distance: float
  mirrored: bool
  same: bool


def _describe_fit(fit: "Fit | None") -> _FitFields:
  if fit is None:
    return {}
  return {
    "distance": round(fit.mean, 6),
    "mirrored": fit.mirrored,
    "same": is_same(fit),
  }
