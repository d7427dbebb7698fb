"""Files taken apart into their bodies."""

import numpy as np
import pytest
import trimesh
from support import threemf_files
from support.mesh_files import export

from dr3d.error import MeshError
from dr3d.mesh.io import body
from dr3d.mesh.io.body import split_bodies, split_file
from dr3d.mesh.io.raw import RawMesh
from dr3d.mesh.io.reader import read_raw
from dr3d.mesh.io.stl import read_stl

pytestmark = pytest.mark.fast

BLOCK = trimesh.creation.box((10, 20, 30))
ROD = trimesh.creation.cylinder(3, 40, sections=12)


def at(shape, x):
  return shape.copy().apply_translation((x, 0, 0))


def write(path, data):
  path.write_bytes(data)
  return path


def sizes(bodies):
  return [
    tuple(np.round(np.ptp(vertices, axis=0), 3)) for vertices, _ in bodies
  ]


def test_pieces_of_a_surface_are_bodies_and_moved_copies_count_once(tmp_path):
  whole = trimesh.util.concatenate([BLOCK, at(ROD, 50), at(BLOCK, 100)])
  bodies = split_bodies(
    read_raw(write(tmp_path / "a.stl", export(whole, "stl")))
  )
  assert sorted(len(faces) for _, faces in bodies) == [12, len(ROD.faces)]
  assert (10, 20, 30) in sizes(bodies)


def test_single_body_has_no_parts(tmp_path):
  path = write(tmp_path / "a.stl", export(BLOCK, "stl"))
  assert split_bodies(read_raw(path)) == []
  assert split_file(path) == []


def test_void_belongs_to_the_solid_around_it():
  void = trimesh.creation.box((2, 2, 2))
  void.invert()
  inside = trimesh.creation.box((1, 1, 1))  # a loose part in the void
  whole = trimesh.util.concatenate([BLOCK, void, inside])
  bodies = split_bodies(RawMesh(whole.vertices, whole.faces))
  assert [len(faces) for _, faces in bodies] == [24, 12]


def test_objects_of_3mf_are_bodies_however_often_they_are_placed(tmp_path):
  objects = "".join(
    f'<object id="{n}" type="model">'
    f"{threemf_files.mesh(shape.vertices, shape.faces)}</object>"
    for n, shape in ((1, BLOCK), (2, ROD))
  )
  turn = [0, 1, 0, -1, 0, 0, 0, 0, 1, 90, 0, 0]
  places = [
    threemf_files.item(1),
    threemf_files.item(2, at=(5, 0, 0)),  # it touches the block
    threemf_files.item(1, matrix=turn),
  ]
  data = threemf_files.package(
    threemf_files.model(objects, "".join(places), unit="inch")
  )
  path = write(tmp_path / "a.3mf", data)
  bodies = split_file(path)
  assert len(bodies) == 2
  found = {
    len(read_stl(each, path).faces): read_stl(each, path) for each in bodies
  }
  extent = np.sort(np.ptp(found[12].vertices, axis=0))
  np.testing.assert_allclose(extent, np.array([10, 20, 30]) * 25.4, rtol=1e-6)


def test_copies_of_one_object_give_it_once(tmp_path):
  mesh = threemf_files.mesh(BLOCK.vertices, BLOCK.faces)
  places = [threemf_files.item(1, at=(x, 0, 0)) for x in (0, 50, 100)]
  data = threemf_files.package(
    threemf_files.model(
      f'<object id="1" type="model">{mesh}</object>', "".join(places)
    )
  )
  bodies = split_bodies(read_raw(write(tmp_path / "a.3mf", data)))
  assert sizes(bodies) == [(10, 20, 30)]


def test_solids_of_step_are_bodies(tmp_path):
  pytest.importorskip("OCP")
  from OCP.BRep import BRep_Builder
  from OCP.TopoDS import TopoDS_Compound
  from support import brep_files

  plate, holed = brep_files.solid(), brep_files.solid(hole=2.0)
  pair = brep_files.assembly(plate, [(0, 0, 0), (100, 0, 0)])
  builder, whole = BRep_Builder(), TopoDS_Compound()
  builder.MakeCompound(whole)
  builder.Add(whole, pair)
  builder.Add(whole, holed)  # in the place of the first plate: they overlap
  path = tmp_path / "a.step"
  brep_files.write_step(whole, path)
  raw = read_raw(path)
  bodies = split_bodies(raw)
  assert sizes(bodies) == [(10, 20, 30)] * 2
  assert len(bodies[0][1]) == 12 < len(bodies[1][1])
  assert sum(size for _, size in raw.runs) == len(raw.faces)


def test_too_many_bodies_raise_with_the_name_of_the_file(tmp_path, monkeypatch):
  monkeypatch.setattr(body, "BODY_LIMIT", 2)
  whole = trimesh.util.concatenate([at(BLOCK, 50 * i) for i in range(3)])
  path = write(tmp_path / "a.stl", export(whole, "stl"))
  with pytest.raises(MeshError, match=r"a\.stl has 3 bodies, more than the 2"):
    split_file(path)
