"""Runs a method on a retrieval task: queries, gallery, rankings.

Notation: Q queries, B models of the gallery, P parts of a query (its views), M
models in a ranking.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from dr3d.evaluation import metric
from dr3d.evaluation.aligner import Aligner, GeometricScores
from dr3d.evaluation.method import Method
from dr3d.evaluation.predictions import Predictions, Predictor
from dr3d.evaluation.reranking import rerank_models
from dr3d.evaluation.similarity import (
  Similarity,
  SimilarityKind,
  add_votes,
  find_nearest,
  hide,
)
from dr3d.index.model_index import MIN_MODELS, SummaryIndex, index_models
from dr3d.search.calibration import Calibration
from dr3d.search.geometric_score import add_geometric_score

SearchKind = Literal["exact", "approximate", "verified"]
EXACT: SearchKind = "exact"
APPROXIMATE: SearchKind = "approximate"
VERIFIED: SearchKind = "verified"
SEARCHES: tuple[SearchKind, ...] = get_args(SearchKind)
"""`exact`: by the similarity to all models; `approximate`: to the models that
ScaNN finds; `verified`: to all, with the most similar ones registered
to the query, as `dr3d query` does. In all three, vectors of the same views are
also ranked by common neighbours; see `search.reciprocal`."""
DEPTH = MIN_MODELS  # that ScaNN finds for a query, as in a large database
BEST = 8  # models of each ranking that the report shows

Sink = Callable[["Rankings"], None]
"""Takes the rankings of some queries at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalTask:
  """Queries and the gallery that they are searched in.

  Attributes:
    queries: names of the Q queries; each has a relevant model.
    query_labels: their labels.
    models: names of the B models of the gallery.
    model_labels: their labels, empty if they have none.
    own: int [Q], the index of each query in the gallery in a leave-one-out,
      which leaves out that model with all its vectors. None otherwise.
  """

  queries: tuple[str, ...]
  query_labels: tuple[str, ...]
  models: tuple[str, ...]
  model_labels: tuple[str, ...]
  own: np.ndarray | None

  def same_class(self, rows: slice) -> np.ndarray:
    """Which models have the label of some of the queries: bool [q, B]."""
    asked = np.array(self.query_labels[rows])
    return asked[:, None] == np.array(self.model_labels)

  def relevant(self, rows: slice) -> np.ndarray:
    """Which of these are not the query itself: bool [q, B]."""
    relevant = self.same_class(rows)
    if self.own is not None:
      relevant[np.arange(len(relevant)), self.own[rows]] = False
    return relevant


@dataclasses.dataclass(frozen=True, eq=False)
class Rankings:
  """Ranked lists of some queries.

  Attributes:
    task: that the queries are of.
    method: its name.
    search: one of `SEARCHES`.
    first: index of the first of the queries.
    order: int [q, M], models, best first.
    score: [q, M], what ranks them, falling; `-inf` for models that were not
      found.
  """

  task: RetrievalTask
  method: str
  search: SearchKind
  first: int
  order: np.ndarray
  score: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class MethodResult:
  """What a method found, query by query.

  Attributes:
    method: its name.
    search: one of `SEARCHES`.
    measures: [Q] by name; see `metric.measure`.
    precision: [Q, 20] at the recalls `metric.RECALLS`.
    known: the predictions of the Q queries.
    unknown: the predictions without the models of the query's label.
    calibration: of the gallery, by exact search.
    best: int [Q, at most 8], models, best first.
    score: of these, their similarity, and what registration adds to it.
    votes: int, of these, number of parts of the query that are nearest to them.
    seconds: to compare the descriptor of a query with the gallery.
  """

  method: str
  search: SearchKind
  measures: dict[str, np.ndarray]
  precision: np.ndarray
  known: Predictions
  unknown: Predictions
  calibration: Calibration
  best: np.ndarray
  score: np.ndarray
  votes: np.ndarray
  seconds: float


