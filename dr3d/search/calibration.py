"""Calibration: how far ahead and how near an answer must be to be accepted.

How far a label must lead before it is right depends on the gallery: on how
similar its classes are, and on how well T tells them apart. How near queries of
unknown classes come depends on the gallery too. So the gallery is asked for
some of its own models, as if they were new.

In-database queries leave out only the model itself. They tell the probability
that a label with a given margin is right: a logistic curve (Platt,
Probabilistic Outputs for Support Vector Machines, 1999) with a prior that fits
galleries of parts.

Unknown-class queries leave out all models of the query's label. They tell how
near a query of an unknown class comes. An accepted query must come nearer than
nine in ten of them: a conformal test of the hypothesis that its class is
missing (Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005,
ch. 2). Where labels share a shape nothing tells them apart, so the test may
reject at most one in twenty of the in-database queries.

Notation: S queries, B models of the gallery.
"""

import collections
import dataclasses
import functools
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from dr3d.search.evidence import Evidence

Ask = Callable[[int, np.ndarray], Evidence]
"""The number of a model, or of a query made of one; bool [B], which models may
be found → the evidence."""

UNKNOWN_SHARE = 0.1
"""Share of the unknown-class queries that may be accepted: false accepts."""

REJECTED_SHARE = 0.05
"""Share of the in-database queries that may be rejected for that."""

# Of the odds of being wrong that are allowed, this share is aimed at: a target
# that holds on average is missed by every second set of queries. With .3 each
# of ten held-out sets keeps .99; with .35 one misses it by one answer.
ERROR_SHARE = 0.3
MAX_ERROR_RATIO = 5
"""An accepted answer may be this often as likely to be wrong as the average."""

QUERY_COUNT = 256
"""Models asked for at most: the fit takes 2 s for 20 000 models."""

# The prior of the curve, as if it had been observed: the logit of the
# probability at margin 0, its gain by the typical margin, and that margin. From
# galleries of parts.
_BASE, _BASE_SPREAD = 0.8, 0.5
_GAIN, _GAIN_SPREAD = 3.5, 1.5
_MARGIN, _MARGIN_WEIGHT = 0.15, 10


@dataclasses.dataclass(frozen=True, eq=False)
class Observations:
  """What several queries found.

  Attributes:
    margin: [S], see `Evidence.margin`.
    rejection_score: [S], see `Evidence.rejection_score`.
    right: bool [S], whether the predicted label is theirs.
  """

  margin: np.ndarray
  rejection_score: np.ndarray
  right: np.ndarray

  @classmethod
  def of(
    cls, evidence: Sequence[Evidence], labels: Sequence[str]
  ) -> "Observations":
    """The observations of queries whose labels are known."""
    return cls(
      np.array([each.margin for each in evidence], np.float64),
      np.array([each.rejection_score for each in evidence], np.float64),
      np.array(
        [e.label == label for e, label in zip(evidence, labels, strict=True)],
        bool,
      ),
    )

  def pick(self, which: np.ndarray) -> "Observations":
    """Some of them.

    Args:
      which: bool [S] or int.
    """
    return Observations(
      self.margin[which], self.rejection_score[which], self.right[which]
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
  """What models of a gallery, asked for as queries, found in it.

  Attributes:
    models: int [S], the models asked for; -1 if that is not known.
    unknown_class: with all models of their label left out.
    in_database: with only themselves left out, those that share their label.
    sharing: bool [S], which of the models these are.
  """

  models: np.ndarray
  unknown_class: Observations
  in_database: Observations
  sharing: np.ndarray

  def without(self, model: int) -> "Calibration":
    """What the other models found."""
    others = self.models != model
    return Calibration(
      self.models[others],
      self.unknown_class.pick(others),
      self.in_database.pick(others[self.sharing]),
      self.sharing[others],
    )

  def estimate(self, margin: npt.ArrayLike) -> np.ndarray:
    """The probability that a label with a margin is right.

    It holds if the gallery has models of the query's class at all.

    Args:
      margin: of any shape.

    Returns:
      0 to 1, of that shape.
    """
    base, slope = self._curve
    return np.round(scipy.special.expit(base + slope * np.asarray(margin)), 4)

  def probability_threshold(self, target_precision: float) -> float:
    """The probability from which predictions are accepted.

    Args:
      target_precision: share of the accepted predictions that are to be right.

    Returns:
      The lowest probability from which the in-database predictions are right as
      often as `target_on_average` asks, on average, and none of which is more
      than `MAX_ERROR_RATIO` times as likely to be wrong. That target itself if
      it is lower.
    """
    target = target_on_average(target_precision)
    chance = np.sort(self.estimate(self.in_database.margin))[::-1]
    mean = np.cumsum(chance) / np.arange(1, len(chance) + 1)
    lowest = chance[mean >= target].min(initial=target)
    return float(max(lowest, 1 - MAX_ERROR_RATIO * (1 - target)))

  def rejection_threshold(self, target_precision: float) -> float:
    """The rejection score that an accepted answer must exceed.

    Args:
      target_precision: share of the accepted predictions that are to be right.

    Returns:
      The lowest score that at most `UNKNOWN_SHARE` of the unknown-class queries
      exceed with a probable prediction, but one that all except
      `REJECTED_SHARE` of the in-database queries exceed. `-inf` if there is
      nothing to reject; `inf` if there is no unknown-class query, since all
      models have one label, which tells nothing.
    """
    if not len(self.unknown_class.margin):
      return np.inf
    may_pass = int(UNKNOWN_SHARE * len(self.unknown_class.margin))
    probability = self.probability_threshold(target_precision)
    unknown = self._sort_probable(self.unknown_class, probability)[::-1]
    if may_pass >= len(unknown):
      return -np.inf
    known = self._sort_probable(self.in_database, probability)
    if not len(known):
      return float(unknown[may_pass])
    bound = np.nextafter(known[int(REJECTED_SHARE * len(known))], -np.inf)
    return float(min(unknown[may_pass], bound))

  def accept(
    self, observations: Observations, target_precision: float
  ) -> np.ndarray:
    """Which predictions are accepted: bool [S].

    Args:
      observations: of S queries.
      target_precision: share of these that are to be right.
    """
    probability = self.probability_threshold(target_precision)
    is_probable = self.estimate(observations.margin) >= probability
    threshold = self.rejection_threshold(target_precision)
    return is_probable & (observations.rejection_score > threshold)

  def _sort_probable(
    self, observations: Observations, probability: float
  ) -> np.ndarray:
    """Rejection scores of the predictions that are probable, ascending."""
    is_probable = self.estimate(observations.margin) >= probability
    return np.sort(observations.rejection_score[is_probable])

  @functools.cached_property
  def _curve(self) -> tuple[float, float]:
    """Logit of the probability at margin 0, and its slope."""
    margin, right = self.in_database.margin, self.in_database.right
    typical = _MARGIN
    if len(margin):
      weight = len(margin) / (len(margin) + _MARGIN_WEIGHT)
      typical += weight * (np.median(np.abs(margin)) - _MARGIN)
    sign = np.where(right, -1.0, 1.0)

    def loss(curve):
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
      loss, (_BASE, _GAIN), jac=True, bounds=[(None, None), (0, None)]
    )
    return float(best.x[0]), float(best.x[1] / typical)


