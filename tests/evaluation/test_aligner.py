"""Models are laid upon the queries of an evaluation."""

import dataclasses
import pathlib

import numpy as np
import pytest
import trimesh

from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError
from dr3d.evaluation.aligner import Layer
from dr3d.evaluation.model_set import Side
from dr3d.mesh import make_mesh
from dr3d.mesh.packing import pack_mesh

COUNT = 12


@pytest.fixture(scope="module")
def side():
  """Boxes, the first of which has no mesh."""
  rng = np.random.default_rng(5)
  boxes = [trimesh.creation.box(s) for s in rng.uniform(0.3, 1, (COUNT, 3))]
  packed = [pack_mesh(make_mesh(box.vertices, box.faces)) for box in boxes]
  return Side(
    tuple(
      ModelFile(pathlib.Path(f"{i}.obj"), f"{i}", "") for i in range(COUNT)
    ),
    ("",) * COUNT,
    packed=(b"", *packed[1:]),
  )


def test_the_most_alike_are_laid(side):
  whole = np.random.default_rng(0).uniform(-1, 1, (COUNT, COUNT))
  whole[:, 2] = -np.inf
  with Layer(side, side, count=4) as layer:
    rated = layer.rate(0, whole)
    np.testing.assert_array_equal(layer.rate(3, whole[3:5]), rated[3:5])
  assert not rated[0].any()  # no mesh
  for query in range(1, COUNT):
    first = set(np.argsort(-whole[query])[:4].tolist())
    assert set(np.flatnonzero(rated[query]).tolist()) == first - {0}
    if query in first:
      assert rated[query].argmax() == query


def test_few_queries_are_asked_in_this_process_with_the_same_result(side):
  whole = np.random.default_rng(1).uniform(-1, 1, (4, COUNT))
  with Layer(side, side, count=5) as layer:
    many = layer.rate(4, whole)
  with Layer(side.take(range(4, 8)), side, count=5) as layer:
    np.testing.assert_array_equal(layer.rate(0, whole), many)


def test_a_model_is_laid_once_upon_a_query(side, monkeypatch):
  laid = []

  def measure(mesh, packed):
    laid.append(len(packed))
    return [0.1] * len(packed)

  monkeypatch.setattr("dr3d.search.verification.measure_distances", measure)
  with Layer(side.take([1]), side, count=3) as layer:
    whole = np.arange(COUNT, dtype=float)[None]
    layer.rate(0, whole)
    layer.rate(0, whole)
    whole[0, 1] = 100
    layer.rate(0, whole)
  assert laid == [3, 1]


def test_without_meshes_nothing_can_be_laid(side):
  bare = dataclasses.replace(side, packed=None)
  for queries, gallery, count, expected in (
    (side, side, 1, True),
    (side, side, 0, False),
    (bare, side, 1, False),
    (side, bare, 1, False),
  ):
    with Layer(queries, gallery, count=count) as layer:
      assert layer.can_lay == expected


def test_a_mesh_that_cannot_be_laid_is_told(side):
  broken = dataclasses.replace(side, packed=(b"", b"x", *side.packed[2:]))
  whole = np.eye(COUNT)
  with (
    Layer(side, broken, count=1) as layer,
    pytest.raises(Dr3dError, match=r"upon 1 fails \(.*--compare=0 does"),
  ):
    layer.rate(0, whole)
