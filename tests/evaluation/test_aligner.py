"""Models are registered to the queries of an evaluation."""

import dataclasses
import pathlib

import numpy as np
import pytest
import trimesh

from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError
from dr3d.evaluation.aligner import Aligner
from dr3d.evaluation.model_set import ModelSet
from dr3d.mesh import make_mesh
from dr3d.mesh.packing import pack_mesh
from dr3d.registration.surface import Fit

COUNT = 12


@pytest.fixture(scope="module")
def side():
  """Boxes, the first of which has no mesh."""
  rng = np.random.default_rng(5)
  boxes = [trimesh.creation.box(s) for s in rng.uniform(0.3, 1, (COUNT, 3))]
  packed = [pack_mesh(make_mesh(box.vertices, box.faces)) for box in boxes]
  return ModelSet(
    tuple(
      ModelFile(pathlib.Path(f"{i}.obj"), f"{i}", "") for i in range(COUNT)
    ),
    ("",) * COUNT,
    packed=(b"", *packed[1:]),
  )


def test_most_similar_models_are_registered(side):
  # So far apart that the points do not change which ones are registered.
  whole = 9 * np.random.default_rng(0).permuted(
    np.tile(np.arange(COUNT, dtype=float), (COUNT, 1)), axis=1
  )
  whole[:, 2] = -np.inf
  with Aligner(side, side, count=4) as aligner:
    rated = aligner.rate(0, whole)
    again = aligner.rate(3, whole[3:5])
  np.testing.assert_array_equal(again.geometric, rated.geometric[3:5])
  np.testing.assert_array_equal(again.ranking, rated.ranking[3:5])
  assert not rated.geometric[0].any()  # no mesh
  assert not rated.ranking[0].any()
  assert not rated.ranking[:, [0, 2]].any()
  for query in range(1, COUNT):
    first = set(np.argsort(-whole[query])[:4].tolist())
    found = np.flatnonzero(rated.geometric[query])
    assert set(found.tolist()) == first - {0}
    if query in first:
      assert rated.geometric[query].argmax() == query
      assert rated.ranking[query].argmax() == query


def test_model_of_nearer_points_is_registered_first(side):
  whole = np.full((1, COUNT), 0.5)
  with Aligner(side.take([7]), side, count=1) as aligner:
    found = aligner.rate(0, whole)
  assert np.flatnonzero(found.geometric[0]).tolist() == [7]


def test_few_queries_in_this_process_give_the_same_result(side):
  whole = np.random.default_rng(1).uniform(-1, 1, (4, COUNT))
  with Aligner(side, side, count=5) as aligner:
    many = aligner.rate(4, whole)
  with Aligner(side.take(range(4, 8)), side, count=5) as aligner:
    few = aligner.rate(0, whole)
  np.testing.assert_array_equal(few.geometric, many.geometric)
  np.testing.assert_array_equal(few.ranking, many.ranking)


def test_each_model_is_registered_once_to_a_query(side, monkeypatch):
  laid = []

  def measure(mesh, packed):
    laid.append(len(packed))
    return [Fit(0.1, 0.2, mirrored=False)] * len(packed)

  monkeypatch.setattr("dr3d.search.verification.measure_fits", measure)
  with Aligner(side.take([1]), side, count=3) as aligner:
    whole = 9 * np.arange(COUNT, dtype=float)[None]
    aligner.rate(0, whole)
    aligner.rate(0, whole)
    whole[0, 1] = 999
    aligner.rate(0, whole)
  assert laid == [3, 1]


def test_set_without_meshes_cannot_be_aligned(side):
  bare = dataclasses.replace(side, packed=None)
  for queries, gallery, count, expected in (
    (side, side, 1, True),
    (side, side, 0, False),
    (bare, side, 1, False),
    (side, bare, 1, False),
  ):
    with Aligner(queries, gallery, count=count) as aligner:
      assert aligner.can_align == expected


def test_mesh_that_cannot_be_registered_raises_with_its_name(side):
  broken = dataclasses.replace(side, packed=(b"", b"x", *side.packed[2:]))
  whole = np.eye(COUNT)
  with (
    Aligner(side, broken, count=1) as aligner,
    pytest.raises(Dr3dError, match=r"to 1 fails \(.*--verify=0 does"),
  ):
    aligner.rate(0, whole)
