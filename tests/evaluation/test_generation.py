import numpy as np
import pytest

from dr3d.evaluation.generation import coverage, minimum_matching_distance

pytestmark = pytest.mark.fast


def test_measures_equal_loops_over_samples_and_shapes():
  distances = np.random.default_rng(0).random((7, 5))
  matched = set()
  for row in distances:
    matched.add(min(range(5), key=lambda shape: row[shape]))
  nearest = [min(distances[:, shape]) for shape in range(5)]
  assert coverage(distances) == len(matched) / 5
  assert minimum_matching_distance(distances) == pytest.approx(sum(nearest) / 5)


def test_samples_that_are_all_alike_cover_one_shape():
  distances = np.tile(np.float64([[3, 1, 2]]), (10, 1))
  assert coverage(distances) == pytest.approx(1 / 3)
  assert minimum_matching_distance(distances) == 2


def test_no_samples_raises():
  with pytest.raises(ValueError, match="samples, shapes"):
    coverage(np.zeros((0, 3)))
