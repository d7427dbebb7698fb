"""What laying matches upon a query tells about its label."""

import numpy as np
import trimesh

from dr3d.mesh import comparison, make_mesh
from dr3d.mesh.comparison import Fit
from dr3d.mesh.packing import pack_mesh, unpack_mesh
from dr3d.search import overlay
from dr3d.search.query import Answer, Match
from dr3d.search.relation import FAR, NEAR
from dr3d.search.vote import RIVALS, Prediction


def lay(labels, distances, *, mirrored=False, label="bolt"):
  """The prediction after matches of such labels were laid upon the query."""
  answer = Answer(
    Prediction(label, 1.0, 0.6, RIVALS),
    tuple(
      Match(i + 1, f"{i}", label, 0.9, 1, 1, 1)
      for i, label in enumerate(labels)
    ),
  )
  fits = {
    f"{i}": Fit(distance, 2 * distance, mirrored, 2 * distance)
    for i, distance in enumerate(distances)
  }
  return overlay.complete(answer, fits).prediction


def test_the_very_shape_settles_the_label():
  assert lay(["bolt", "nut"], [0.001, 0.02]) == Prediction("bolt", 1.0, 1.0)
  assert lay(["bolt", "bolt"], [0.001, 0.001]).reliable
  in_doubt = Prediction("bolt", 1.0, 0.6, RIVALS)
  assert lay(["bolt", "nut"], [0.02, 0.02]) == in_doubt  # similar ones
  assert lay(["bolt", "nut"], [0.001, 0.002]) == in_doubt  # two of one shape
  assert lay(["nut", "bolt"], [0.001, 0.02]) == in_doubt  # of another label
  assert lay(["bolt", "nut"], [0.001, 0.02], mirrored=True) == in_doubt
  assert lay(["bolt"], []) == in_doubt  # was not laid upon it
  assert not lay(["", "nut"], [0.001, 0.02], label="").reliable


def make_box(*sides, seed=None):
  """A box; with a seed finely meshed, turned, and of another size."""
  box = trimesh.creation.box(sides)
  if seed is not None:
    rng = np.random.default_rng(seed)
    box = box.subdivide_to_size(max(sides) / 8)
    box.apply_transform(
      trimesh.transformations.random_rotation_matrix(rng.random(3))
    )
    box.apply_scale(3)
  return make_mesh(box.vertices, box.faces)


def fit(one, two):
  return comparison.compare(*map(comparison.make_cloud, (one, two)))


def test_one_shape_is_one_in_every_mesh_pose_and_size():
  for sides in ((1, 2, 3), (100, 3, 3), (10, 7, 0.05)):
    for seed in range(3):
      found = fit(make_box(*sides), make_box(*sides, seed=seed))
      assert overlay.is_same(found)


def test_what_is_thin_is_not_one_with_what_is_thinner():
  for one, two in (
    ((100, 1.5, 1.5), (100, 1.5, 0.8)),
    ((10, 7, 0.2), (10, 7, 0.3)),
    ((10, 7, 3), (10, 7.3, 3)),
  ):
    found = fit(make_box(*one), make_box(*two, seed=0))
    assert found.mean < 0.012
    assert found.sides > 0.02
    assert not overlay.is_same(found)
  # Distances alone do not tell the first two.
  found = fit(make_box(100, 1.5, 1.5), make_box(100, 1.5, 0.8))
  assert found.mean < NEAR
  assert found.far < FAR


def test_no_more_models_are_laid_than_settle_a_label(monkeypatch):
  box, cube, long = (
    pack_mesh(make_mesh(solid.vertices, solid.faces))
    for solid in map(trimesh.creation.box, ([1, 2, 3], [2, 2, 2], [1, 1, 9]))
  )
  laid = []

  def compare(one, two):
    laid.append(two)
    return comparison.compare(one, two)

  monkeypatch.setattr(overlay, "compare", compare)
  mesh = unpack_mesh(box)
  for models, settled, count in (
    ([("a", box), ("b", cube)], True, 2),
    ([("b", cube), ("a", box), ("a", long)], True, 3),
    ([("a", box), ("b", box)], False, 2),
    ([("a", cube), ("b", box), ("b", long)], False, 1),
    ([("b", box)], False, 0),
  ):
    laid.clear()
    assert overlay.settle_label(mesh, "a", models) == settled
    assert len(laid) == count


def test_many_labels_are_settled_in_processes_as_in_this_one():
  rng = np.random.default_rng(5)
  boxes = [trimesh.creation.box(rng.uniform(0.3, 1, 3)) for _ in range(12)]
  meshes = [make_mesh(box.vertices, box.faces) for box in boxes]
  packed = [("ab"[i % 2], pack_mesh(mesh)) for i, mesh in enumerate(meshes)]
  calls = [
    (mesh, "a", [packed[i], packed[(i + 1) % 12]])
    for i, mesh in enumerate(meshes)
  ]
  expected = [overlay.settle_label(*call) for call in calls]
  assert expected == [True, False] * 6
  calls[4] = (None, *calls[4][1:])  # fails
  expected[4] = False
  assert list(overlay.settle_each(calls, count=12)) == expected
