"""Exact search: ties and rounding errors do not decide who is found."""

import numpy as np
import pytest
from support.vectors import clusters, sort_all, unit

from dr3d.index import exact
from dr3d.index.exact import ExactIndex

pytestmark = pytest.mark.fast


def test_equal_vectors_are_cut_off_by_id():
  vectors = np.repeat(clusters(3, count=2), 501, axis=0)
  found = ExactIndex(vectors).search(vectors[501:502], 4)
  assert found.ids.tolist() == [[501, 502, 503, 504]]


def test_rounding_does_not_decide_who_is_nearest():
  rng = np.random.default_rng(7)
  query = unit(rng.normal(size=(1, 64)))
  vectors = unit(query + 1e-4 * rng.normal(size=(2000, 64)))
  best, cosine = sort_all(vectors, query[0])
  assert len(set(map(np.float32, cosine))) < 50  # the rest are ties
  index = ExactIndex(vectors)
  for k in (1, 10, 100, 1000):
    assert index.search(query, k).ids[0].tolist() == best[:k]


def test_blocks_of_queries_change_nothing(monkeypatch):
  index = ExactIndex(clusters(0, count=3000))
  queries = unit(index.vectors[::300] + 0.05)
  whole = index.search(queries, 5)
  monkeypatch.setattr(exact, "_BLOCK", 3 * 3000)
  parts = index.search(queries, 5)
  np.testing.assert_array_equal(whole.ids, parts.ids)
  np.testing.assert_array_equal(whole.similarity, parts.similarity)
