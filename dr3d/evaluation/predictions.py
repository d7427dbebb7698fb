"""Predictions of any method, by the code that answers queries.

Notation: q queries, B models of the gallery.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dr3d.evaluation.method import Method
from dr3d.evaluation.similarity import Similarity, hide
from dr3d.search.calibration import (
  Calibration,
  Observations,
  fit_calibration,
)
from dr3d.search.candidate import DECIMALS, Candidates, select_candidates
from dr3d.search.evidence import NO_EVIDENCE, Evidence, weigh


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
  """What was predicted for some queries.

  Attributes:
    evidence: of each query.
    right: bool [q], whether the predicted label is the query's.
  """

  evidence: tuple[Evidence, ...]
  right: np.ndarray

  @property
  def labels(self) -> tuple[str, ...]:
    """The predicted labels, empty if there was no vote."""
    return tuple(each.label for each in self.evidence)

  @property
  def observations(self) -> Observations:
    """Margins, rejection scores, and whether the predictions are right."""
    return Observations(
      np.array([each.margin for each in self.evidence], np.float64),
      np.array([each.rejection_score for each in self.evidence], np.float64),
      self.right,
    )

  @classmethod
  def join(cls, several: Sequence["Predictions"]) -> "Predictions":
    """Joins predictions in their order."""
    return cls(
      tuple(each for some in several for each in some.evidence),
      np.concatenate([some.right for some in several]),
    )


class Predictor:
  """Hands a method's similarities to the search.

  Makes candidates only; votes, margins, rejection and calibration are those of
  `dr3d.search`.
  """

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
    self._rows: dict[int, np.ndarray] = {}  # by model, its scores [B]
    self._latest: tuple[int, Similarity] | None = None  # of `_ask`

  def predict(
    self,
    similarity: Similarity,
    labels: Sequence[str],
    *,
    geometric: np.ndarray | None = None,
  ) -> Predictions:
    """Predicts the labels of some queries.

    Args:
      similarity: of the q queries to the models that are found; `-inf` to
        others.
      labels: of the queries.
      geometric: [q, B], geometric scores of the models that were registered.
    """
    evidence = tuple(
      self._weigh(parts, whole, None if geometric is None else geometric[i])
      for i, (parts, whole) in enumerate(
        zip(similarity.parts, similarity.whole, strict=True)
      )
    )
    predicted = [each.label for each in evidence]
    return Predictions(evidence, np.array(predicted) == np.array(labels))

  def calibrate(self) -> Calibration:
    """The calibration of the gallery by this method."""
    return fit_calibration(self._names, self._labels.tolist(), self._ask)

  def _ask(self, model: int, allowed: np.ndarray) -> Evidence:
    """Queries some of the models with a model of the gallery."""
    if self._latest is None or self._latest[0] != model:
      self._latest = (model, self._compare(model))
    seen = hide(self._latest[1], ~allowed[None])
    return self._weigh(seen.parts[0], seen.whole[0], None)

  def _weigh(
    self, parts: np.ndarray, whole: np.ndarray, geometric: np.ndarray | None
  ) -> Evidence:
    """The evidence of one query: [P, B] parts, [B] whole, [B] geometric."""
    models = np.flatnonzero(whole > -np.inf)
    if not len(models):
      return NO_EVIDENCE
    similarity = parts[:, models].T
    chosen = select_candidates(models, similarity, whole[models], k=1)
    models = models[chosen]
    candidates = Candidates(
      models,
      similarity[chosen],
      np.round(whole[models], DECIMALS),
      bool(chosen.all()),
    )
    return weigh(
      candidates,
      self._labels[models],
      self._score_pairs,
      geometric=None if geometric is None else geometric[models],
    )

  def _score_pairs(self, model: int, others: np.ndarray) -> np.ndarray:
    if model not in self._rows:
      self._compare(model)
    return self._rows[model][others]

  def _compare(self, model: int) -> Similarity:
    """Compares a model with the gallery, and keeps its scores."""
    similarity = self._method.compare(
      self._gallery[model : model + 1], self._gallery
    )
    self._rows[model] = similarity.whole[0]
    return similarity
