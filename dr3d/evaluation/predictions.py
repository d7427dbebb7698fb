"""Votes of a gallery's models by any method, and how sure they are.

Notation: q queries, B models of the gallery.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dr3d.evaluation.method import Method
from dr3d.evaluation.similarity import Similarity, hide
from dr3d.search.calibration import (
  Calibration,
  Findings,
  choose_models,
  share_labels,
)
from dr3d.search.geometric_score import add_geometric_score, measure_support
from dr3d.search.vote import (
  find_best,
  find_same_class,
  majority_vote,
  normalise_by_density,
  vote_margin,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
  """What some queries were told.

  Attributes:
    predictions: q labels by vote; empty where none was voted for.
    models: int [q], of those with that label the one that comes first; -1
      where there is none.
    closeness: [q], how close that model comes; 0 where it was not laid upon
      the query.
    findings: how sure these are.
  """

  predictions: tuple[str, ...]
  models: np.ndarray
  closeness: np.ndarray
  findings: Findings

  @classmethod
  def join(cls, several: Sequence["Predictions"]) -> "Predictions":
    """All of them, one after the other."""
    return cls(
      sum((some.predictions for some in several), ()),
      np.concatenate([some.models for some in several]),
      np.concatenate([some.closeness for some in several]),
      Findings.join([some.findings for some in several]),
    )


class Predictor:
  """What search does with a query, for any method."""

  def __init__(
    self,
    method: Method,
    gallery: np.ndarray,
    names: Sequence[str],
    labels: Sequence[str],
  ):
    """Takes the descriptors of the B models, their names and labels."""
    self._method = method
    self._gallery = gallery
    self._names = names
    self._labels = np.array(labels)
    self._scores: dict[int, np.ndarray] = {}  # of models by the gallery [B]

  def vote(
    self,
    similarity: Similarity,
    exact: Similarity,
    labels: Sequence[str],
    *,
    closeness: np.ndarray | None = None,
  ) -> Predictions:
    """Labels of some queries by vote, and how sure they are.

    Args:
      similarity: of the q queries to the models that are found; `-inf` to
      others.
      exact: to all that are searched.
      labels: of the queries.
      closeness: [q, B], how close the models come, where they were laid upon
        the queries.
    """
    predictions, nearest = [], []
    margin, rejection_score, support, close = np.zeros((4, len(labels)))
    models = np.full(len(labels), -1)
    searched = exact.whole > -np.inf
    for i, parts in enumerate(similarity.parts):
      found = np.flatnonzero(similarity.whole[i] > -np.inf)
      label, _ = majority_vote(parts[:, found].T, self._labels[found])
      all_parts = exact.parts[i][:, searched[i]].T
      margin[i] = vote_margin(all_parts, self._labels[searched[i]], label)
      predictions.append(label)
      if closeness is not None:
        support[i] = measure_support(closeness[i], self._labels, label)
      if label:
        score = similarity.whole[i, found]
        place = find_best(score, self._labels[found], label)
        nearest.append((i, int(found[place])))
        if closeness is not None:
          score = add_geometric_score(score, closeness[i, found])
          place = find_best(score, self._labels[found], label)
          close[i] = closeness[i, found[place]]
        models[i] = found[place]
    self._rate([model for _, model in nearest])
    for i, model in nearest:
      kin = find_same_class(self._labels, model, np.flatnonzero(searched[i]))
      rejection_score[i] = normalise_by_density(
        similarity.whole[i, model], self._scores[model][kin]
      )
    right = np.array(predictions) == np.array(labels)
    return Predictions(
      tuple(predictions),
      models,
      close,
      Findings(margin + support, rejection_score + support, right),
    )

  def fit_calibration(self) -> Calibration:
    """As `calibration.fit_calibration`."""
    labels = self._labels
    models = choose_models(self._names, labels.tolist())
    unknown_class: list[Findings] = []
    in_database: list[Findings] = []
    for rows in self._method.split(self._gallery[models], self._gallery):
      asked = models[rows]
      similarity = self._compare(asked)
      for found, hidden in (
        (unknown_class, labels[asked, None] == labels),
        (in_database, asked[:, None] == np.arange(len(labels))),
      ):
        seen = hide(similarity, hidden)
        found.append(self.vote(seen, seen, labels[asked]).findings)
    sharing = share_labels(models, labels.tolist())
    return Calibration(
      models,
      Findings.join(unknown_class),
      Findings.join(in_database).pick(sharing),
      sharing,
    )

  def _rate(self, models: Sequence[int]) -> None:
    """Has the scores of some models by the gallery, each found out once."""
    new = np.array(sorted(set(models) - set(self._scores)), int)
    for rows in self._method.split(self._gallery[new], self._gallery):
      self._compare(new[rows])

  def _compare(self, models: np.ndarray) -> Similarity:
    """Compares some models with the gallery, and keeps their scores."""
    similarity = self._method.compare(self._gallery[models], self._gallery)
    self._scores.update(zip(models.tolist(), similarity.whole, strict=True))
    return similarity
