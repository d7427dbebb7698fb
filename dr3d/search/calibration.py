"""Trust: how far ahead and how near an answer has to be to be relied on.

How far a label has to be ahead of others before it is right depends on the
gallery: on how alike its labels are, and on how sharply T tells them apart. How
near models come whose own label is missing depends on it as well. So the
gallery tells both itself: some of its models are asked for as if they were new.

Asked for without themselves, these fellows tell with which probability a label
with a certain lead is right: a logistic curve (Platt, Probabilistic Outputs for
Support Vector Machines, 1999), which starts from one that fits galleries of
parts and learns from their answers.

Asked for without all models of their label, these strangers tell how near one
comes that the gallery does not know, beside how near the models of the label
that it is given lie to each other. A query that is to be relied on has to come
nearer than nine in ten: a conformal test of the hypothesis that its label is
missing, with that nearness as the measure (Vovk, Gammerman, Shafer, Algorithmic
Learning in a Random World, 2005, ch. 2). Where labels share a shape nothing
tells them apart, so the test may not cost more than one in twenty of the
answers about fellows.
"""

import collections
import dataclasses
import functools
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from dr3d.search.candidate import rate_stored
from dr3d.search.vote import (
  find_best,
  find_same_class,
  majority_vote,
  normalise_by_density,
  vote_margin,
)

SHARE = 0.1  # of strangers that may pass
COST = 0.05  # share of fellows that may be stopped for that
# Of the odds of being wrong that are allowed so much is aimed at: what holds on
# the mean is missed by every second set of queries. So much is it that all of
# ten sets that were held out keep what is promised.
AIM = 0.3
RISK = 5  # times as likely to be wrong as all on the mean, each may be
COUNT = 256  # models asked for at most

