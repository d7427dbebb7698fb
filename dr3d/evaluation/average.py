"""Means over queries and over classes, with confidence intervals.

Notation: Q queries, K classes, S resamplings of the queries.
"""

import dataclasses
import math

import numpy as np

RESAMPLES = 1000  # the ends of an interval then vary by some hundredths of it
LEVEL = 0.95  # share of repetitions whose interval holds the true mean


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean and its interval.

  Attributes:
    value: the mean; NaN if there is nothing to average.
    low: lower end of the interval.
    high: upper end of the interval.
  """

  value: float
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class Means:
  """Two means of one measure.

  Attributes:
    micro: mean over queries, each with the same weight.
    macro: mean over classes of the mean of each, with the same weight.
  """

  micro: Estimate
  macro: Estimate


def resample(
  count: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
  """Draws queries with replacement, for the bootstrap.

  Args:
    count: Q.
    resamples: S.
    seed: of the random numbers.

  Returns:
    float32 [S, Q]: how often each query is drawn; rows sum to Q.
  """
  rng = np.random.default_rng(seed)
  even = np.full(count, 1 / count)
  return rng.multinomial(count, even, size=resamples).astype(np.float32)


def average(
  values: np.ndarray,
  classes: np.ndarray,
  draws: np.ndarray,
  *,
  weights: np.ndarray | None = None,
) -> Means:
  """Averages a measure over queries and over classes.

  The interval holds the percentiles of the bootstrap (B. Efron, Bootstrap
  methods: another look at the jackknife, 1979). A class without a query in a
  resampling is left out of the mean of that resampling.

  Args:
    values: [Q].
    classes: int or text [Q], the class of each query.
    draws: [S, Q], from `resample`.
    weights: [Q], at least 0, of the values; None for 1. A class whose weights
      are all 0 is left out of the macro mean.

  Raises:
    ValueError: the shapes do not match.
  """
  values = np.asarray(values, np.float64)
  weights = np.ones_like(values) if weights is None else np.asarray(weights)
  shapes = (np.shape(classes), weights.shape, draws.shape[1:])
  if values.ndim != 1 or not len(values) or {values.shape} != set(shapes):
    raise ValueError(
      "values, classes, weights and a row of draws must have equal lengths, got"
      f" {values.shape}, {', '.join(map(str, shapes))}."
    )
  once = np.ones((1, len(values)))
  rows = [
    _average(values, np.asarray(classes), weights * drawn)
    for drawn in (once, draws)
  ]
  (micro, macro), (micros, macros) = rows
  return Means(_estimate(micro[0], micros), _estimate(macro[0], macros))


def _average(
  values: np.ndarray, classes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Micro and macro means [S] under weights [S, Q]."""
  order = np.argsort(classes, kind="stable")
  _, begin = np.unique(classes[order], return_index=True)
  weights = weights[:, order]
  total = np.add.reduceat(weights * values[order], begin, axis=1)
  weight = np.add.reduceat(weights, begin, axis=1)
  with np.errstate(invalid="ignore", divide="ignore"):
    micro = total.sum(axis=1) / weight.sum(axis=1)
    present = weight > 0
    mean = np.where(present, total / weight, 0)
    macro = mean.sum(axis=1) / present.sum(axis=1)
  return micro, macro


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
  resampled = resampled[np.isfinite(resampled)]
  if not math.isfinite(value) or not len(resampled):
    return Estimate(math.nan, math.nan, math.nan)
  tail = (1 - LEVEL) / 2
  low, high = np.quantile(resampled, [tail, 1 - tail])
  return Estimate(float(value), float(low), float(high))
