import numpy as np
import pytest

from dr3d.locate.presence import fit_calibration

pytestmark = pytest.mark.fast


def _candidates(count=4000, seed=0):
  """Evidence whose log odds are known: 2 x - 1, and a useless number."""
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(count, 2))
  right = rng.random(count) < 1 / (1 + np.exp(1 - 2 * x[:, 0]))
  return x, right


def test_probabilities_match_the_known_ones():
  x, right = _candidates()
  found = fit_calibration(x, right, absent=[]).rate(x)
  true = 1 / (1 + np.exp(1 - 2 * x[:, 0]))
  assert np.abs(found - true).mean() < 0.04


def test_threshold_keeps_the_false_alarms():
  x, right = _candidates()
  rng = np.random.default_rng(1)
  absent = [rng.normal(size=(n % 4, 2)) for n in range(400)]
  fitted = fit_calibration(x, right, absent=absent, false_alarms=0.05)
  alarms = [bool((fitted.rate(e) >= fitted.threshold).any()) for e in absent]
  assert np.mean(alarms) <= 0.05
  lower = fitted.threshold - 0.02
  assert np.mean([bool((fitted.rate(e) >= lower).any()) for e in absent]) > 0.05


def test_one_kind_of_candidates_raises():
  x, _ = _candidates(5)
  with pytest.raises(ValueError, match="both kinds"):
    fit_calibration(x, np.ones(5, bool), absent=[])
