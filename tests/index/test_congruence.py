"""What every engine does: one class that each implementation passes."""

import numpy as np
import pytest
from support.vectors import clusters, engines, locate_engine, sort_all, unit

from dr3d.index.engine import build_index
from dr3d.index.vector_index import measure_recall

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module", params=engines())
def engine(request, tmp_path_factory):
  return locate_engine(request.param, tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def vectors():
  return clusters(0, count=3000)


@pytest.fixture(scope="module")
def queries(vectors):
  return unit(vectors[::300] + 0.05)


@pytest.fixture(scope="module")
def exact(vectors):
  return build_index(vectors, engine="exact")


@pytest.fixture(scope="module")
def index(vectors, engine):
  return build_index(vectors, engine=engine)


class TestVectorIndex:
  """An engine is added here by its line in `engine._BUILD` alone."""

  def test_index_tells_its_engine_and_size(self, index, engine):
    assert index.engine == engine.partition(":")[0]
    assert (index.count, index.size) == (3000, 16)

  def test_stored_vector_finds_itself(self, index, vectors):
    rows = np.arange(0, 3000, 7)
    found = index.search(vectors[rows], 1)
    assert found.ids.dtype == np.int32
    assert found.similarity.dtype == np.float32
    itself = found.ids[:, 0] == rows
    assert itself.mean() >= (1 if index.is_exhaustive else 0.98)
    np.testing.assert_allclose(found.similarity[itself], 1, atol=1e-6)

  def test_nearly_all_true_neighbours_are_found(self, index, exact, vectors):
    queries = unit(vectors[:500] + 0.02)
    found, truth = index.search(queries, 10), exact.search(queries, 10)
    hits = [
      len(set(a) & set(b)) for a, b in zip(found.ids, truth.ids, strict=True)
    ]
    assert np.mean(hits) / 10 > 0.97
    assert np.mean(found.ids[:, 0] == truth.ids[:, 0]) > 0.98

  @pytest.mark.parametrize("k", [1, 25, 200, 3000])
  def test_hits_are_real_distinct_and_sorted(self, index, vectors, queries, k):
    found = index.search(queries, k)
    assert found.ids.shape == found.similarity.shape == (10, k)
    cosine = np.einsum("qd,qkd->qk", queries, vectors[found.ids])
    np.testing.assert_allclose(found.similarity, cosine, atol=1e-6)
    assert (np.diff(found.similarity, axis=1) <= 0).all()
    assert all(len(set(row)) == k for row in found.ids)

  def test_pair_has_same_similarity_as_in_exact_search(
    self, index, exact, queries
  ):
    truth = exact.search(queries, 3000)
    found = index.search(queries, 20)
    for row in range(10):
      known = dict(zip(truth.ids[row], truth.similarity[row], strict=True))
      expected = [known[i] for i in found.ids[row]]
      assert expected == found.similarity[row].tolist()

  @pytest.mark.parametrize("count", [1, 2, 15, 16, 63, 64, 200])
  def test_set_of_any_size_can_be_searched(self, engine, count):
    vectors = clusters(1, count=count, size=5)
    found = build_index(vectors, engine=engine).search(vectors, count + 7)
    assert found.ids.shape == (count, count)
    np.testing.assert_array_equal(found.ids[:, 0], np.arange(count))
    np.testing.assert_array_equal(
      np.sort(found.ids), [np.arange(count)] * count
    )

  def test_vectors_of_one_number_can_be_searched(self, engine):
    vectors = np.where(np.arange(600) % 3, 1, -1)[:, None]
    found = build_index(vectors, engine=engine).search(np.array([[-1.0]]), 5)
    assert found.similarity.tolist() == [[1, 1, 1, 1, 1]]
    assert not (found.ids % 3).any()

  def test_equal_vectors_are_ordered_by_id(self, engine):
    vectors = clusters(2, count=900, spread=1.0)
    copies = [5, 17, 333, 640, 641, 642, 899]
    vectors[copies] = vectors[5]
    index = build_index(vectors, engine=engine)
    assert index.search(vectors[5:6], 7).ids.tolist() == [copies]
    assert index.search(vectors[5:6], 3).ids.tolist() == [copies[:3]]

  def test_number_of_queries_asked_at_once_changes_nothing(
    self, index, queries
  ):
    together = index.search(queries, 12)
    for row, query in enumerate(queries):
      alone = index.search(query[None], 12)
      np.testing.assert_array_equal(alone.ids[0], together.ids[row])
      np.testing.assert_array_equal(
        alone.similarity[0], together.similarity[row]
      )

  def test_two_builds_answer_alike(self, index, vectors, queries, engine):
    again = build_index(vectors.copy(), engine=engine)
    first, second = index.search(queries, 50), again.search(queries, 50)
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(first.similarity, second.similarity)

  @pytest.mark.parametrize("share", [0.001, 0.3, 0.95])
  def test_only_allowed_vectors_are_found(self, index, vectors, queries, share):
    allowed = np.random.default_rng(4).random(3000) < share
    rows = np.flatnonzero(allowed)
    found = index.search(queries, 12, allowed=allowed)
    truth = build_index(vectors[rows], engine="exact").search(queries, 12)
    assert found.ids.shape == (10, min(12, len(rows)))
    assert allowed[found.ids].all()
    hits = [
      len(set(a) & set(b))
      for a, b in zip(found.ids, rows[truth.ids], strict=True)
    ]
    assert np.mean(hits) / found.ids.shape[1] > 0.97
    cosine = np.einsum("qd,qkd->qk", queries, vectors[found.ids])
    np.testing.assert_allclose(found.similarity, cosine, atol=1e-6)

  def test_nothing_allowed_finds_nothing(self, index, queries):
    found = index.search(queries, 5, allowed=np.zeros(3000, bool))
    assert found.ids.shape == found.similarity.shape == (10, 0)

  def test_filter_of_other_length_raises(self, index, queries):
    with pytest.raises(ValueError, match=r"each of 3000 vectors, got .*\(5,"):
      index.search(queries, 5, allowed=np.ones(5, bool))

  def test_no_query_has_no_neighbours(self, index):
    found = index.search(np.zeros((0, 16)), 3)
    assert found.ids.shape == found.similarity.shape == (0, 3)

  def test_recall_is_high_and_one_if_exhaustive(self, index, exact, vectors):
    recall = measure_recall(index, exact, vectors)
    assert 0.9 < recall <= 1
    assert recall == 1 or not index.is_exhaustive

  @pytest.mark.parametrize(
    "spoiled", [np.nan, np.inf, -np.inf, 0.0, 2.0, 1e30], ids=str
  )
  def test_vector_that_is_not_a_unit_vector_raises(
    self, index, vectors, engine, spoiled
  ):
    bad = vectors[:700].copy()
    bad[123] = spoiled
    with pytest.raises(ValueError, match=r"^vectors .* row 123 has length"):
      build_index(bad, engine=engine)
    with pytest.raises(ValueError, match=r"^queries .* row 0 has length"):
      index.search(bad[123:124], 3)

  def test_other_shape_raises(self, index, vectors, queries, engine):
    with pytest.raises(ValueError, match=r"16 numbers each .* got 3"):
      index.search(unit([[1, 2, 3]]), 1)
    with pytest.raises(ValueError, match=r"got shape \(16,\)"):
      index.search(vectors[0], 1)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
      index.search(queries, 0)
    with pytest.raises(ValueError, match="at least one row"):
      build_index(np.zeros((0, 4)), engine=engine)
    with pytest.raises(ValueError, match=r"got shape \(4, 0\)"):
      build_index(np.zeros((4, 0)), engine=engine)


def test_exact_search_is_a_sorted_list_of_cosines(exact, vectors, queries):
  found = exact.search(queries, 30)
  for query, ids, similarity in zip(
    queries, found.ids, found.similarity, strict=True
  ):
    best, cosine = sort_all(vectors, query)
    assert ids.tolist() == best[:30]
    np.testing.assert_allclose(similarity, cosine[:30], atol=1e-7)
