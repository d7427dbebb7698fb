"""The models that are searched, with their vectors, labels and calibration.

Notation: B models, N vectors of each, D numbers of a vector.
"""

import dataclasses
import functools
import itertools
from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from dr3d.index.engine import EXACT_BELOW, Engine
from dr3d.index.model_index import (
  ModelIndex,
  SummaryIndex,
  ViewIndex,
  index_models,
)
from dr3d.index.projection import Features, iterate_blocks
from dr3d.index.vector_index import PROBE_NOISE
from dr3d.search.calibration import Calibration, fit_calibration
from dr3d.search.candidate import Candidates, find_candidates
from dr3d.search.evidence import NO_EVIDENCE, Evidence, weigh
from dr3d.search.similarity import SIMILARITIES, SimilarityName, rate_models

SIMILARITY: SimilarityName = "view_aligned"
"""How the views of meshes are compared."""

_MIN_PROBES = 8
_PROBE_WORK = 2_000_000  # models compared with all probes: some seconds


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
  """The models that are searched, ascending by name.

  Attributes:
    names: B unique names.
    labels: B labels, empty if a model has none.
    features: float32 [B, N, D], unit vectors; in memory or in a file.
    index: of the models.
    calibrations: by name of the similarity, as far as they were fitted.
    neighbours: models that a vector of a query votes for.
  """

  names: tuple[str, ...]
  labels: tuple[str, ...]
  features: Features
  index: ModelIndex
  calibrations: dict[SimilarityName, Calibration] = dataclasses.field(
    default_factory=dict, repr=False
  )
  neighbours: int = 1
  _variants: dict[int, "Gallery"] = dataclasses.field(
    default_factory=dict, repr=False
  )

  def with_neighbours(self, count: int) -> "Gallery":
    """The gallery in which a vector votes for so many models.

    It has a calibration of its own, because more votes are right less often.

    Raises:
      ValueError: count is below 1.
    """
    if count < 1:
      raise ValueError(f"neighbours must be at least 1, got {count}")
    if count == self.neighbours:
      return self
    if count not in self._variants:
      self._variants[count] = dataclasses.replace(
        self, neighbours=count, calibrations={}, _variants={}
      )
    return self._variants[count]

  @functools.cached_property
  def label_array(self) -> np.ndarray:
    """The labels as str [B]."""
    return np.array(self.labels)

  @functools.cached_property
  def rows(self) -> dict[str, int]:
    """The row of each model, by name."""
    return {name: row for row, name in enumerate(self.names)}

  def within(self, expression: str) -> "Gallery":
    """The same models, with a filter that Milvus runs, if it holds them.

    The calibration must be fitted before: it depends on all models.
    """
    if not expression or not isinstance(self.index, SummaryIndex):
      return self
    return dataclasses.replace(self, index=self.index.within(expression))

  def find_allowed(
    self, exclude: Collection[str], only: Collection[str] | np.ndarray | None
  ) -> np.ndarray:
    """Which models may be found: bool [B].

    Args:
      exclude: names that may not; unknown names change nothing.
      only: names that may, or bool [B]; all if None.
    """
    allowed = np.full(len(self.names), only is None)
    if isinstance(only, np.ndarray):
      allowed = only.copy()
    elif only is not None:
      for name in only:
        if name in self.rows:
          allowed[self.rows[name]] = True
    for name in exclude:
      if name in self.rows:
        allowed[self.rows[name]] = False
    return allowed

  def find_candidates(
    self,
    vectors: np.ndarray,
    *,
    k: int,
    allowed: np.ndarray,
    similarity: SimilarityName,
  ) -> Candidates:
    """The candidates of a query; see `candidate.find_candidates`."""
    return find_candidates(
      vectors,
      self.features,
      self.index,
      k=k,
      allowed=allowed,
      rate=SIMILARITIES[similarity],
      is_aligned=similarity == "view_aligned",
    )

  def score_pairs(
    self, model: int, others: np.ndarray, *, similarity: SimilarityName
  ) -> np.ndarray:
    """Scores of a model, as a query, among others: [C]."""
    rate = SIMILARITIES[_between_models(similarity)]
    return rate_models(self.features[model], self.features, others, rate)[1]

  def weigh(
    self,
    candidates: Candidates,
    *,
    similarity: SimilarityName,
    geometric: np.ndarray | None = None,
  ) -> Evidence:
    """What candidates of this gallery say about a query's label."""
    return weigh(
      candidates,
      self.label_array[candidates.models],
      functools.partial(self.score_pairs, similarity=similarity),
      geometric=geometric,
      neighbours=self.neighbours,
    )

  def calibrate(self, similarity: SimilarityName = SIMILARITY) -> Calibration:
    """The calibration of a similarity, fitted when it is first wanted.

    That of photographs is better fitted to photographs, see
    `database.photo_search`; if it is not there, models ask here too.
    """
    if similarity not in self.calibrations:

      def ask(model: int, allowed: np.ndarray) -> Evidence:
        if not allowed.any():
          return NO_EVIDENCE
        candidates = self.find_candidates(
          self.features[model],
          k=1,
          allowed=allowed,
          similarity=_between_models(similarity),
        )
        return self.weigh(candidates, similarity=similarity)

      self.calibrations[similarity] = fit_calibration(
        self.names, self.labels, ask
      )
    return self.calibrations[similarity]


def _between_models(similarity: SimilarityName) -> SimilarityName:
  """How models are compared where queries are compared by a similarity.

  The vectors of a model are of views, not of turns of a photograph.
  """
  return "max" if similarity == "photograph" else similarity


