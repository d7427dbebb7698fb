"""Size orders models of one shape, and asks where a unit seems wrong."""

import numpy as np
import pytest

from dr3d.registration.surface import Fit
from dr3d.search.gallery import make_gallery
from dr3d.search.matching import find_matches
from dr3d.search.query import Query
from dr3d.search.size import (
  Sizes,
  compare_sizes,
  find_unit_question,
  round_extent,
  round_length,
)

pytestmark = pytest.mark.fast

SIZES = np.arange(100.0, 201.0, 10.0)  # of a family of flanges, millimetres
NAMES = [f"flange {size:.0f}" for size in SIZES]


def make_family(spread):
  """Vectors of models of nearly one shape."""
  rng = np.random.default_rng(0)
  vectors = np.tile([1.0, 0, 0, 0], (len(SIZES), 2, 1))
  vectors += rng.normal(scale=spread, size=vectors.shape)
  vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
  return vectors.astype(np.float32)


def find(sizes, *, labels=("flange",), verify=10, **options):
  gallery = make_gallery(
    make_family(0.03), NAMES, list(labels) * (len(NAMES) // len(labels))
  )
  asked = []

  def register(names):
    asked.append(list(names))
    return {name: Fit(0.004, 0.01, mirrored=False) for name in names}

  query = Query(np.float32([[1, 0, 0, 0], [1, 0, 0, 0]]))
  answer = find_matches(
    query, gallery, k=3, register=register, verify=verify, size=sizes, **options
  )
  return answer, asked[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_stated", [True, False])
def test_flange_of_the_size_of_the_scan_comes_first(size, is_stated):
  sizes = Sizes(SIZES, np.full(len(SIZES), True))
  measured = size * 1.01  # a scan is never exact
  answer, asked = find(sizes.rate(measured, is_stated=is_stated), verify=3)
  assert answer.matches[0].model == f"flange {size:.0f}"
  assert f"flange {size:.0f}" in asked


def test_size_does_not_change_the_prediction():
  sizes = Sizes(SIZES, np.full(len(SIZES), True))
  labels = [f"class {i}" for i in range(len(SIZES))]
  plain, first = find(None, labels=labels, verify=3)
  sized, asked = find(sizes.rate(200, is_stated=True), labels=labels, verify=3)
  assert asked[:3] == first
  assert sized.prediction.label == plain.prediction.label


def test_size_counts_more_within_the_family_and_if_units_are_stated():
  models = np.arange(3)
  labels, shape = np.array(["nut", "nut", "bolt"]), np.array([0.9, 0.8, 0.8])
  sizes = Sizes(np.array([10.0, 20.0, 20.0]), np.array([True, True, True]))
  stated = sizes.rate(20.0, is_stated=True).score(models, labels, shape)
  assumed = sizes.rate(20.0, is_stated=False).score(models, labels, shape)
  assert stated[0] == pytest.approx(0, abs=1e-9)
  assert stated[1] > stated[2] > 0
  assert np.all(stated[1:] > assumed[1:])
  # Without labels, nearly the same shape tells the family.
  none = np.array(["", "", ""])
  far = sizes.rate(20.0, is_stated=True).score(models, none, shape - [0, 0, 1])
  assert far[1] > far[2]


def test_nearness_of_sizes_falls_within_percents():
  found = compare_sizes([1, 1.03, 0.97, 1.1], 1)
  np.testing.assert_allclose(found, [1, 0.615, 0.597, 0.0064], atol=0.01)


@pytest.mark.parametrize(
  ("scale", "unit", "expected"),
  [
    (25.4, 1.0, "inch"),
    (10.2, 1.0, "cm"),
    (1000, 1.0, "m"),
    (1 / 25.4, 25.4, "mm"),
    (100, 1.0, ""),
    (100, 10.0, "m"),
  ],
)
def test_unit_is_asked_about_if_the_size_is_off_by_it(scale, unit, expected):
  question = find_unit_question({"a": scale, "b": 3.0}, {"a": 0.004}, unit)
  assert question.model == "a"
  assert question.unit == expected
  assert question.factor == pytest.approx(scale, rel=0.05)


@pytest.mark.parametrize(
  ("ratios", "distances"),
  [
    ({"a": 1.02}, {"a": 0.004}),
    ({"a": 3.0}, {"a": 0.004}),
    ({"a": 25.4}, {"a": 0.05}),  # another shape
    ({"a": 25.4, "b": 1.0}, {"a": 0.004, "b": 0.004}),  # one has the size
    ({"a": 25.4}, {}),
  ],
)
def test_unit_is_not_asked_about_without_need(ratios, distances):
  assert find_unit_question(ratios, distances, 1.0) is None


def test_lengths_have_six_digits():
  assert round_length(123.456789) == 123.457
  assert round_length(0.00123456789) == 0.00123457
  assert round_extent(np.array([1 / 3, 2, 3])) == (0.333333, 2.0, 3.0)
  assert round_extent(None) is None
