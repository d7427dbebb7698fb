"""Look-ups → votes → an answer: which models a query looks like, and its label.

Notation: B models in the gallery, N vectors each; Q vectors of the query (its
N views), D numbers a vector; C candidate models; K matches.

Patent WO 2021/178001 [0032]: each vector of the query looks up its nearest
stored vector, and the label that is named most often is the prediction. That is
`kind="max"`; by default a vector votes by more than its nearest one, see
`candidate`. The patent does not tell how models are ranked. Most get no vote at
all, and to put those with votes first makes the order worse (by seven points of
nearest neighbour and ten of average precision on 904 models of unseen classes),
so they are ranked by a score; and those that are most alike by how close they
come when they are laid upon the query, too, see `closeness`.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dr3d.index import vector_index as index_lib
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.search.calibration import (
  Calibration,
  density_normalised_score,
  fit_calibration,
)
from dr3d.search.candidate import KINDS, find_candidates, rate_stored
from dr3d.search.geometric_score import (
  add_geometric_score,
  is_same,
  measure_support,
  score_distance,
)
from dr3d.search.vote import (
  AMBIGUOUS,
  TARGET_PRECISION,
  UNKNOWN,
  Prediction,
  find_best,
  majority_vote,
  vote_margin,
)

if TYPE_CHECKING:
  from dr3d.registration.surface import Fit

KIND = "view_aligned"  # of likeness, by which a database compares

Lay = Callable[[Sequence[str]], "Mapping[str, Fit]"]
"""Lays models, by their names, upon the query: how well they fit, by name;
without those whose mesh it does not have."""


@dataclasses.dataclass(frozen=True)
class Match:
  """One model of the answer.

  Attributes:
    rank: 1 for the best.
    model: the model's name.
    label: its label, empty where it has none.
    score: likeness to the query, -1 to 1, to six decimals; see `find_matches`.
    votes: how many of the query's vectors vote for this model.
    query_view: number of the query's view, from 1, of the pair of views that
      are most alike.
    view: number of the model's view of that pair.
    extent: true size of the model along its principal axes, millimetres; None
      where it is not known.
    scale: size of the model over that of the query, likewise.
    distance: of the surfaces at one size, mean, in radii of the smallest
      enclosing sphere; None where they were not laid upon each other.
    mirrored: whether the query had to be mirrored to be laid upon the model,
      likewise.
    same: whether they are of one shape, whatever their sizes, likewise.
    difference: of the pictures of the query, laid upon the model, and of the
      model; see `image.Alignment`; None where they were not compared.
  """

  rank: int
  model: str
  label: str
  score: float
  votes: int
  query_view: int = 0
  view: int = 0
  extent: tuple[float, float, float] | None = None
  scale: float | None = None
  distance: float | None = None
  mirrored: bool | None = None
  same: bool | None = None
  difference: float | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
  """The answer to one query; `dataclasses.asdict` makes it ready for JSON.

  Attributes:
    prediction: the label by vote.
    matches: at most k models, best first.
  """

  prediction: Prediction
  matches: tuple[Match, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
  """The models that are searched, ascending by name.

  Attributes:
    names: B unique names.
    labels: B labels, empty where a model has none.
    features: float32 [B, N, D], unit vectors.
    index: over the B·N vectors; row b·N + n is view n of model b.
    calibration: what they find in it, by kind of likeness, as far as they were
    asked.
  """

  names: tuple[str, ...]
  labels: tuple[str, ...]
  features: np.ndarray
  index: index_lib.Index
  calibration: dict[str, Calibration] = dataclasses.field(
    default_factory=dict, repr=False
  )

  @functools.cached_property
  def label_array(self) -> np.ndarray:
    """The labels as str [B]."""
    return np.array(self.labels)

  def fit_calibration(self, kind: str = KIND) -> Calibration:
    """What its own models find in it; asked when it is first wanted.

    Args:
      kind: of likeness, one of `candidate.KINDS`.
    """
    if kind not in self.calibration:
      self.calibration[kind] = fit_calibration(
        self.features, self.names, self.labels, kind=kind
      )
    return self.calibration[kind]


def make_gallery(
  features: np.ndarray,
  names: Sequence[str],
  labels: Sequence[str],
  *,
  backend: str = "auto",
  exact_below: int = index_lib.EXACT_BELOW,
) -> Gallery:
  """Makes models searchable.

  Args:
    features: [B, N, D] unit vectors.
    names: B unique names, in any order.
    labels: B labels, empty for none.
    backend: see `index.build_index`.
    exact_below: see `index.build_index`.

  Returns:
    The gallery, sorted by name, so that the order in which models came in
    does not show in any answer.

  Raises:
    ValueError: the lengths differ, a name comes twice, or a vector is no unit
      vector.
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
    index_lib.build_index(vectors, backend=backend, exact_below=exact_below),
  )