def target_on_average(target_precision: float) -> float:
  """The precision to aim at, so that most sets of queries keep the target."""
  return target_precision / (
    target_precision + ERROR_SHARE * (1 - target_precision)
  )


def choose_models(
  names: Sequence[str], labels: Sequence[str], *, count: int = QUERY_COUNT
) -> np.ndarray:
  """Draws the models that are asked for.

  The draw depends on the names alone, so that it hardly changes when a few
  models come and go.

  Args:
    names: of B models.
    labels: of these, empty if one has none.
    count: models at most.

  Returns:
    int [S], ascending, at most `count` models with a label; none if there are
    fewer than two labels.
  """
  known = [b for b, label in enumerate(labels) if label]
  if len({labels[b] for b in known}) < 2:
    return np.zeros(0, int)
  known.sort(key=lambda b: (zlib.crc32(names[b].encode()), names[b]))
  return np.sort(known[:count])


def fit_calibration(
  names: Sequence[str], labels: Sequence[str], ask: Ask
) -> Calibration:
  """Asks a gallery for some of its own models.

  Args:
    names: of the B models.
    labels: of the models, empty if one has none.
    ask: asks as a query does.
  """
  models = choose_models(names, labels)
  return calibrate_by(
    models, labels, lambda query, allowed: ask(int(models[query]), allowed)
  )


def calibrate_by(
  models: np.ndarray,
  labels: Sequence[str],
  ask: Ask,
  *,
  leave_out_itself: bool = True,
) -> Calibration:
  """Asks a gallery for the models that were chosen.

  Args:
    models: int [S], with labels; a model may ask several times.
    labels: of all B models.
    ask: asks with one of the S queries.
    leave_out_itself: whether the in-database queries may not find the model
      itself, because its query would find it in any case.
  """
  each = np.array(labels)
  others = np.arange(len(each))
  asked = [labels[model] for model in models]
  unknown = [
    ask(query, each != each[model]) for query, model in enumerate(models)
  ]
  known = [
    ask(query, (others != model) | (not leave_out_itself))
    for query, model in enumerate(models)
  ]
  count = collections.Counter(labels)
  sharing = np.array(
    [count[label] > 1 or not leave_out_itself for label in asked], bool
  )
  return Calibration(
    models,
    Observations.of(unknown, asked),
    Observations.of(known, asked).pick(sharing),
    sharing,
  )
