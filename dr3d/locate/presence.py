"""Is the object there? A probability of each candidate, calibrated.

A network's map has a maximum in every picture. Whether that is the object is
decided by a logistic regression on what the network says of the candidate,
fitted on scenes that it was not trained on; a threshold keeps the share of
pictures without the object in which anything is found below a target.

`N` candidates, `E` pieces of evidence.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.optimize

FALSE_ALARMS = 0.01  # of pictures without the object, on calibration scenes
RIDGE = 2e-3  # weight of the squared coefficients


@dataclasses.dataclass(frozen=True)
class Calibration:
  """A logistic regression and its threshold.

  Attributes:
    center: E means of the evidence.
    spread: E standard deviations.
    coefficients: E, of the standardised evidence.
    intercept: the constant term.
    threshold: probability from which a candidate counts as present.
  """

  center: tuple[float, ...]
  spread: tuple[float, ...]
  coefficients: tuple[float, ...]
  intercept: float
  threshold: float

  def rate(self, evidence: np.ndarray) -> np.ndarray:
    """Probabilities `[N]` of evidence `[N, E]`."""
    x = (evidence - np.array(self.center)) / np.array(self.spread)
    return _sigmoid(x @ np.array(self.coefficients) + self.intercept)


def fit_calibration(
  evidence: np.ndarray,
  right: np.ndarray,
  *,
  absent: Sequence[np.ndarray],
  false_alarms: float = FALSE_ALARMS,
) -> Calibration:
  """Fits the regression, and the threshold on pictures without the object.

  Args:
    evidence: `[N, E]` of candidates.
    right: bool `[N]`, whether a candidate is the object.
    absent: evidence `[n, E]` of the candidates of each picture that does not
      show the object; n may be 0.
    false_alarms: share of these pictures in which anything may be found.

  Raises:
    ValueError: the candidates are all right or all wrong.
  """
  right = np.asarray(right, bool)
  if right.all() or not right.any():
    raise ValueError("a calibration needs candidates of both kinds.")
  center, spread = evidence.mean(0), evidence.std(0) + 1e-6
  x = (evidence - center) / spread

  def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
    coefficients, intercept = parameters[:-1], parameters[-1]
    logits = x @ coefficients + intercept
    value = np.mean(np.logaddexp(0, logits) - right * logits)
    error = (_sigmoid(logits) - right) / len(x)
    gradient = np.append(x.T @ error + 2 * RIDGE * coefficients, error.sum())
    return value + RIDGE * coefficients @ coefficients, gradient

  start = np.zeros(x.shape[1] + 1)
  found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B")
  fitted = Calibration(
    tuple(center.tolist()),
    tuple(spread.tolist()),
    tuple(found.x[:-1].tolist()),
    float(found.x[-1]),
    0.5,
  )
  best = [
    float(fitted.rate(each).max()) if len(each) else 0.0 for each in absent
  ]
  threshold = fitted.threshold
  if best:
    threshold = float(np.quantile(best, 1 - false_alarms, method="higher"))
  return dataclasses.replace(fitted, threshold=min(threshold + 1e-6, 1.0))


def _sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
