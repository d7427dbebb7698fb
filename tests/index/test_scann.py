"""What is particular to ScaNN."""

import numpy as np
import pytest
from support.vectors import clusters, needs_scann, unit

from dr3d.index.engine import build_index
from dr3d.index.exact import ExactIndex
from dr3d.index.scann import ScannIndex
from dr3d.index.vector_index import measure_recall

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def vectors():
  return clusters(0, count=3000)


@pytest.fixture(scope="module")
def queries(vectors):
  return unit(vectors[::300] + 0.05)


class PaddedSearcher:
  """Finds `real` neighbours and fills up as ScaNN does."""

  def __init__(self, vectors, real):
    self.vectors = vectors
    self.real = real

  def search(self, query, *, final_num_neighbors, **_):
    ids = np.zeros(final_num_neighbors, np.uint32)
    distance = np.full(final_num_neighbors, np.nan, np.float32)
    ids[: self.real] = np.argsort(-self.vectors @ query)[: self.real]
    distance[: self.real] = 1.0
    return ids, distance


@pytest.mark.parametrize("real", [0, 1, 9, 10, 50])
def test_padding_never_becomes_a_hit(vectors, queries, real):
  padded = ScannIndex(vectors[1:], PaddedSearcher(vectors[1:], real))
  found = padded.search(queries, 10)
  truth = ExactIndex(vectors[1:]).search(queries, 10)
  np.testing.assert_array_equal(found.ids, truth.ids)
  np.testing.assert_array_equal(found.similarity, truth.similarity)


@needs_scann
def test_large_set_is_answered_by_scann(vectors, queries, monkeypatch):
  index = build_index(vectors, engine="scann")
  monkeypatch.setattr(ExactIndex, "search", None)
  assert index.search(queries, 25).ids.shape == (10, 25)


@needs_scann
def test_build_prints_nothing(capfd):
  build_index(clusters(4, count=500), engine="scann")
  assert capfd.readouterr() == ("", "")


def test_recall_is_the_share_of_true_neighbours_found(vectors):
  exact = ExactIndex(vectors)

  class Blind:
    """Sees one vector in four."""

    def search(self, query, *, final_num_neighbors, leaves_to_search):
      ids = exact.search(query[None], final_num_neighbors).ids[0]
      ids = ids[ids % 4 == 0]
      return ids, np.zeros(len(ids))

  blind = ScannIndex(vectors, Blind())
  recall = measure_recall(blind, exact, vectors)
  assert 0.15 < recall < 0.4
  assert measure_recall(blind, exact, vectors) == recall