def make_gallery(
  features: np.ndarray,
  names: Sequence[str],
  labels: Sequence[str],
  *,
  engine: Engine | Literal["auto"] = "auto",
  exact_below: int = EXACT_BELOW,
) -> Gallery:
  """Makes models searchable.

  Args:
    features: [B, N, D] unit vectors.
    names: B unique names, in any order.
    labels: B labels, empty for none.
    engine: see `engine.build_index`.
    exact_below: see `engine.build_index`.

  Returns:
    The gallery, sorted by name, so that no answer depends on the order in
    which models were added.

  Raises:
    ValueError: the lengths differ, a name occurs twice, or a vector is not a
      unit vector.
  """
  features = np.asarray(features, np.float32)
  if features.ndim != 3 or not len(features) == len(names) == len(labels):
    raise ValueError(
      "features must be [B, N, D] with B names and B labels, got shape "
      f"{features.shape}, {len(names)} names and {len(labels)} labels"
    )
  order = sorted(range(len(names)), key=names.__getitem__)
  for before, after in itertools.pairwise(order):
    if names[before] == names[after]:
      raise ValueError(f"names must be unique, got {names[after]!r} twice")
  if order != list(range(len(order))):
    features = features[order]
  return Gallery(
    tuple(names[i] for i in order),
    tuple(labels[i] for i in order),
    features,
    index_models(features, engine=engine, exact_below=exact_below),
  )


def find_neighbours(
  gallery: Gallery, *, count: int = 5, depth: int = 24
) -> list[tuple[str, ...]]:
  """Finds, for each model, others that look like it, most similar first.

  Args:
    gallery: B models.
    count: others at most.
    depth: neighbours looked up for each vector.

  Returns:
    B tuples of names, ranked by how many of the neighbours of a model's vectors
    are theirs, then by the sum of their cosines.
  """
  if not isinstance(gallery.index, ViewIndex):
    return [
      _find_similar(gallery, model, count=count, depth=depth)
      for model in range(len(gallery.names))
    ]
  views = gallery.features.shape[1]
  found = []
  for model in range(len(gallery.names)):
    hits = gallery.index.index.search(gallery.features[model], depth)
    owner = (hits.ids // views).reshape(-1)
    others, index = np.unique(owner, return_inverse=True)
    hit = np.bincount(index)
    cosine = np.bincount(index, hits.similarity.reshape(-1))
    order = np.lexsort((-cosine, -hit))
    best = [others[i] for i in order if others[i] != model][:count]
    found.append(tuple(gallery.names[i] for i in best))
  return found


def _find_similar(
  gallery: Gallery, model: int, *, count: int, depth: int
) -> tuple[str, ...]:
  """Others of the highest scores; a copy may stand in other axes."""
  features = gallery.features[model]
  others = gallery.index.find_models(
    features,
    depth,
    allowed=np.arange(len(gallery.names)) != model,
    is_aligned=True,
  )
  if others is None:
    others = np.delete(np.arange(len(gallery.names)), model)
  score = gallery.score_pairs(model, others, similarity="max")
  order = np.argsort(-score, kind="stable")[:count]
  return tuple(gallery.names[i] for i in others[order])


def measure_recall(
  gallery: Gallery, *, probes: int = 64, k: int = 10, seed: int = 0
) -> float:
  """Share of the first models by score that the index proposes, 0 to 1.

  Args:
    gallery: B models.
    probes: models used as queries, at most; fewer if B is large. Noise is added
      to them, so that the model itself is not the only near one.
    k: models of each.
    seed: of the choice and of the noise.

  Returns:
    The mean over the probes; 1 for an exhaustive index.
  """
  if gallery.index.is_exhaustive:
    return 1.0
  features, count = gallery.features, len(gallery.names)
  k = min(k, count)
  probes = min(count, max(_MIN_PROBES, min(probes, _PROBE_WORK // count)))
  rng = np.random.default_rng(seed)
  queries = features[np.sort(rng.choice(count, probes, replace=False))]
  noise = rng.standard_normal(queries.shape, np.float32)
  queries = queries + np.float32(PROBE_NOISE / queries.shape[2] ** 0.5) * noise
  queries /= np.linalg.norm(queries, axis=2, keepdims=True)
  hits = [
    np.isin(best, _propose(gallery, query, k)).mean()
    for query, best in zip(queries, rank_all(features, queries, k), strict=True)
  ]
  return float(np.mean(hits))


def _propose(gallery: Gallery, query: np.ndarray, k: int) -> np.ndarray:
  """Models that are scored for a query of aligned views."""
  everything = np.ones(len(gallery.names), bool)
  found = gallery.index.find_models(
    query, k, allowed=everything, is_aligned=True
  )
  return np.flatnonzero(everything) if found is None else found


def rank_all(features: Features, queries: np.ndarray, k: int) -> np.ndarray:
  """Compares queries with all models, which are read once.

  Args:
    features: [B, N, D].
    queries: float32 [Q, N, D] unit vectors of the same views.
    k: models of each, at most B.

  Returns:
    int [Q, k], the models that score highest, best first.
  """
  best = np.zeros((len(queries), 0), np.int64)
  score = np.zeros((len(queries), 0), np.float32)
  rate = SIMILARITIES[SIMILARITY]
  for rows, part in iterate_blocks(features):
    new = [rate_models(query, part, None, rate)[1] for query in queries]
    score = np.concatenate([score, new], axis=1)
    here = np.broadcast_to(np.arange(rows.start, rows.stop), np.shape(new))
    best = np.concatenate([best, here], axis=1)
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]
    score = np.take_along_axis(score, order, axis=1)
    best = np.take_along_axis(best, order, axis=1)
  return best