# The curve that learning starts from, as if it had been seen so often: the
# logit of the probability at a lead of nothing, what it gains by the typical
# lead, and that lead.
_BASE, _BASE_SPREAD = 0.8, 0.5
_GAIN, _GAIN_SPREAD = 3.5, 1.5
_LEAD, _LEAD_WEIGHT = 0.15, 10


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
  """What several queries found.

  Attributes:
    margin: [S] of the label that is predicted; see `vote.vote_margin`.
    rejection_score: [S] to the nearest model of that label; see
      `vote.normalise_by_density`.
    right: bool [S], whether the label is theirs.
  """

  margin: np.ndarray
  rejection_score: np.ndarray
  right: np.ndarray

  def pick(self, which: np.ndarray) -> "Findings":
    """Some of them.

    Args:
      which: bool [S] or int.
    """
    return Findings(
      self.margin[which], self.rejection_score[which], self.right[which]
    )

  @classmethod
  def join(cls, several: Sequence["Findings"]) -> "Findings":
    """All of them, one after the other."""
    return cls(
      np.concatenate([np.zeros(0), *(one.margin for one in several)]),
      np.concatenate([np.zeros(0), *(one.rejection_score for one in several)]),
      np.concatenate([np.zeros(0, bool), *(one.right for one in several)]),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
  """What models of a gallery find in it.

  Attributes:
    models: int [S], which were asked for; -1 where that is not known.
    unknown_class: with all models of their label left out.
    in_database: with only themselves left out, those that share their label.
    sharing: bool [S], which these are.
  """

  models: np.ndarray
  unknown_class: Findings
  in_database: Findings
  sharing: np.ndarray

  def without(self, model: int) -> "Calibration":
    """What is found by the other models."""
    others = self.models != model
    return Calibration(
      self.models[others],
      self.unknown_class.pick(others),
      self.in_database.pick(others[self.sharing]),
      self.sharing[others],
    )

  def estimate(self, margin: npt.ArrayLike) -> np.ndarray:
    """The probability that a label with a certain lead is right.

    Provided that the gallery holds models of the query's label at all.

    Args:
      margin: of any shape.

    Returns:
      0 to 1, of that shape.
    """
    base, slope = self._curve
    return np.round(scipy.special.expit(base + slope * np.asarray(margin)), 4)

  def probability_threshold(self, threshold: float) -> float:
    """The probability from which predictions count.

    Args:
      threshold: share of those that count that are to be right.

    Returns:
      The lowest probability from which the fellows' predictions are right as
      `target_on_average` has it on the mean, but one that has none wrong `RISK`
      times as likely as that. That aim itself where it is lower.
    """
    aim = target_on_average(threshold)
    chance = np.sort(self.estimate(self.in_database.margin))[::-1]
    mean = np.cumsum(chance) / np.arange(1, len(chance) + 1)
    lowest = chance[mean >= aim].min(initial=aim)
    return float(max(lowest, 1 - RISK * (1 - aim)))

  def rejection_threshold(self, threshold: float) -> float:
    """The nearness that an answer has to exceed to be relied on.

    Args:
      threshold: share of those relied on that are to be right.

    Returns:
      The lowest that at most `SHARE` of the strangers exceed with such a
      prediction, but one that all but `COST` of the fellows with such a one
      exceed; `-inf` where nobody is to be stopped, `inf` where there is no
      stranger, since all models have one label, which tells nothing.
    """
    if not len(self.unknown_class.margin):
      return np.inf
    allowed = int(SHARE * len(self.unknown_class.margin))
    limit = self.probability_threshold(threshold)
    near = self._sort(self.unknown_class, limit)[::-1]
    if allowed >= len(near):
      return -np.inf
    in_database = self._sort(self.in_database, limit)
    if not len(in_database):
      return float(near[allowed])
    bound = np.nextafter(in_database[int(COST * len(in_database))], -np.inf)
    return float(min(near[allowed], bound))

  def accept(self, findings: Findings, threshold: float) -> np.ndarray:
    """Which are relied on: bool [S].

    Args:
      findings: of S queries.
      threshold: share of these that are to be right.
    """
    counts = self.estimate(findings.margin) >= self.probability_threshold(
      threshold
    )
    return counts & (
      findings.rejection_score > self.rejection_threshold(threshold)
    )

  def _sort(self, findings: Findings, limit: float) -> np.ndarray:
    return np.sort(
      findings.rejection_score[self.estimate(findings.margin) >= limit]
    )

  @functools.cached_property
  def _curve(self) -> tuple[float, float]:
    """Logit of the probability at no lead, and what it gains by one of 1."""
    margin, right = self.in_database.margin, self.in_database.right
    typical = _LEAD
    if len(margin):
      weight = len(margin) / (len(margin) + _LEAD_WEIGHT)
      typical += weight * (np.median(np.abs(margin)) - _LEAD)
    sign = np.where(right, -1.0, 1.0)

    def lose(curve):
      base, gain = curve
      logit = sign * (base + gain / typical * margin)
      far = (base - _BASE) / _BASE_SPREAD, (gain - _GAIN) / _GAIN_SPREAD
      slack = scipy.special.expit(logit) * sign
      return (
        np.logaddexp(0, logit).sum() + (far[0] ** 2 + far[1] ** 2) / 2,
        np.array(
          [
            slack.sum() + far[0] / _BASE_SPREAD,
            (slack * margin).sum() / typical + far[1] / _GAIN_SPREAD,
          ]
        ),
      )

    best = scipy.optimize.minimize(
      lose, (_BASE, _GAIN), jac=True, bounds=[(None, None), (0, None)]
    )
    return float(best.x[0]), float(best.x[1] / typical)


def target_on_average(threshold: float) -> float:
  """The share to be right on the mean, for the threshold to hold mostly."""
  return threshold / (threshold + AIM * (1 - threshold))


def choose_models(names: Sequence[str], labels: Sequence[str]) -> np.ndarray:
  """Draws the models that are asked for.

  By their names alone, so that hardly others are drawn where few come and go.

  Args:
    names: of B models.
    labels: of these, empty where one has none.

  Returns:
    int [S], ascending, at most `COUNT` models with a label; none where there
    are no two labels.
  """
  known = [b for b, label in enumerate(labels) if label]
  if len({labels[b] for b in known}) < 2:
    return np.zeros(0, int)
  known.sort(key=lambda b: (zlib.crc32(names[b].encode()), names[b]))
  return np.sort(known[:COUNT])


def share_labels(models: np.ndarray, labels: Sequence[str]) -> np.ndarray:
  """Which of some models share their label with another one: bool [S]."""
  count = collections.Counter(labels)
  return np.array([count[labels[model]] > 1 for model in models], bool)


def fit_calibration(
  features: np.ndarray,
  names: Sequence[str],
  labels: Sequence[str],
  *,
  kind: str,
) -> Calibration:
  """Asks a gallery for some of its own models.

  Args:
    features: float32 [B, N, D] unit vectors of the models.
    names: of the models.
    labels: of the models, empty where one has none.
    kind: of likeness; see `candidate.rate_models`.
  """
  models = choose_models(names, labels)
  each = np.array(labels)
  every = np.arange(len(each))
  margin, rejection_score = np.zeros((2, 2, len(models)))
  right = np.zeros((2, len(models)), bool)
  for i, model in enumerate(models):
    similarity, whole = rate_stored(features[model], features, every, kind=kind)
    for j, seen in enumerate((each != each[model], every != model)):
      label, _ = majority_vote(similarity[seen], each[seen])
      margin[j, i] = vote_margin(similarity[seen], each[seen], label)
      right[j, i] = label == each[model]
      if label:
        seen = np.flatnonzero(seen)
        place = find_best(whole[seen], each[seen], label)
        rejection_score[j, i] = density_normalised_score(
          features, each, seen[place], whole[seen[place]], seen, kind=kind
        )
  unknown_class, in_database = map(Findings, margin, rejection_score, right)
  sharing = share_labels(models, labels)
  return Calibration(models, unknown_class, in_database.pick(sharing), sharing)


def density_normalised_score(
  features: np.ndarray,
  labels: np.ndarray,
  model: int,
  score: float,
  searched: np.ndarray,
  *,
  kind: str,
) -> float:
  """How near a query comes to a model of a gallery; see `normalise_by_density`.

  Args:
    features: float32 [B, N, D] unit vectors of the models.
    labels: str [B].
    model: that with the predicted label which is most alike to the query.
    score: of this one.
    searched: int, ascending, the models that are searched.
    kind: of likeness; see `candidate.rate_models`.
  """
  kin = find_same_class(labels, model, searched)
  _, scores = rate_stored(features[model], features, kin, kind=kind)
  return normalise_by_density(score, scores)
