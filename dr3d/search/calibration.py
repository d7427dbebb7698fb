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
  elect,
  find_best,
  find_kin,
  measure_lead,
  measure_nearness,
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
    lead: [S] of the label that is predicted; see `vote.measure_lead`.
    nearness: [S] to the nearest model of that label; see
      `vote.measure_nearness`.
    right: bool [S], whether the label is theirs.
  """

  lead: np.ndarray
  nearness: np.ndarray
  right: np.ndarray

  def pick(self, which: np.ndarray) -> "Findings":
    """Some of them.

    Args:
      which: bool [S] or int.
    """
    return Findings(self.lead[which], self.nearness[which], self.right[which])

  @classmethod
  def join(cls, several: Sequence["Findings"]) -> "Findings":
    """All of them, one after the other."""
    return cls(
      np.concatenate([np.zeros(0), *(one.lead for one in several)]),
      np.concatenate([np.zeros(0), *(one.nearness for one in several)]),
      np.concatenate([np.zeros(0, bool), *(one.right for one in several)]),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Trust:
  """What models of a gallery find in it.

  Attributes:
    models: int [S], which were asked for; -1 where that is not known.
    strangers: with all models of their label left out.
    fellows: with only themselves left out, those that share their label.
    sharing: bool [S], which these are.
  """

  models: np.ndarray
  strangers: Findings
  fellows: Findings
  sharing: np.ndarray

  def without(self, model: int) -> "Trust":
    """What is found by the other models."""
    others = self.models != model
    return Trust(
      self.models[others],
      self.strangers.pick(others),
      self.fellows.pick(others[self.sharing]),
      self.sharing[others],
    )

  def estimate(self, lead: npt.ArrayLike) -> np.ndarray:
    """The probability that a label with a certain lead is right.

    Provided that the gallery holds models of the query's label at all.

    Args:
      lead: of any shape.

    Returns:
      0 to 1, of that shape.
    """
    base, slope = self._curve
    return np.round(scipy.special.expit(base + slope * np.asarray(lead)), 4)

  def find_limit(self, threshold: float) -> float:
    """The probability from which predictions count.

    Args:
      threshold: share of those that count that are to be right.

    Returns:
      The lowest probability from which the fellows' predictions are right as
      `raise_aim` has it on the mean, but one that has none wrong `RISK` times
      as likely as that. That aim itself where it is lower.
    """
    aim = raise_aim(threshold)
    chance = np.sort(self.estimate(self.fellows.lead))[::-1]
    mean = np.cumsum(chance) / np.arange(1, len(chance) + 1)
    lowest = chance[mean >= aim].min(initial=aim)
    return float(max(lowest, 1 - RISK * (1 - aim)))

  def find_floor(self, threshold: float) -> float:
    """The nearness that an answer has to exceed to be relied on.

    Args:
      threshold: share of those relied on that are to be right.

    Returns:
      The lowest that at most `SHARE` of the strangers exceed with such a
      prediction, but one that all but `COST` of the fellows with such a one
      exceed; `-inf` where nobody is to be stopped, `inf` where there is no
      stranger, since all models have one label, which tells nothing.
    """
    if not len(self.strangers.lead):
      return np.inf
    allowed = int(SHARE * len(self.strangers.lead))
    limit = self.find_limit(threshold)
    near = self._sort(self.strangers, limit)[::-1]
    if allowed >= len(near):
      return -np.inf
    fellows = self._sort(self.fellows, limit)
    if not len(fellows):
      return float(near[allowed])
    bound = np.nextafter(fellows[int(COST * len(fellows))], -np.inf)
    return float(min(near[allowed], bound))

  def accept(self, findings: Findings, threshold: float) -> np.ndarray:
    """Which are relied on: bool [S].

    Args:
      findings: of S queries.
      threshold: share of these that are to be right.
    """
    counts = self.estimate(findings.lead) >= self.find_limit(threshold)
    return counts & (findings.nearness > self.find_floor(threshold))

  def _sort(self, findings: Findings, limit: float) -> np.ndarray:
    return np.sort(findings.nearness[self.estimate(findings.lead) >= limit])

  @functools.cached_property
  def _curve(self) -> tuple[float, float]:
    """Logit of the probability at no lead, and what it gains by one of 1."""
    lead, right = self.fellows.lead, self.fellows.right
    typical = _LEAD
    if len(lead):
      weight = len(lead) / (len(lead) + _LEAD_WEIGHT)
      typical += weight * (np.median(np.abs(lead)) - _LEAD)
    sign = np.where(right, -1.0, 1.0)

    def lose(curve):
      base, gain = curve
      logit = sign * (base + gain / typical * lead)
      far = (base - _BASE) / _BASE_SPREAD, (gain - _GAIN) / _GAIN_SPREAD
      slack = scipy.special.expit(logit) * sign
      return (
        np.logaddexp(0, logit).sum() + (far[0] ** 2 + far[1] ** 2) / 2,
        np.array(
          [
            slack.sum() + far[0] / _BASE_SPREAD,
            (slack * lead).sum() / typical + far[1] / _GAIN_SPREAD,
          ]
        ),
      )

    best = scipy.optimize.minimize(
      lose, (_BASE, _GAIN), jac=True, bounds=[(None, None), (0, None)]
    )
    return float(best.x[0]), float(best.x[1] / typical)


def raise_aim(threshold: float) -> float:
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


def have_fellows(models: np.ndarray, labels: Sequence[str]) -> np.ndarray:
  """Which of some models share their label with another one: bool [S]."""
  count = collections.Counter(labels)
  return np.array([count[labels[model]] > 1 for model in models], bool)


def measure_trust(
  features: np.ndarray,
  names: Sequence[str],
  labels: Sequence[str],
  *,
  kind: str,
) -> Trust:
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
  lead, nearness = np.zeros((2, 2, len(models)))
  right = np.zeros((2, len(models)), bool)
  for i, model in enumerate(models):
    likeness, whole = rate_stored(features[model], features, every, kind=kind)
    for j, seen in enumerate((each != each[model], every != model)):
      label, _ = elect(likeness[seen], each[seen])
      lead[j, i] = measure_lead(likeness[seen], each[seen], label)
      right[j, i] = label == each[model]
      if label:
        seen = np.flatnonzero(seen)
        place = find_best(whole[seen], each[seen], label)
        nearness[j, i] = rate_nearness(
          features, each, seen[place], whole[seen[place]], seen, kind=kind
        )
  strangers, fellows = map(Findings, lead, nearness, right)
  sharing = have_fellows(models, labels)
  return Trust(models, strangers, fellows.pick(sharing), sharing)


def rate_nearness(
  features: np.ndarray,
  labels: np.ndarray,
  model: int,
  score: float,
  searched: np.ndarray,
  *,
  kind: str,
) -> float:
  """How near a query comes to a model of a gallery; see `measure_nearness`.

  Args:
    features: float32 [B, N, D] unit vectors of the models.
    labels: str [B].
    model: that with the predicted label which is most alike to the query.
    score: of this one.
    searched: int, ascending, the models that are searched.
    kind: of likeness; see `candidate.rate_models`.
  """
  kin = find_kin(labels, model, searched)
  _, scores = rate_stored(features[model], features, kin, kind=kind)
  return measure_nearness(score, scores)
