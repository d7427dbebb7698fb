"""The models that are searched, with their vectors, labels and calibration.

Notation: B models, N vectors of each, D numbers of a vector.
"""

import dataclasses
import functools
import itertools
from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from dr3d.index.engine import EXACT_BELOW, Engine, build_index
from dr3d.index.vector_index import VectorIndex
from dr3d.search.calibration import Calibration, fit_calibration
from dr3d.search.candidate import Candidates, find_candidates
from dr3d.search.evidence import NO_EVIDENCE, Evidence, weigh
from dr3d.search.similarity import SIMILARITIES, SimilarityName, rate_models

SIMILARITY: SimilarityName = "view_aligned"
"""How the views of meshes are compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
  """The models that are searched, ascending by name.

  Attributes:
    names: B unique names.
    labels: B labels, empty if a model has none.
    features: float32 [B, N, D], unit vectors.
    index: of the B·N vectors; row b·N + n is view n of model b.
    calibrations: by name of the similarity, as far as they were fitted.
  """

  names: tuple[str, ...]
  labels: tuple[str, ...]
  features: np.ndarray
  index: VectorIndex
  calibrations: dict[SimilarityName, Calibration] = dataclasses.field(
    default_factory=dict, repr=False
  )

  @functools.cached_property
  def label_array(self) -> np.ndarray:
    """The labels as str [B]."""
    return np.array(self.labels)

  @functools.cached_property
  def rows(self) -> dict[str, int]:
    """The row of each model, by name."""
    return {name: row for row, name in enumerate(self.names)}

  def find_allowed(
    self, exclude: Collection[str], only: Collection[str] | None
  ) -> np.ndarray:
    """Which models may be found: bool [B].

    Args:
      exclude: names that may not; unknown names change nothing.
      only: names that may; all if None.
    """
    allowed = np.full(len(self.names), only is None)
    for name in only or ():
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
  vectors = features.reshape(-1, features.shape[2])
  return Gallery(
    tuple(names[i] for i in order),
    tuple(labels[i] for i in order),
    features,
    build_index(vectors, engine=engine, exact_below=exact_below),
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
  views = gallery.features.shape[1]
  found = []
  for model, features in enumerate(gallery.features):
    hits = gallery.index.search(features, depth)
    owner = (hits.ids // views).reshape(-1)
    others, index = np.unique(owner, return_inverse=True)
    hit = np.bincount(index)
    cosine = np.bincount(index, hits.similarity.reshape(-1))
    order = np.lexsort((-cosine, -hit))
    best = [others[i] for i in order if others[i] != model][:count]
    found.append(tuple(gallery.names[i] for i in best))
  return found
