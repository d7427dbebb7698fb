"""Answers tell sizes, and what a filter on size has left out."""

import types

import numpy as np
import pytest
import trimesh

from dr3d.database.condition import TOLERANCE, Condition
from dr3d.database.model import Model
from dr3d.database.reader import DatabaseReader
from dr3d.database.sizing import (
  add_size,
  ask_unit,
  choose_misses,
  describe_size,
  rate_sizes,
  settle_mode,
)
from dr3d.database.snapshot import Snapshot
from dr3d.mesh import make_mesh
from dr3d.search.answer import Match
from dr3d.search.query import Query
from dr3d.search.size import Sizes

pytestmark = pytest.mark.fast

BOX = trimesh.creation.box([4, 2, 1])
MESH = make_mesh(BOX.vertices, BOX.faces)
VECTORS = np.eye(2, dtype=np.float32)


def make_row(name, unit, *, source="default", radius=1.0):
  return Model(
    name, "", "", "indexed", "", "", unit=unit, radius=radius,
    extent=(3.0, 2.0, 1.0), unit_source=source,
  )  # fmt: skip


def test_mode_and_condition_agree():
  assert settle_mode("prefer", None) == ("prefer", None)
  mode, condition = settle_mode("match", Condition(labels=["nut"]))
  assert (mode, condition.same_size) == ("match", TOLERANCE)
  assert condition.labels == ["nut"]
  narrow = Condition(same_size=0.01)
  assert settle_mode("ignore", narrow) == ("match", narrow)


@pytest.mark.parametrize(
  ("row", "given", "is_stated"),
  [
    (make_row("a", "mm"), None, True),
    (make_row("a", "mm, assumed"), None, False),
    (make_row("a", "mm, assumed", source="given"), None, True),
    (make_row("a", "inch, assumed"), "inch", True),
    (make_row("a", "mm, assumed"), "inch", False),
  ],
)
def test_unit_is_stated_by_the_file_or_by_somebody(row, given, is_stated):
  gallery = types.SimpleNamespace(names=("a",))
  snapshot = Snapshot(gallery, {"a": row}, None, None, given)
  assert snapshot.sizes.is_stated.tolist() == [is_stated]


def test_sizes_count_unless_they_are_ignored_or_unknown():
  sizes = Sizes(np.array([MESH.radius, 9.0]), np.array([True, True]))
  query = Query(VECTORS, mesh=MESH)
  assert rate_sizes(sizes, query, "ignore") is None
  assert rate_sizes(sizes, Query(VECTORS), "prefer") is None
  rating = rate_sizes(sizes, query, "prefer")
  np.testing.assert_allclose(
    rating.nearness(np.array([1, 0])), [0, 1], atol=1e-9
  )
  assert rating.is_stated


def test_size_of_the_query_is_named_with_its_unit():
  size = describe_size(Query(VECTORS, mesh=MESH, unit="mm, assumed"), "prefer")
  assert size.box == (4.0, 2.0, 1.0)
  assert size.smallest_box == (4.0, 2.0, 1.0)
  assert not size.unit_stated
  assert describe_size(Query(VECTORS), "prefer") is None
  assert describe_size(Query(VECTORS, extent=(3, 2, 1)), "match").box is None


def test_match_tells_its_size_and_the_deviation_in_millimetres():
  match = Match(1, "a", "", 0.9, 1, distance=0.01)
  boxes = (np.array([1 / 3, 2, 3]), np.array([3, 2, 1 / 3]))
  row = make_row("a", "mm", radius=3 * MESH.radius)
  found = add_size(match, row, Query(VECTORS, mesh=MESH), boxes)
  assert found.scale == pytest.approx(3)
  assert found.deviation == pytest.approx(0.01 * MESH.radius, rel=1e-5)
  assert found.box == (0.333333, 2.0, 3.0)
  assert add_size(match, make_row("a", "mm"), Query(VECTORS), None).box is None


def test_nearest_sizes_are_the_misses_and_a_wrong_unit_is_asked_about():
  scales = {"a": 25.0, "b": 0.5, "c": 1.2, "d": 4.0}
  matches = [
    Match(i, name, "", 0.9, 1, scale=scale, distance=0.004)
    for i, (name, scale) in enumerate(scales.items(), start=1)
  ]
  misses = choose_misses(matches)
  assert [miss.model for miss in misses] == ["c", "b", "d"]
  assert [miss.rank for miss in misses] == [1, 2, 3]
  query = Query(VECTORS, mesh=MESH)
  assert ask_unit(matches, query) is None  # c has nearly its size
  assert ask_unit(matches[:2], query).unit == "inch"


def test_mesh_of_more_faces_than_the_models_is_simplified():
  seen = []

  class Reader(DatabaseReader):
    face_budget = 100
    pipeline = types.SimpleNamespace(
      embed=lambda meshes: seen.extend(meshes) or VECTORS[None]
    )

    def __init__(self):
      """Opens nothing."""

  ball = trimesh.creation.icosphere(3)
  mesh = make_mesh(ball.vertices, ball.faces)
  query = Reader().embed(mesh)
  assert seen[0].face_count <= 100 < mesh.face_count
  assert query.mesh is seen[0]
  assert query.mesh.radius == mesh.radius
