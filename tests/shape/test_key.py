import types

import numpy as np
import pytest
import trimesh
from support.shapes import make_model

from dr3d.database.model import INDEXED, Shape
from dr3d.error import EmptyError
from dr3d.mesh import make_mesh
from dr3d.mesh.packing import pack_mesh
from dr3d.shape import key


class Directory:
  """What `key` needs of a database."""

  def __init__(self, directory, meshes):
    self.directory, self.meshes, self.loads = directory, meshes, 0

  def models(self):
    return [
      types.SimpleNamespace(name=name, label=name[0], state=INDEXED)
      for name in self.meshes
    ]

  def load_shapes(self, names):
    return {name: Shape(pack_mesh(self.meshes[name]), b"") for name in names}


def make_box(*sides):
  box = trimesh.creation.box(sides)
  return make_mesh(box.vertices, box.faces)


def test_rotated_shape_finds_itself_and_codes_are_kept(tmp_path, monkeypatch):
  model = make_model()
  meshes = {"flat": make_box(8, 7, 2), "tall": make_box(3, 3.2, 8)}
  database = Directory(tmp_path, meshes)
  turned = make_box(7, 2, 8)
  poses = key.encode_poses(model, turned)
  matches = key.find_by_code(database, model, poses, k=5)
  assert [match.model for match in matches] == ["flat", "tall"]
  assert matches[0].distance < 0.05 * matches[1].distance
  _, codes = key.load_codes(database, model)

  def fail(*_):
    raise AssertionError("the codes were kept")

  monkeypatch.setattr(type(model), "encode", fail)
  names, again = key.load_codes(database, model)
  assert names == ["flat", "tall"]
  np.testing.assert_array_equal(again, codes)


def test_damaged_codes_are_made_again(tmp_path):
  database = Directory(tmp_path, {"flat": make_box(8, 7, 2)})
  _, codes = key.load_codes(database, make_model())
  (tmp_path / key.FILE).write_bytes(b"damaged")
  _, again = key.load_codes(database, make_model())
  np.testing.assert_array_equal(again, codes)


def test_empty_database_raises(tmp_path):
  with pytest.raises(EmptyError, match="no model to search"):
    key.load_codes(Directory(tmp_path, {}), make_model())
