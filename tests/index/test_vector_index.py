import importlib.util
import sys

import numpy as np
import pytest

from dr3d.index import vector_index as index_lib
from dr3d.index.vector_index import (
  Index,
  build_index,
  choose_backend,
  measure_recall,
)

pytestmark = pytest.mark.fast

needs_scann = pytest.mark.skipif(
  importlib.util.find_spec("scann") is None, reason="ScaNN has no wheel here"
)
BACKENDS = ["exact", pytest.param("scann", marks=needs_scann)]
both = pytest.mark.parametrize("backend", BACKENDS)


def unit(vectors):
  vectors = np.asarray(vectors, np.float64)
  length = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return (vectors / length).astype(np.float32)


def clusters(seed, *, count, size=16, spread=0.3, groups=40):
  rng = np.random.default_rng(seed)
  centers = rng.normal(size=(groups, size))
  noise = spread * rng.normal(size=(count, size))
  return unit(centers[rng.integers(groups, size=count)] + noise)


def sort_all(vectors, query):
  """Independent oracle: plain Python, one pair at a time."""
  cosine = [
    sum(float(a) * float(b) for a, b in zip(vector, query, strict=True))
    for vector in vectors
  ]
  ids = sorted(range(len(vectors)), key=lambda i: (-np.float32(cosine[i]), i))
  return ids, [cosine[i] for i in ids]


@pytest.fixture(scope="module")
def world():
  vectors = clusters(0, count=3000)
  return {
    "vectors": vectors,
    "queries": unit(vectors[::300] + 0.05),
    "exact": build_index(vectors, backend="exact"),
    **(
      {"scann": build_index(vectors, backend="scann")}
      if importlib.util.find_spec("scann")
      else {}
    ),
  }


def test_the_exact_search_is_a_sorted_list_of_cosines(world):
  found = world["exact"].search(world["queries"], 30)
  for query, ids, similarity in zip(
    world["queries"], found.ids, found.similarity, strict=True
  ):
    best, cosine = sort_all(world["vectors"], query)
    assert ids.tolist() == best[:30]
    np.testing.assert_allclose(similarity, cosine[:30], atol=1e-7)


@both
def test_a_stored_vector_finds_itself(world, backend):
  rows = np.arange(0, 3000, 7)
  found = world[backend].search(world["vectors"][rows], 1)
  assert found.ids.dtype == np.int32
  assert found.similarity.dtype == np.float32
  itself = found.ids[:, 0] == rows
  assert itself.mean() >= {"exact": 1, "scann": 0.98}[backend]
  np.testing.assert_allclose(found.similarity[itself], 1, atol=1e-6)


@both
def test_nearly_all_true_neighbours_are_found(world, backend):
  queries = unit(world["vectors"][:500] + 0.02)
  found = world[backend].search(queries, 10)
  truth = world["exact"].search(queries, 10)
  hits = [
    len(set(a) & set(b)) for a, b in zip(found.ids, truth.ids, strict=True)
  ]
  assert np.mean(hits) / 10 > 0.97
  assert np.mean(found.ids[:, 0] == truth.ids[:, 0]) > 0.98


@both
@pytest.mark.parametrize("k", [1, 25, 200, 3000])
def test_hits_are_real_distinct_and_sorted(world, backend, k):
  found = world[backend].search(world["queries"], k)
  assert found.ids.shape == found.similarity.shape == (10, k)
  cosine = np.einsum(
    "qd,qkd->qk", world["queries"], world["vectors"][found.ids]
  )
  np.testing.assert_allclose(found.similarity, cosine, atol=1e-6)
  assert (np.diff(found.similarity, axis=1) <= 0).all()
  assert all(len(set(row)) == k for row in found.ids)


@both
def test_the_same_pair_has_the_same_similarity_in_both(world, backend):
  truth = world["exact"].search(world["queries"], 3000)
  found = world[backend].search(world["queries"], 20)
  for row in range(10):
    known = dict(zip(truth.ids[row], truth.similarity[row], strict=True))
    assert [known[i] for i in found.ids[row]] == found.similarity[row].tolist()


@both
@pytest.mark.parametrize("count", [1, 2, 15, 16, 63, 64, 200])
def test_sets_of_any_size_can_be_searched(backend, count):
  vectors = clusters(1, count=count, size=5)
  found = build_index(vectors, backend=backend).search(vectors, count + 7)
  assert found.ids.shape == (count, count)
  np.testing.assert_array_equal(found.ids[:, 0], np.arange(count))
  np.testing.assert_array_equal(np.sort(found.ids), [np.arange(count)] * count)


@both
def test_vectors_of_one_number_can_be_searched(backend):
  vectors = np.where(np.arange(600) % 3, 1, -1)[:, None]
  found = build_index(vectors, backend=backend).search([[-1.0]], 5)
  assert found.similarity.tolist() == [[1, 1, 1, 1, 1]]
  assert not (found.ids % 3).any()


@both
def test_equal_vectors_come_in_the_order_of_their_ids(backend):
  vectors = clusters(2, count=900, spread=1.0)
  copies = [5, 17, 333, 640, 641, 642, 899]
  vectors[copies] = vectors[5]
  index = build_index(vectors, backend=backend)
  assert index.search(vectors[5:6], 7).ids.tolist() == [copies]
  assert index.search(vectors[5:6], 3).ids.tolist() == [copies[:3]]


def test_equal_vectors_are_cut_off_by_id_however_many_they_are():
  vectors = np.repeat(clusters(3, count=2), 501, axis=0)
  found = build_index(vectors, backend="exact").search(vectors[501:502], 4)
  assert found.ids.tolist() == [[501, 502, 503, 504]]


