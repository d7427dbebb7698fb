"""Short vectors propose the models that an exact comparison finds."""

import numpy as np
import pytest
from support.vectors import engines, locate_engine, needs_scann, unit

from dr3d.index import model_index
from dr3d.index.model_index import SummaryIndex, ViewIndex, index_models
from dr3d.index.projection import fit_projection
from dr3d.index.summary_file import load_summary, save_summary
from dr3d.search.gallery import Gallery, make_gallery, measure_recall, rank_all

pytestmark = pytest.mark.fast

B, N, D = 6000, 4, 16


def draw(seed, count):
  rng = np.random.default_rng(seed)
  centers = np.random.default_rng(99).normal(size=(50, N, D))
  kind = rng.integers(50, size=count)
  return unit(centers[kind] + 0.5 * rng.normal(size=(count, N, D)))


@pytest.fixture(scope="module")
def features():
  return draw(0, B)


@pytest.fixture(scope="module")
def everything():
  return np.ones(B, bool)


@pytest.fixture(scope="module", params=engines())
def index(request, features, tmp_path_factory):
  directory = tmp_path_factory.mktemp("engine")
  return index_models(features, engine=locate_engine(request.param, directory))


def test_projection_of_all_directions_keeps_mean_cosines(features):
  projection = fit_projection(features[:300])
  assert projection.basis.shape == (N, D, N * D)
  short = projection.project(features[:50])
  np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
  query = draw(1, 1)[0]
  mean = np.einsum("bnd,nd->b", features[:50], query) / N
  product = short @ projection.project_query(query)[0] / N**0.5
  np.testing.assert_allclose(product, mean, atol=1e-6)
  each = projection.project_each(query[:2])
  cosine = np.einsum("bnd,qd->qnb", features[:50], query[:2])
  np.testing.assert_allclose(each @ short.T / N**-0.5, cosine * 1.0, atol=1e-5)


def test_short_projection_keeps_the_largest_share(features):
  flat = features.reshape(B, -1) / N**0.5
  few = fit_projection(features, size=9)
  assert few.size == 9
  basis = few.basis.reshape(N * D, 8)
  np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-5)
  largest = np.linalg.svd(flat, compute_uv=False)[:8]
  kept = np.linalg.norm(flat @ basis)
  assert kept == pytest.approx(np.linalg.norm(largest), rel=1e-4)


def test_model_index_proposes_what_is_best(index, features, everything):
  queries = draw(2, 20)
  best = rank_all(features, queries, 10)
  for query, expected in zip(queries, best, strict=True):
    found = index.find_models(query, 10, allowed=everything, is_aligned=True)
    if found is None:
      assert isinstance(index, ViewIndex)
      continue
    assert (np.diff(found) > 0).all()
    assert np.isin(expected, found).mean() >= 0.9


def test_vectors_of_unknown_views_find_their_model(index, features, everything):
  for model in range(0, 600, 60):
    for views in ([2], [3, 0]):
      found = index.find_models(
        features[model, views], 10, allowed=everything, is_aligned=False
      )
      assert found is None or model in found


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_filtered_look_up_finds_allowed_models_only(index, features, share):
  allowed = np.random.default_rng(3).random(B) < share
  rows = np.flatnonzero(allowed)
  queries = draw(4, 5)
  best = rows[rank_all(features[rows], queries, 10)]
  for query, expected in zip(queries, best, strict=True):
    found = index.find_models(query, 10, allowed=allowed, is_aligned=True)
    if found is not None:
      assert allowed[found].all()
      assert np.isin(expected, found).mean() >= 0.9


def test_few_models_are_scored_without_a_look_up(index):
  few = np.arange(B) < 100
  query = draw(5, 1)[0]
  assert index.find_models(query, 10, allowed=few, is_aligned=True) is None


@needs_scann
def test_saved_index_reads_the_vectors_of_new_models_only(
  features, tmp_path, monkeypatch
):
  index = index_models(features, engine="scann")
  keys = np.arange(B, dtype=np.uint64) + 5
  save_summary(index, tmp_path, keys=keys)
  monkeypatch.setattr(model_index, "summarise", pytest.fail)
  query = draw(6, 1)[0]
  everything = np.ones(B, bool)
  again = load_summary(tmp_path, features, keys=keys)
  expected = index.find_models(query, 9, allowed=everything, is_aligned=True)
  np.testing.assert_array_equal(
    again.find_models(query, 9, allowed=everything, is_aligned=True), expected
  )
  read = []

  class Changed:
    """The models 100 and on, before them three new ones, one near the query."""

    shape = (B - 97, N, D)
    stored = np.concatenate([query[None], draw(7, 2), features[100:]])

    def __len__(self):
      return self.shape[0]

    def __getitem__(self, rows):
      read.extend(np.atleast_1d(rows))
      return self.stored[rows]

  new = np.array([1, 2, 3], np.uint64)
  later = load_summary(
    tmp_path, Changed(), keys=np.concatenate([new, keys[100:]])
  )
  assert read == [0, 1, 2]
  assert later.index.drift == pytest.approx(103 / (B - 97))
  found = later.find_models(
    query, 9, allowed=np.ones(B - 97, bool), is_aligned=True
  )
  assert 0 in found
  kept = expected[expected >= 100] - 97
  assert np.isin(kept, found).mean() > 0.95


@needs_scann
def test_recall_of_a_gallery_is_that_of_its_index(features):
  names = [f"{i:04d}" for i in range(B)]
  gallery = make_gallery(features, names, [""] * B, engine="scann")
  assert 0.95 < measure_recall(gallery, probes=16) <= 1

  class Blind(SummaryIndex):
    def propose(self, *given, **options):
      found = super().propose(*given, **options)
      return found[found % 2 == 0]

  half = Blind(gallery.index.index, gallery.index.projection)
  blind = Gallery(gallery.names, gallery.labels, features, half)
  assert 0.3 < measure_recall(blind, probes=16) < 0.7
