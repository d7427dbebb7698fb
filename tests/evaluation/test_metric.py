import math

import numpy as np
import pytest

from dr3d.evaluation import metric
from dr3d.evaluation.average import average, resample

pytestmark = pytest.mark.fast


def lists(*rows):
  return np.array([[mark == "x" for mark in row] for row in rows])


def literal_measures(row):
  """The measures of one list, word by word after their definitions."""
  relevant = sum(row)
  places = [i for i, hit in enumerate(row, start=1) if hit]
  shown = row[:32]
  found = sum(shown)
  e = 0.0
  if found:
    e = 2 / (1 / (found / len(shown)) + 1 / (found / relevant))
  gain = sum(1 if i == 1 else 1 / math.log2(i) for i in places)
  best = 1 + sum(1 / math.log2(i) for i in range(2, relevant + 1))
  return {
    "NN": float(row[0]),
    "FT": sum(row[:relevant]) / relevant,
    "ST": sum(row[: 2 * relevant]) / relevant,
    "E": e,
    "DCG": gain / best,
    "mAP": sum(sum(row[:i]) / i for i in places) / relevant,
  }


def test_measures_of_lists_made_by_hand():
  measures = metric.measure(lists("xxoo", "oxox", "ooxx"))
  expected = {
    "NN": [1, 0, 0],
    "FT": [1, 1 / 2, 0],
    "ST": [1, 1, 1],
    "E": [2 / 3, 2 / 3, 2 / 3],
    "DCG": [1, (1 + 1 / 2) / 2, (1 / math.log2(3) + 1 / 2) / 2],
    "mAP": [1, (1 / 2 + 2 / 4) / 2, (1 / 3 + 2 / 4) / 2],
  }
  assert list(measures) == list(expected)
  for name, values in expected.items():
    np.testing.assert_allclose(measures[name], values, rtol=1e-12)


def test_measures_agree_with_literal_definitions():
  rng = np.random.default_rng(0)
  for width in (1, 2, 7, 31, 32, 33, 200):
    hits = rng.random((20, width)) < rng.random((20, 1))
    hits[~hits.any(axis=1), rng.integers(width)] = True
    measures = metric.measure(hits)
    for i, row in enumerate(hits.tolist()):
      for name, value in literal_measures(row).items():
        assert measures[name][i] == pytest.approx(value, rel=1e-12), name


def test_e_measure_counts_32_models():
  near, far = np.zeros((2, 1, 40), bool)
  near[0, 31] = far[0, 32] = True
  assert metric.e_measure(near)[0] == pytest.approx(2 / 33)
  assert metric.e_measure(far)[0] == 0


def test_perfect_lists_score_one_and_better_lists_score_more():
  perfect = metric.measure(lists("x" * 32 + "o" * 9))
  assert {name: values[0] for name, values in perfect.items()} == (
    pytest.approx(dict.fromkeys(perfect, 1.0))
  )
  rng = np.random.default_rng(1)
  hits = rng.random((50, 40)) < 0.3
  hits[:, 7:9] = False, True
  better = hits.copy()
  better[:, 7:9] = True, False  # one hit goes up by a place
  worse, good = metric.measure(hits), metric.measure(better)
  for name in worse:
    assert np.all(good[name] >= worse[name])
  assert np.all(good["DCG"] > worse["DCG"])
  assert np.all(good["mAP"] > worse["mAP"])


def test_precision_is_that_of_the_first_rank_with_the_recall():
  curve = metric.recall_precision(
    lists("oxooxx", "xooooo"), recalls=np.array([0.1, 1 / 3, 0.5, 2 / 3, 1])
  )
  np.testing.assert_allclose(
    curve, [[1 / 2, 1 / 2, 2 / 5, 2 / 5, 3 / 6], [1] * 5]
  )
  fifth = metric.recall_precision(lists("xxxxx" + "o"), recalls=[0.6])
  assert fifth[0, 0] == 1


