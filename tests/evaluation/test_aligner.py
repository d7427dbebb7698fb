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
  whole = np.random.default_rng(0).uniform(-1, 1, (COUNT, COUNT))
  whole[:, 2] = -np.inf
  with Aligner(side, side, count=4) as aligner:
    rated = aligner.rate(0, whole)
    np.testing.assert_array_equal(aligner.rate(3, whole[3:5]), rated[3:5])
  assert not rated[0].any()  # no mesh
  for query in range(1, COUNT):
    first = set(np.argsort(-whole[query])[:4].tolist())
    assert set(np.flatnonzero(rated[query]).tolist()) == first - {0}
    if query in first:
      assert rated[query].argmax() == query


def test_few_queries_in_this_process_give_the_same_result(side):
  whole = np.random.default_rng(1).uniform(-1, 1, (4, COUNT))
  with Aligner(side, side, count=5) as aligner:
    many = aligner.rate(4, whole)
  with Aligner(side.take(range(4, 8)), side, count=5) as aligner:
    np.testing.assert_array_equal(aligner.rate(0, whole), many)


def test_each_model_is_registered_once_to_a_query(side, monkeypatch):
  laid = []

  def measure(mesh, packed):
    laid.append(len(packed))
    return [0.1] * len(packed)

  monkeypatch.setattr("dr3d.search.verification.measure_distances", measure)
  with Aligner(side.take([1]), side, count=3) as aligner:
    whole = np.arange(COUNT, dtype=float)[None]
    aligner.rate(0, whole)
    aligner.rate(0, whole)
    whole[0, 1] = 100
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
