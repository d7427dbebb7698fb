"""What is one shape is found, however it was written, and nothing else is."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
import trimesh

from dr3d.database.catalogue import Model
from dr3d.database.duplicate import find_groups, judge
from dr3d.database.processed_model import read_processed_model
from dr3d.mesh import make_mesh
from dr3d.registration.surface import (
  Fit,
  closest_on_triangles,
  compare,
  make_cloud,
)

pytestmark = pytest.mark.fast


def make_part(pin=12.0, length=40.0):
  """A bracket without any symmetry, welded of four bodies; millimetres."""
  plate = trimesh.creation.box([length, 20, 4])
  post = trimesh.creation.cylinder(5, pin, sections=40)
  post.apply_translation([12, 4, pin / 2])
  wall = trimesh.creation.box([4, 20, 16])
  wall.apply_translation([2 - length / 2, 0, 8])
  key = trimesh.creation.box([8, 4, 7])
  key.apply_translation([0, -7, 4])
  return trimesh.util.concatenate([plate, post, wall, key])


def turn(mesh, seed):
  rng = np.random.default_rng(seed)
  mesh = mesh.copy()
  mesh.apply_transform(
    trimesh.transformations.random_rotation_matrix(rng.random(3))
  )
  mesh.apply_translation(rng.uniform(-100, 100, 3))
  return mesh


def mirror(mesh):
  mesh = mesh.copy()
  mesh.vertices[:, 0] *= -1
  mesh.invert()
  return mesh


def write(folder, name, mesh, **options):
  data = mesh.export(file_type=name.rpartition(".")[2], **options)
  path = folder / name
  path.write_bytes(data.encode() if isinstance(data, str) else data)


def write_matrix(folder):
  """Writes one part in every way of the matrix; returns the relations."""
  part = make_part()
  # Coordinates that float32 holds, so that what is written is what is read.
  part.vertices = np.float32(part.vertices)
  write(folder, "0.stl", part)
  shuffled = part.copy()
  rng = np.random.default_rng(0)
  shuffled.faces = np.roll(part.faces[rng.permutation(len(part.faces))], 1, 1)
  write(folder, "1 exported again.stl", shuffled)
  text = part.export(file_type="stl_ascii").replace("solid", "solid part")
  (folder / "2 as text.stl").write_text(text)
  write(folder, "3 other format.ply", part)
  write(folder, "3 other format.obj", part, digits=12)
  write(folder, "3 other format.3mf", trimesh.Scene([part]))
  moved = part.copy()
  moved.apply_translation([200, 100, 0])
  write(folder, "4 moved on the plate.stl", moved)
  write(folder, "5 turned.stl", turn(part, 1))
  write(folder, "6 remeshed.stl", turn(part.subdivide(), 2))
  fine = part.subdivide().subdivide()
  write(
    folder,
    "7 decimated.stl",
    fine.simplify_quadric_decimation(face_count=len(fine.faces) // 4),
  )
  extra = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]])
  extra = trimesh.util.concatenate([part, extra])
  write(folder, "8 to be repaired.stl", extra)
  for factor in (25.4, 0.5):
    scaled = turn(part, 3)
    scaled.apply_scale(factor)
    write(folder, f"9 scaled {factor}.stl", scaled)
  write(folder, "a mirrored.stl", mirror(turn(part, 4)))
  metres = part.copy()
  metres.apply_scale(0.001)
  bodies = trimesh.Scene(list(metres.split(only_watertight=False)))
  write(folder, "b several bodies.glb", bodies)
  write(folder, "c longer pin.stl", make_part(pin=14.5))
  write(folder, "d longer plate.stl", make_part(length=41.5))
  write(folder, "e other part.stl", trimesh.creation.box([40, 20, 4]))
  return {
    "0.stl": "",
    "1 exported again.stl": "identical",
    "2 as text.stl": ("identical", "same"),
    "3 other format.ply": "identical",
    "3 other format.obj": ("identical", "same"),
    "3 other format.3mf": ("identical", "same"),
    "4 moved on the plate.stl": "same",
    "5 turned.stl": "same",
    "6 remeshed.stl": "same",
    "7 decimated.stl": "same",
    "8 to be repaired.stl": "same",
    "9 scaled 25.4.stl": "scaled",
    "9 scaled 0.5.stl": "scaled",
    "a mirrored.stl": "mirrored",
    "b several bodies.glb": ("identical", "same"),
    "c longer pin.stl": "similar",
    "d longer plate.stl": "similar",
    "e other part.stl": None,
  }


def read_models(folder, *, face_budget=1024):
  models, meshes = [], {}
  for path in sorted(folder.iterdir()):
    processed = read_processed_model(path, face_budget=face_budget)
    mesh = processed.mesh
    meshes[path.name] = mesh
    models.append(
      Model(
        path.name,
        "",
        "",
        "indexed",
        "",
        "",
        geometry=processed.geometry,
        area=processed.area,
        volume=processed.volume,
        radius=mesh.radius,
        extent=tuple(mesh.extent),
        face_count=mesh.face_count,
      )
    )
  return models, meshes


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
  folder = tmp_path_factory.mktemp("matrix")
  return write_matrix(folder), *read_models(folder)


def test_each_changed_copy_is_in_the_group_of_its_strongest_relation(matrix):
  expected, models, meshes = matrix
  groups = find_groups(models, meshes.get)
  assert [group.relation for group in groups] == [
    "identical", "same", "scaled", "mirrored", "similar",
  ]  # fmt: skip
  found = {}
  for group in groups:
    assert group.members[0].model == "0.stl"
    for member in group.members[1:]:
      assert member.model not in found
      assert (member.relation, member.to) == (group.relation, "0.stl")
      found[member.model] = member
  for name, relation in expected.items():
    if relation is None:
      assert name not in found
    elif relation:
      allowed = relation if isinstance(relation, tuple) else (relation,)
      assert found[name].relation in allowed, (name, found[name])
  assert found["9 scaled 25.4.stl"].scale == pytest.approx(25.4, rel=1e-3)
  assert found["9 scaled 0.5.stl"].scale == pytest.approx(0.5, rel=1e-3)
  assert found["a mirrored.stl"].mirrored


def test_family_is_sorted_by_size_and_keeps_copies_of_its_members_apart(matrix):
  _, models, meshes = matrix
  chosen = [m for m in models if m.name[0] in "09"]
  copy = dataclasses.replace(chosen[-1], name="z copy")
  groups = find_groups([*chosen, copy], lambda name: meshes.get(name))
  copies, family = groups
  assert [m.model for m in copies.members] == [chosen[-1].name, "z copy"]
  assert family.relation == "scaled"
  assert [m.scale for m in family.members[1:]] == sorted(
    m.scale for m in family.members[1:]
  )


def test_file_that_was_added_twice_is_identical_without_a_hash_of_triangles():
  one = Model("a", "", "digest", "indexed", "", "", radius=1.0, face_count=4)
  two = dataclasses.replace(one, name="b")
  (group,) = find_groups([one, two], lambda name: None)
  assert group.relation == "identical"


def test_models_that_differ_by_a_bit_are_not_identical(matrix):
  _, models, meshes = matrix
  groups = find_groups(models, meshes.get, weakest="identical")
  names = {member.model for group in groups for member in group.members}
  assert {"0.stl", "1 exported again.stl", "3 other format.ply"} <= names
  for word in ("moved", "turned", "meshed", "scaled", "mirror", "long", "rep"):
    assert not [name for name in names if word in name]
  a, b = models[0], dataclasses.replace(models[0], name="b", geometry="other")
  (group,) = find_groups([a, b], lambda name: meshes[a.name])
  assert [m.relation for m in group.members] == ["", "same"]


def test_models_that_differ_by_half_a_percent_are_similar():
  for k, measure in (
    (0.994, "extent"),
    (1.006, "area"),
    (1.01, "volume"),
  ):
    one = Model(
      "a", "", "", "indexed", "", "",
      radius=5.0, extent=(9.0, 3.0, 1.0), area=60.0, volume=20.0,
    )  # fmt: skip
    value = getattr(one, measure)
    other = (9.0, 3.0 * k, 1.0) if measure == "extent" else value * k
    two = dataclasses.replace(one, name="b", **{measure: other})
    assert judge(one, one, Fit(0.001, 0.002, mirrored=False)) == ("same", 1.0)
    assert judge(one, one, Fit(0.001, 0.002, mirrored=True))[0] == "mirrored"
    assert judge(one, two, Fit(0.001, 0.002, mirrored=False))[0] == "similar"
    assert judge(one, two, Fit(0.1, 0.2, mirrored=False))[0] == ""
  larger = dataclasses.replace(
    one, radius=10.0, extent=(18.0, 6.0, 2.0), area=240.0, volume=160.0
  )
  assert judge(larger, one, Fit(0.001, 0.002, mirrored=False)) == (
    "scaled", 2.0,
  )  # fmt: skip


def test_groups_do_not_depend_on_the_order_of_models(matrix):
  _, models, meshes = matrix
  assert find_groups(models[::-1], meshes.get) == find_groups(
    models, meshes.get
  )


def test_relations_weaker_than_asked_are_left_out(matrix):
  _, models, meshes = matrix
  groups = find_groups(models, meshes.get, weakest="same")
  assert [group.relation for group in groups] == ["identical", "same"]


def test_models_without_mesh_can_only_be_identical(matrix):
  _, models, _ = matrix
  groups = find_groups(models, lambda name: None)
  assert {member.relation for g in groups for member in g.members} == {
    "", "identical",
  }  # fmt: skip


def test_proposed_models_are_compared_despite_other_proportions(matrix):
  _, models, meshes = matrix
  long = [model for model in models if model.name in ("0.stl", "5 turned.stl")]
  odd = dataclasses.replace(long[1], extent=(90.0, 20.0, 10.0))
  assert find_groups([long[0], odd], meshes.get) == []
  (group,) = find_groups(
    [long[0], odd], meshes.get, proposals={odd.name: ["0.stl"]}
  )
  assert group.relation == "similar"


def test_closest_point_agrees_with_an_independent_formula():
  rng = np.random.default_rng(5)
  points, corners = rng.normal(size=(300, 3)), rng.normal(size=(300, 3, 3))
  found = closest_on_triangles(points, corners)
  grid = rng.dirichlet([0.5] * 3, size=4000)
  near = np.einsum("gk,tkx->tgx", grid, corners) - points[:, None, :]
  least = np.linalg.norm(near, axis=2).min(axis=1)
  distance = np.linalg.norm(found - points, axis=1)
  assert np.all(distance <= least + 1e-12)
  np.testing.assert_allclose(distance, least, atol=0.1)
  oracle = trimesh.triangles.closest_point(corners, points)
  np.testing.assert_allclose(found, oracle, atol=1e-12)


@pytest.mark.parametrize(
  "solid",
  [
    trimesh.creation.cylinder(1, 5, sections=64),
    trimesh.creation.box([1, 1, 1]),
    trimesh.creation.box([2, 2, 1]),
    trimesh.creation.cone(1, 3, sections=48),
    trimesh.creation.icosphere(3),
  ],
)
def test_symmetric_shapes_fit_in_every_pose_and_are_not_mirrored(solid):
  one = make_cloud(make_mesh(solid.vertices, solid.faces))
  for seed in range(3):
    turned = mirror(turn(solid, seed))
    fit = compare(one, make_cloud(make_mesh(turned.vertices, turned.faces)))
    assert fit.mean < 0.006
    assert not fit.mirrored


def test_duplicates_are_printed_as_table_json_and_page(
  matrix, tmp_path, monkeypatch
):
  from dr3d.cli import duplicates
  from dr3d.database import duplicate_page

  _, models, meshes = matrix
  groups = find_groups(models, meshes.get)
  text = duplicate_page.make_page("a <b>", groups, {"0.stl": b"PNG"})
  assert "a &lt;b&gt;" in text
  assert text.count("<img") == len(groups)  # the first of each
  assert "the mirror image of 0.stl" in text
  out = io.StringIO()
  monkeypatch.setattr(duplicates.sys, "stdout", out)
  duplicates.write_csv(groups)
  rows = list(csv.DictReader(io.StringIO(out.getvalue())))
  assert len(rows) == sum(len(group.members) for group in groups)
  assert rows[0]["model"] == "0.stl"
  assert json.loads(json.dumps(list(map(dataclasses.asdict, groups))))


def test_copies_to_remove_leave_one_model_of_each_shape():
  from dr3d.cli.duplicates import choose_copies
  from dr3d.cli.subcommand import UsageError
  from dr3d.database.duplicate import Group, Member

  groups = [
    Group("identical", (Member("a", ""), Member("b", "", "identical", "a"))),
    Group("identical", (Member("c", ""), Member("d", "", "identical", "c"))),
    Group("same", (Member("a", ""), Member("c", "", "same", "a"))),
  ]
  assert choose_copies(groups[:2], keep=()) == {"b": "a", "d": "c"}
  assert choose_copies(groups, keep=()) == {"b": "a", "c": "a", "d": "a"}
  assert choose_copies(groups, keep=["d"]) == {"a": "d", "b": "d", "c": "d"}
  assert choose_copies(groups, keep=["b", "d"]) == {"a": "b", "c": "b"}
  with pytest.raises(UsageError, match="not in a group"):
    choose_copies(groups, keep=["e"])