def find_matches(
  features: np.ndarray,
  gallery: Gallery,
  *,
  k: int = 10,
  threshold: float = TARGET_PRECISION,
  exclude: Collection[str] = (),
  only: Collection[str] | None = None,
  min_score: float = -1.0,
  kind: str = KIND,
  lay: Lay | None = None,
  verify: int = VERIFIED_COUNT,
) -> Answer:
  """Answers which models of the gallery the query looks like.

  Ranked by score, then name. With an exact index these are the first k of all
  models. With ScaNN, which proposes them, that holds but for the neighbours
  that it misses: where a model outside the look-up could score higher, all are
  scored. Those laid upon the query are put in the order of score and closeness.

  Args:
    features: [Q, D] unit vectors of the query, Q at least 1.
    gallery: the models.
    k: matches wanted, at least 1.
    threshold: share of the predictions called reliable that are to be right.
    exclude: names of models that are to be left out, with all their vectors
      and votes; names that the gallery does not hold change nothing.
    only: names of the models that are searched; all where None.
    min_score: matches of a lower score are left out of the answer; they still
      vote.
    kind: of likeness. `"max"`: of each of the query's vectors the highest
      cosine to any vector of the model. `"view_aligned"`: the mean of that and
      of the cosine of vector n of the query to vector n of the model, for
      vectors of the same N views; see `candidate`.
    lay: lays models upon the query; none are where None.
    verify: how many of the models that score highest are, of the answer or
      beyond it.

  Returns:
    min(k, B less the excluded) matches and the prediction. Votes for models
    without a label count for no label.

  Raises:
    ValueError: features that do not fit the gallery, an unknown kind, or k
      below 1.
  """
  features = index_lib.check_vectors(features, "features")
  if kind not in KINDS:
    raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
  if not len(features):
    raise ValueError("features must hold at least one vector, got none")
  if features.shape[1] != gallery.features.shape[2]:
    raise ValueError(
      f"features must have {gallery.features.shape[2]} numbers each like the "
      f"gallery's, got {features.shape[1]}"
    )
  if kind == "view_aligned" and len(features) != gallery.features.shape[1]:
    raise ValueError(
      f"features must be {gallery.features.shape[1]} vectors, of the same views"
      f" as those of a model, got {len(features)}"
    )
  if k < 1:
    raise ValueError(f"k must be at least 1, got {k}")
  excluded = set(exclude)
  chosen = None if only is None else set(only)
  allowed = np.array(
    [
      name not in excluded and (chosen is None or name in chosen)
      for name in gallery.names
    ]
  )
  count = int(allowed.sum())
  if not count:
    return Answer(Prediction("", 0.0, 0.0, AMBIGUOUS), ())
  found = find_candidates(
    features,
    gallery.features,
    gallery.index,
    k=min(k if lay is None else max(k, verify), count),
    allowed=allowed,
    kind=kind,
  )
  models, similarity, score = found.models, found.similarity, found.score
  nearest = similarity.argmax(axis=0)  # of equally near models the first
  votes = np.bincount(nearest, minlength=len(models))
  fits: Mapping[str, Fit] = {}
  if lay is not None:
    first = found.order[:verify]
    fits = lay([gallery.names[model] for model in models[first]])
  closeness = np.zeros(len(models))
  for place, model in enumerate(models):
    if fit := fits.get(gallery.names[model]):
      closeness[place] = score_distance(fit.plain)
  order = np.argsort(-add_geometric_score(score, closeness), kind="stable")[:k]
  order = order[score[order] >= min_score]
  matches = []
  for rank, place in enumerate(order, start=1):
    model = models[place]
    cosine = features @ gallery.features[model].T
    pair = np.unravel_index(cosine.argmax(), cosine.shape)
    matches.append(
      Match(
        rank=rank,
        model=gallery.names[model],
        label=gallery.labels[model],
        score=float(score[place]),
        votes=int(votes[place]),
        query_view=int(pair[0]) + 1,
        view=int(pair[1]) + 1,
        **_describe_fit(fits.get(gallery.names[model])),
      )
    )
  label, confidence = majority_vote(similarity, gallery.label_array[models])
  if not label:
    return Answer(Prediction("", 0.0, 0.0, AMBIGUOUS), tuple(matches))
  searched = np.flatnonzero(allowed)
  every = found.every
  if every is None:
    every, _ = rate_stored(features, gallery.features, searched, kind=kind)
  support = measure_support(closeness, gallery.label_array[models], label)
  margin = vote_margin(every, gallery.label_array[searched], label) + support
  calibration = gallery.fit_calibration(kind)
  probability = float(calibration.estimate(margin))
  reject_reason = AMBIGUOUS
  if probability >= calibration.probability_threshold(threshold):
    place = find_best(score, gallery.label_array[models], label)
    rejection_score = density_normalised_score(
      gallery.features,
      gallery.label_array,
      models[place],
      score[place],
      searched,
      kind=kind,
    )
    is_near = rejection_score + support > calibration.rejection_threshold(
      threshold
    )
    reject_reason = "" if is_near else UNKNOWN
  return Answer(
    Prediction(label, confidence, probability, reject_reason), tuple(matches)
  )


def _describe_fit(fit: "Fit | None") -> dict[str, Any]:
  """What a match tells of a fit."""
  if fit is None:
    return {}
  return {
    "distance": round(fit.mean, 6),
    "mirrored": fit.mirrored,
    "same": is_same(fit),
  }


def find_neighbours(
  gallery: Gallery, *, count: int = 5, depth: int = 24
) -> list[tuple[str, ...]]:
  """Finds, for each model, others that look like it, most alike first.

  Args:
    gallery: B models.
    count: others at most.
    depth: neighbours that are looked up for each vector.

  Returns:
    B tuples of names; ranked by how many of the neighbours of a model's
    vectors are theirs, then by the sum of their cosines.
  """
  views = gallery.features.shape[1]
  found = []
  for model, features in enumerate(gallery.features):
    hits = gallery.index.search(features, depth)
    owner = (hits.ids // views).reshape(-1)
    others, place = np.unique(owner, return_inverse=True)
    hit = np.bincount(place)
    cosine = np.bincount(place, hits.similarity.reshape(-1))
    order = np.lexsort((-cosine, -hit))
    best = [others[i] for i in order if others[i] != model][:count]
    found.append(tuple(gallery.names[i] for i in best))
  return found
