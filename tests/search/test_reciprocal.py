"""Neighbours in common, against the definition written out in sets."""

import math

import numpy as np
import pytest
from support.vectors import unit

from dr3d.search import reciprocal
from dr3d.search.gallery import make_gallery
from dr3d.search.matching import find_matches
from dr3d.search.query import Query
from dr3d.search.reciprocal import rank_by_neighbours, rate_neighbours

pytestmark = pytest.mark.fast


def rate_slowly(query, models, *, k, averaged, temperature):
  """Independent oracle: dictionaries of neighbours, model by model."""
  everything = [query, *models]
  count = len(everything)

  def cosine(i, j):
    pairs = zip(everything[i], everything[j], strict=True)
    mean = sum(float(np.dot(a, b)) for a, b in pairs) / len(query)
    return round(mean, 6)

  table = [[cosine(i, j) for j in range(count)] for i in range(count)]
  order = [
    sorted(range(count), key=lambda j, i=i: (-table[i][j], j))
    for i in range(count)
  ]
  near = [set(order[i][: k + 1]) for i in range(count)]
  weights = []
  for i in range(count):
    own = {
      j: math.exp((table[i][j] - 1) / temperature)
      for j in near[i]
      if i in near[j]
    }
    weights.append({j: value / sum(own.values()) for j, value in own.items()})
  smooth = []
  for i in range(count):
    first = order[i][:averaged]
    smooth.append(
      [
        sum(weights[m].get(j, 0) for m in first) / len(first)
        for j in range(count)
      ]
    )
  return [
    sum(map(min, smooth[0], other)) / sum(map(max, smooth[0], other))
    for other in smooth[1:]
  ]


@pytest.mark.parametrize("count", [1, 3, 12, 60])
def test_common_neighbours_equal_the_definition(count):
  rng = np.random.default_rng(count)
  vectors = unit(rng.normal(size=(count + 1, 4, 5)))
  found = rate_neighbours(vectors[0], vectors[1:])
  expected = rate_slowly(
    vectors[0],
    vectors[1:],
    k=reciprocal.NEIGHBOURS,
    averaged=reciprocal.AVERAGED,
    temperature=reciprocal.TEMPERATURE,
  )
  np.testing.assert_allclose(found, expected, atol=2e-6)


def test_copy_of_the_query_has_all_neighbours_in_common():
  rng = np.random.default_rng(0)
  vectors = unit(rng.normal(size=(30, 3, 8)))
  vectors[7] = vectors[0]
  found = rate_neighbours(vectors[0], vectors[1:])
  assert found[6] == found.max()
  assert found[6] > 0.99


def test_order_of_the_candidates_does_not_matter():
  rng = np.random.default_rng(1)
  vectors = unit(rng.normal(size=(50, 3, 8)))
  found = rate_neighbours(vectors[0], vectors[1:])
  order = rng.permutation(49)
  again = rate_neighbours(vectors[0], vectors[1:][order])
  np.testing.assert_array_equal(again, found[order])


def make_arc():
  """A class along an arc, the query at its end, and another class nearby.

  All of the arc is in one plane; the others leave it at 40 degrees from the
  query, nearer than the far end of the arc.
  """
  arc = np.radians(np.arange(3, 60, 3))
  own = np.stack([np.cos(arc), np.sin(arc), 0 * arc], axis=1)
  side = np.radians(np.linspace(-2, 2, 19))
  tilt = math.radians(40)
  others = np.stack(
    [
      math.cos(tilt) * np.cos(side),
      math.cos(tilt) * np.sin(side),
      np.full(len(side), -math.sin(tilt)),
    ],
    axis=1,
  )
  vectors = np.concatenate([own, others]).astype(np.float32)[:, None]
  names = [f"own {i:02}" for i in range(len(own))]
  names += [f"other {i:02}" for i in range(len(others))]
  return unit(vectors), names


def test_chain_of_neighbours_comes_before_a_nearer_group_apart():
  vectors, names = make_arc()
  gallery = make_gallery(vectors, names, [name[:3] for name in names])
  query = Query(np.array([[1, 0, 0]], np.float32))
  answer = find_matches(query, gallery, k=20)
  places = [match.model for match in answer.matches]
  scores = {match.model: match.score for match in answer.matches}
  assert places.index("own 14") < places.index("other 09")
  assert scores["own 14"] < scores["other 09"]


def test_first_five_stay_and_level_ones_stay_level():
  total = np.array([0.5, 0.9, 0.4, 0.9, -np.inf, 0.8, 0.7, 0.6, 0.3])
  common = np.array([0.1, 0.0, 0.2, 0.0, 0.0, 0.0, 0.5, 0.0, 1.0])
  ranked = rank_by_neighbours(total, common)
  assert ranked[1] == ranked[3]
  order = [1, 5, 6, 7, 8, 2, 0]
  assert (np.diff(ranked[order]) < 0).all()
  assert ranked[4] == -np.inf
  nothing = np.full(3, -np.inf)
  np.testing.assert_array_equal(
    rank_by_neighbours(nothing, np.zeros(3)), nothing
  )


def test_prediction_does_not_depend_on_common_neighbours(monkeypatch):
  rng = np.random.default_rng(2)
  vectors = unit(rng.normal(size=(200, 4, 6)))
  names = [f"{i:03}" for i in range(200)]
  gallery = make_gallery(vectors, names, [n[2] for n in names])
  query = Query(unit(rng.normal(size=(4, 6))))
  answer = find_matches(query, gallery, k=200)
  monkeypatch.setattr(reciprocal, "WEIGHT", 0.0)
  plain = find_matches(query, gallery, k=200)
  assert answer.prediction == plain.prediction
  assert answer.matches[:5] == plain.matches[:5]
  assert {m.model for m in answer.matches} == {m.model for m in plain.matches}
  assert answer.matches != plain.matches
  # Models that were not compared keep the order of their scores.
  behind = [m.score for m in plain.matches[reciprocal.COMMON_COUNT :]]
  assert behind == sorted(behind, reverse=True)


def test_vectors_of_unknown_views_are_ranked_by_score_alone():
  rng = np.random.default_rng(3)
  vectors = unit(rng.normal(size=(40, 4, 6)))
  gallery = make_gallery(vectors, [f"{i:02}" for i in range(40)], [""] * 40)
  query = Query(unit(rng.normal(size=(4, 6))), is_view_aligned=False)
  scores = [m.score for m in find_matches(query, gallery, k=40).matches]
  assert scores == sorted(scores, reverse=True)
