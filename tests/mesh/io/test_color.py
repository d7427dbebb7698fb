"""Colours of a file on the mesh that is made of it."""

import dataclasses

import numpy as np
import pytest
import trimesh
from PIL import Image

from dr3d.mesh import load_mesh
from dr3d.mesh.io.color import make_paint
from dr3d.mesh.mesh import scale_mesh, simplify_mesh
from dr3d.mesh.packing import pack_mesh, unpack_boxes, unpack_mesh
from dr3d.runtime import codec

pytestmark = pytest.mark.fast

RED, BLUE = [255, 0, 0, 255], [0, 0, 255, 255]


def make_ball():
  """Red above, blue below."""
  ball = trimesh.creation.icosphere(4, 7.0).apply_translation((3, 4, 50))
  above = ball.triangles_center[:, 2] > 50
  ball.visual.face_colors = np.where(above[:, None], RED, BLUE)
  return ball


def write(shape, path):
  shape.export(path)
  return path


def is_red(mesh):
  """Of corners well above the equator, and of those well below."""
  z = mesh.vertices[mesh.faces][..., 2]
  red = (mesh.colors == np.float32([1, 0, 0])).all(axis=-1)
  blue = (mesh.colors == np.float32([0, 0, 1])).all(axis=-1)
  return red[z > 0.2], blue[z < -0.2]


@pytest.mark.parametrize("suffix", ["ply", "glb", "obj"])
def test_colours_survive_cleaning_and_simplification(suffix, tmp_path):
  path = write(make_ball(), tmp_path / f"a.{suffix}")
  mesh = load_mesh(path, face_budget=300, appearance=True)
  assert mesh.face_count <= 300
  assert mesh.colors.dtype == np.float32
  red, blue = is_red(mesh)
  assert red.mean() > 0.99
  assert blue.mean() > 0.99
  np.testing.assert_array_equal(
    load_mesh(path, face_budget=300, appearance=True).colors, mesh.colors
  )


def test_sides_of_a_thin_sheet_keep_their_colours(tmp_path):
  sheet = trimesh.creation.box((10, 10, 0.01))
  above = sheet.face_normals[:, 2] > 0.5
  sheet.visual.face_colors = np.where(above[:, None], RED, BLUE)
  mesh = load_mesh(write(sheet, tmp_path / "a.ply"), appearance=True)
  up = mesh.normals[..., 2] > 0.9
  down = mesh.normals[..., 2] < -0.9
  assert up.sum() == down.sum() == 6
  np.testing.assert_allclose(mesh.colors[up], [[1, 0, 0]] * 6)
  np.testing.assert_allclose(mesh.colors[down], [[0, 0, 1]] * 6)


def test_picture_gives_corners_their_mean_colour(tmp_path):
  picture = np.zeros((8, 8, 3), np.uint8)
  picture[:, :4, 0] = 255  # the left half is red, the right one blue
  picture[:, 4:, 2] = 255
  grid = np.stack(np.meshgrid(np.arange(9), np.arange(9)), -1).reshape(-1, 2)
  faces = [
    face
    for i in range(8)
    for j in range(8)
    for a in [i * 9 + j]
    for face in ([a, a + 1, a + 10], [a, a + 10, a + 9])
  ]
  shape = trimesh.Trimesh(
    np.column_stack([grid, np.sin(grid[:, 0])]), faces, process=False
  )
  shape.visual = trimesh.visual.TextureVisuals(
    uv=grid / 8,
    material=trimesh.visual.material.PBRMaterial(
      baseColorTexture=Image.fromarray(picture)
    ),
  )
  mesh = load_mesh(write(shape, tmp_path / "a.glb"), appearance=True)
  x = mesh.vertices[mesh.faces][..., 0]
  middle = (x.min() + x.max()) / 2
  np.testing.assert_allclose(mesh.colors[x < middle - 0.2][:, 0], 1, atol=0.01)
  np.testing.assert_allclose(mesh.colors[x > middle + 0.2][:, 2], 1, atol=0.01)


def test_files_without_colours_have_none(tmp_path):
  ball = trimesh.creation.icosphere(1)
  for name in ("a.stl", "a.ply", "a.obj"):
    mesh = load_mesh(write(ball, tmp_path / name), appearance=True)
    assert mesh.colors is None
  assert load_mesh(write(make_ball(), tmp_path / "b.ply")).colors is None
  (tmp_path / "c.ply").write_text("nothing")
  assert make_paint(tmp_path / "c.ply") is None


def test_colours_elsewhere_are_not_taken(tmp_path):
  paint = make_paint(write(make_ball(), tmp_path / "a.ply"))
  corners = np.random.default_rng(0).normal(size=(5, 3, 3))
  assert paint(corners + np.array([3, 4, 50])) is not None
  assert paint(100 * corners) is None


def test_packed_and_sent_meshes_keep_every_colour(tmp_path):
  path = write(make_ball(), tmp_path / "a.ply")
  mesh = load_mesh(path, face_budget=300, appearance=True)
  plain = dataclasses.replace(mesh, colors=None)
  for sent in (unpack_mesh(pack_mesh(mesh)), codec.decode(codec.encode(mesh))):
    np.testing.assert_array_equal(sent.colors, mesh.colors)
    np.testing.assert_array_equal(sent.faces, mesh.faces)
  assert unpack_mesh(pack_mesh(plain)).colors is None
  for one, other in zip(
    unpack_boxes(pack_mesh(mesh)), unpack_boxes(pack_mesh(plain)), strict=True
  ):
    np.testing.assert_array_equal(one, other)
  with pytest.raises(codec.CodecError, match="inconsistent mesh"):
    codec.decode(
      codec.encode(dataclasses.replace(mesh, colors=mesh.colors[1:]))
    )


def test_simpler_and_scaled_meshes_keep_their_colours(tmp_path):
  path = write(make_ball(), tmp_path / "a.ply")
  mesh = load_mesh(path, face_budget=1000, appearance=True)
  simple = simplify_mesh(mesh, 200)
  assert simple.face_count <= 200
  red, blue = is_red(scale_mesh(simple, 2.0))
  assert red.mean() > 0.95
  assert blue.mean() > 0.95
