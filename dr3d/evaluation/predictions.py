"""Votes of a gallery's models by any method, and how sure they are.

Notation: q queries, B models of the gallery.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dr3d.evaluation.method import Method
from dr3d.evaluation.similarity import Likeness, hide
from dr3d.search.calibration import Findings, Trust, choose_models, have_fellows
from dr3d.search.geometric_score import measure_support, raise_score
from dr3d.search.vote import (
  elect,
  find_best,
  find_kin,
  measure_lead,
  measure_nearness,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Replies:
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
  def join(cls, several: Sequence["Replies"]) -> "Replies":
    """All of them, one after the other."""
    return cls(
      sum((some.predictions for some in several), ()),
      np.concatenate([some.models for some in several]),
      np.concatenate([some.closeness for some in several]),
      Findings.join([some.findings for some in several]),
    )


class Voter:
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
    likeness: Likeness,
    exact: Likeness,
    labels: Sequence[str],
    *,
    closeness: np.ndarray | None = None,
  ) -> Replies:
    """Labels of some queries by vote, and how sure they are.

    Args:
      likeness: of the q queries to the models that are found; `-inf` to others.
      exact: to all that are searched.
      labels: of the queries.
      closeness: [q, B], how close the models come, where they were laid upon
        the queries.
    """
    predictions, nearest = [], []
    lead, nearness, support, close = np.zeros((4, len(labels)))
    models = np.full(len(labels), -1)
    searched = exact.whole > -np.inf
    for i, parts in enumerate(likeness.parts):
      found = np.flatnonzero(likeness.whole[i] > -np.inf)
      label, _ = elect(parts[:, found].T, self._labels[found])
      all_parts = exact.parts[i][:, searched[i]].T
      lead[i] = measure_lead(all_parts, self._labels[searched[i]], label)
      predictions.append(label)
      if closeness is not None:
        support[i] = measure_support(closeness[i], self._labels, label)
      if label:
        score = likeness.whole[i, found]
        place = find_best(score, self._labels[found], label)
        nearest.append((i, int(found[place])))
        if closeness is not None:
          score = raise_score(score, closeness[i, found])
          place = find_best(score, self._labels[found], label)
          close[i] = closeness[i, found[place]]
        models[i] = found[place]
    self._rate([model for _, model in nearest])
    for i, model in nearest:
      kin = find_kin(self._labels, model, np.flatnonzero(searched[i]))
      nearness[i] = measure_nearness(
        likeness.whole[i, model], self._scores[model][kin]
      )
    right = np.array(predictions) == np.array(labels)
    return Replies(
      tuple(predictions),
      models,
      close,
      Findings(lead + support, nearness + support, right),
    )

  def measure_trust(self) -> Trust:
    """As `calibration.measure_trust`."""
    labels = self._labels
    models = choose_models(self._names, labels.tolist())
    strangers: list[Findings] = []
    fellows: list[Findings] = []
    for rows in self._method.split(self._gallery[models], self._gallery):
      asked = models[rows]
      likeness = self._compare(asked)
      for found, hidden in (
        (strangers, labels[asked, None] == labels),
        (fellows, asked[:, None] == np.arange(len(labels))),
      ):
        seen = hide(likeness, hidden)
        found.append(self.vote(seen, seen, labels[asked]).findings)
    sharing = have_fellows(models, labels.tolist())
    return Trust(
      models,
      Findings.join(strangers),
      Findings.join(fellows).pick(sharing),
      sharing,
    )

  def _rate(self, models: Sequence[int]) -> None:
    """Has the scores of some models by the gallery, each found out once."""
    new = np.array(sorted(set(models) - set(self._scores)), int)
    for rows in self._method.split(self._gallery[new], self._gallery):
      self._compare(new[rows])

  def _compare(self, models: np.ndarray) -> Likeness:
    """Compares some models with the gallery, and keeps their scores."""
    likeness = self._method.compare(self._gallery[models], self._gallery)
    self._scores.update(zip(models.tolist(), likeness.whole, strict=True))
    return likeness