def run_task(
  task: RetrievalTask,
  method: Method,
  queries: np.ndarray,
  gallery: np.ndarray,
  *,
  kind: SimilarityKind = "view_aligned",
  aligner: Aligner | None = None,
  searches: Sequence[SearchKind] = SEARCHES,
  sink: Sink | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> list[MethodResult]:
  """Ranks all models for all queries.

  Args:
    task: queries and gallery.
    method: compares them.
    queries: descriptors of the Q queries.
    gallery: descriptors of the B models.
    kind: `"vote"` ranks by votes first.
    aligner: registers models to the queries.
    searches: some of `SEARCHES`.
    sink: called with all rankings.
    progress: called with the queries done and all.

  Returns:
    A result for each search. Approximate search is left out if the descriptors
    are not vectors or ScaNN is not installed. It finds `DEPTH` models; the
    others come last in the ranking. Verified search is left out without an
    aligner.

  Raises:
    Dr3dError: models cannot be registered to queries.
  """
  index = None
  if APPROXIMATE in searches and method.has_vectors:
    index = build_approximate(gallery)
  # As a database asks: these kinds compare a vector with those of all views.
  is_aligned = kind not in ("max", "vote")
  is_aligned = is_aligned and queries.shape[1:2] == gallery.shape[1:2]
  lacking = {APPROXIMATE: index is None, VERIFIED: aligner is None}
  chosen = [search for search in searches if not lacking.get(search)]
  predictor = Predictor(method, gallery, task.models, task.model_labels)
  # As a database: by neighbours if views correspond.
  is_reranked = kind == "view_aligned" and method.has_vectors
  calibration = predictor.calibrate()
  seconds = 0.0
  parts: dict[SearchKind, list[MethodResult]] = {s: [] for s in chosen}
  for rows in method.split(queries, gallery):
    begin = time.perf_counter()
    similarity = method.compare(queries[rows], gallery)
    seconds += time.perf_counter() - begin
    if task.own is not None:
      own = np.zeros(similarity.whole.shape, bool)
      own[np.arange(len(own)), task.own[rows]] = True
      similarity = hide(similarity, own)
    for search in chosen:
      seen = similarity
      if search == APPROXIMATE:
        assert index is not None
        seen = hide(
          similarity, ~look_up(index, queries[rows], is_aligned=is_aligned)
        )
      result, rankings = _rank(
        task,
        rows,
        seen,
        kind=kind,
        aligner=aligner if search == VERIFIED else None,
        weight=method.surface_weight,
        rerank=functools.partial(rerank_models, queries[rows], gallery)
        if is_reranked
        else None,
        predictor=predictor,
        calibration=calibration,
      )
      parts[search].append(result)
      if sink is not None:
        sink(dataclasses.replace(rankings, method=method.name, search=search))
    if progress is not None:
      progress(min(rows.stop, len(queries)), len(queries))
  return [
    dataclasses.replace(
      _join(several),
      method=method.name,
      search=search,
      seconds=seconds / len(queries),
    )
    for search, several in parts.items()
  ]


def build_approximate(gallery: np.ndarray) -> SummaryIndex | None:
  """ScaNN's index of models [B, N, D]; None if it is not possible."""
  try:
    index = index_models(gallery, engine="scann")
  except ImportError:
    return None
  if not isinstance(index, SummaryIndex) or index.index.is_exhaustive:
    return None
  return index


def look_up(
  index: SummaryIndex, queries: np.ndarray, *, is_aligned: bool
) -> np.ndarray:
  """Finds the models that a database would score.

  Args:
    index: over B models.
    queries: [q, Q, D].
    is_aligned: whether vector n of a query is of the models' view n, of all.

  Returns:
    bool [q, B].
  """
  found = np.zeros((len(queries), index.index.count), bool)
  for row, query in zip(found, queries, strict=True):
    # In a leave-one-out the query's own model is among the nearest.
    row[index.propose(query, DEPTH + 1, is_aligned=is_aligned)] = True
  return found


def _rank(
  task: RetrievalTask,
  rows: slice,
  similarity: Similarity,
  *,
  kind: SimilarityKind,
  aligner: Aligner | None,
  weight: float,
  rerank: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
  predictor: Predictor,
  calibration: Calibration,
) -> tuple[MethodResult, Rankings]:
  """Ranks the found models for some queries, and predicts labels."""

  def align(seen: Similarity) -> GeometricScores | None:
    if aligner is None:
      return None
    return aligner.rate(rows.start, seen.whole, weight=weight)

  def predict(seen: Similarity, found: GeometricScores | None) -> Predictions:
    geometric = None if found is None else found.geometric
    return predictor.predict(seen, labels, geometric=geometric)

  whole = add_votes(similarity) if kind == "vote" else similarity.whole
  found = align(similarity)
  if found is not None:
    whole = add_geometric_score(whole + found.ranking, weight * found.geometric)
  shown = whole
  if rerank is not None:
    whole = rerank(whole, similarity.whole)
  relevant = task.relevant(rows)
  own = None if task.own is None else task.own[rows]
  order = metric.rank_models(whole, relevant, excluded=own)
  score = np.take_along_axis(whole, order, axis=1)
  hits = metric.take_hits(relevant, order)
  nearest = find_nearest(similarity.parts)
  votes = (nearest[..., None] == np.arange(len(task.models))).sum(axis=1)
  labels = task.query_labels[rows]
  hidden = hide(similarity, task.same_class(rows))
  result = MethodResult(
    method="",
    search=EXACT,
    measures=metric.measure(hits),
    precision=metric.recall_precision(hits),
    known=predict(similarity, found),
    unknown=predict(hidden, align(hidden)),
    calibration=calibration,
    best=order[:, :BEST],
    score=np.take_along_axis(shown, order[:, :BEST], axis=1),
    votes=np.take_along_axis(votes, order[:, :BEST], axis=1),
    seconds=0.0,
  )
  return result, Rankings(task, "", EXACT, rows.start, order, score)


def _join(parts: list[MethodResult]) -> MethodResult:
  """Joins the results of some queries at a time."""
  return dataclasses.replace(
    parts[0],
    measures={
      name: np.concatenate([part.measures[name] for part in parts])
      for name in parts[0].measures
    },
    precision=np.concatenate([part.precision for part in parts]),
    known=Predictions.join([part.known for part in parts]),
    unknown=Predictions.join([part.unknown for part in parts]),
    best=np.concatenate([part.best for part in parts]),
    score=np.concatenate([part.score for part in parts]),
    votes=np.concatenate([part.votes for part in parts]),
  )