def test_rounding_does_not_decide_who_is_among_the_nearest():
  rng = np.random.default_rng(7)
  query = unit(rng.normal(size=(1, 64)))
  vectors = unit(query + 1e-4 * rng.normal(size=(2000, 64)))
  best, cosine = sort_all(vectors, query[0])
  assert len(set(map(np.float32, cosine))) < 50  # the rest are ties
  index = build_index(vectors, backend="exact")
  for k in (1, 10, 100, 1000):
    assert index.search(query, k).ids[0].tolist() == best[:k]


@both
def test_the_number_of_queries_asked_at_once_changes_nothing(world, backend):
  together = world[backend].search(world["queries"], 12)
  for row, query in enumerate(world["queries"]):
    alone = world[backend].search(query[None], 12)
    np.testing.assert_array_equal(alone.ids[0], together.ids[row])
    np.testing.assert_array_equal(alone.similarity[0], together.similarity[row])


def test_blocks_of_queries_change_nothing(world, monkeypatch):
  whole = world["exact"].search(world["queries"], 5)
  monkeypatch.setattr(index_lib, "_BLOCK", 3 * 3000)
  parts = world["exact"].search(world["queries"], 5)
  np.testing.assert_array_equal(whole.ids, parts.ids)
  np.testing.assert_array_equal(whole.similarity, parts.similarity)


@both
def test_two_builds_answer_alike(world, backend):
  again = build_index(world["vectors"].copy(), backend=backend)
  first = world[backend].search(world["queries"], 50)
  second = again.search(world["queries"], 50)
  np.testing.assert_array_equal(first.ids, second.ids)
  np.testing.assert_array_equal(first.similarity, second.similarity)


@both
def test_no_query_has_no_neighbours(world, backend):
  found = world[backend].search(np.zeros((0, 16)), 3)
  assert found.ids.shape == found.similarity.shape == (0, 3)


@both
@pytest.mark.parametrize(
  "spoiled", [np.nan, np.inf, -np.inf, 0.0, 2.0, 1e30], ids=str
)
def test_what_is_no_unit_vector_never_reaches_the_search(
  world, backend, spoiled
):
  vectors = world["vectors"][:700].copy()
  vectors[123] = spoiled
  with pytest.raises(ValueError, match=r"^vectors .* row 123 has length"):
    build_index(vectors, backend=backend)
  with pytest.raises(ValueError, match=r"^queries .* row 0 has length"):
    world[backend].search(vectors[123:124], 3)


@both
def test_other_shapes_are_refused(world, backend):
  index = world[backend]
  with pytest.raises(ValueError, match=r"16 numbers each .* got 3"):
    index.search(unit([[1, 2, 3]]), 1)
  with pytest.raises(ValueError, match=r"got shape \(16,\)"):
    index.search(world["vectors"][0], 1)
  with pytest.raises(ValueError, match="k must be at least 1, got 0"):
    index.search(world["queries"], 0)
  with pytest.raises(ValueError, match="at least one row"):
    build_index(np.zeros((0, 4)), backend=backend)
  with pytest.raises(ValueError, match=r"got shape \(4, 0\)"):
    build_index(np.zeros((4, 0)), backend=backend)


def test_an_unknown_backend_is_refused():
  with pytest.raises(ValueError, match="got 'faiss'"):
    build_index(np.eye(3), backend="faiss")


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
def test_padding_never_becomes_a_hit(world, real):
  vectors = world["vectors"][1:]
  padded = Index(vectors, PaddedSearcher(vectors, real))
  found = padded.search(world["queries"], 10)
  truth = build_index(vectors, backend="exact").search(world["queries"], 10)
  np.testing.assert_array_equal(found.ids, truth.ids)
  np.testing.assert_array_equal(found.similarity, truth.similarity)


@needs_scann
def test_scann_is_what_answers_on_large_sets(world, monkeypatch):
  rows = []
  monkeypatch.setattr(
    Index, "_search_exact", lambda self, queries, part, found: rows.append(part)
  )
  world["scann"].search(world["queries"], 25)
  assert [len(part) for part in rows] == [0]


@needs_scann
def test_scann_keeps_its_log_to_itself(capfd):
  build_index(clusters(4, count=500), backend="scann")
  assert capfd.readouterr() == ("", "")


@needs_scann
def test_the_automatic_choice_depends_on_the_number_of_vectors():
  assert choose_backend(19_999) == "exact"
  assert choose_backend(20_000) == "scann"
  vectors = clusters(5, count=300)
  assert build_index(vectors).backend == "exact"
  assert build_index(vectors, exact_below=300).backend == "scann"
  assert build_index(vectors[:10], exact_below=1).backend == "exact"


def test_without_scann_the_search_is_exact(monkeypatch):
  monkeypatch.setitem(sys.modules, "scann", None)
  vectors = clusters(6, count=300)
  assert build_index(vectors, exact_below=1).backend == "exact"
  with pytest.raises(ImportError):
    build_index(vectors, backend="scann")


@needs_scann
def test_recall_is_the_share_of_true_neighbours_that_are_found(world):
  stored, index, exact = world["vectors"], world["scann"], world["exact"]
  assert measure_recall(exact) == 1.0
  assert 0.9 < measure_recall(index) <= 1.0

  class Blind:
    """Sees one vector in four."""

    def search(self, query, *, final_num_neighbors, leaves_to_search):
      ids = exact.search(query[None], final_num_neighbors).ids[0]
      ids = ids[ids % 4 == 0]
      return ids, np.zeros(len(ids))

  blind = measure_recall(Index(stored, Blind()))
  assert 0.15 < blind < 0.4
  assert measure_recall(Index(stored, Blind())) == blind