def test_excluded_query_is_not_ranked():
  similarity = np.array([[9.0, 1, 3, 2], [1, 9, 2, -np.inf]])
  relevant = np.zeros((2, 4), bool)
  whole = metric.rank_models(similarity, relevant)
  np.testing.assert_array_equal(whole, [[0, 2, 3, 1], [1, 2, 0, 3]])
  rest = metric.rank_models(similarity, relevant, excluded=np.array([0, 1]))
  np.testing.assert_array_equal(rest, [[2, 3, 1], [2, 0, 3]])


def test_ties_put_the_wrong_models_first_then_keep_the_order():
  similarity = np.array([[0.5, 0.5 + 1e-8, 0.7, 0.5, 0.5]])
  relevant = np.array([[True, True, False, False, False]])
  order = metric.rank_models(similarity, relevant)
  np.testing.assert_array_equal(order, [[2, 3, 4, 0, 1]])
  blind = metric.rank_models(np.zeros((1, 5)), relevant)
  hits = metric.take_hits(relevant, blind)
  np.testing.assert_array_equal(hits, [[False, False, False, True, True]])


def test_ranks_are_invariant_to_monotone_changes_of_similarity():
  rng = np.random.default_rng(2)
  similarity = rng.normal(size=(6, 30))
  relevant = rng.random((6, 30)) < 0.2
  np.testing.assert_array_equal(
    metric.rank_models(similarity, relevant),
    metric.rank_models(5 * similarity - 2, relevant),
  )


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: metric.measure(lists("xo", "oo")), "query 1 has none"),
    (lambda: metric.measure(np.zeros((1, 2))), r"float64 \(1, 2\)"),
    (
      lambda: metric.rank_models(np.array([[1.0, np.nan]]), lists("xo")),
      r"similarity\[0, 1\] is NaN",
    ),
    (lambda: metric.rank_models(np.ones((2, 2)), lists("xo")), "shapes"),
  ],
)
def test_invalid_input_of_measures_raises(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_means_over_queries_and_over_classes():
  values = np.array([1.0, 1, 1, 0, 0.5])
  classes = np.array(["a", "a", "a", "a", "b"])
  means = average(values, classes, resample(5))
  assert means.micro.value == pytest.approx(0.7)
  assert means.macro.value == pytest.approx((0.75 + 0.5) / 2)
  assert means.micro.low < 0.7 < means.micro.high


def test_weights_select_queries_of_means():
  values = np.array([1.0, 0, 1, 0])
  means = average(
    values, np.array([0, 0, 1, 2]), resample(4), weights=np.array([1, 1, 1, 0])
  )
  assert means.micro.value == pytest.approx(2 / 3)
  assert means.macro.value == pytest.approx(3 / 4)
  nothing = average(values, np.arange(4), resample(4), weights=np.zeros(4))
  assert math.isnan(nothing.micro.value)
  assert math.isnan(nothing.macro.low)


def test_interval_agrees_with_the_binomial_one():
  rng = np.random.default_rng(3)
  values = (rng.random(400) < 0.3).astype(float)
  share = values.mean()
  means = average(values, np.arange(400) % 7, resample(400, resamples=4000))
  half = 1.96 * math.sqrt(share * (1 - share) / 400)
  assert means.micro.low == pytest.approx(share - half, abs=0.006)
  assert means.micro.high == pytest.approx(share + half, abs=0.006)
  assert 0.8 < (means.macro.high - means.macro.low) / (2 * half) < 1.3


def test_resampling_keeps_the_number_of_queries_and_is_seeded():
  draws = resample(30, resamples=5, seed=4)
  np.testing.assert_array_equal(draws.sum(axis=1), 30)
  np.testing.assert_array_equal(draws, resample(30, resamples=5, seed=4))
  assert (draws != resample(30, resamples=5, seed=5)).any()


def test_values_and_classes_of_different_lengths_raise():
  with pytest.raises(ValueError, match="equal lengths"):
    average(np.ones(3), np.zeros(2), resample(3))
