"""Meshes are clean, of unit size, and keep their original size."""

import pathlib

import numpy as np
import pytest
import trimesh

from dr3d.data.scan import random_rotation
from dr3d.error import MeshError
from dr3d.mesh import BUCKETS, bucket_size, load_mesh, make_mesh

pytestmark = pytest.mark.fast

PARTS = pathlib.Path(__file__).parents[3] / "shared" / "data" / "parts"


def arrays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
  return np.array(mesh.vertices), np.array(mesh.faces)


def soup(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
  """The same triangles without shared vertices."""
  vertices = np.asarray(mesh.triangles).reshape(-1, 3)
  return vertices, np.arange(len(vertices)).reshape(-1, 3)


def test_cube_is_moved_and_scaled_to_the_unit_sphere():
  side, shift = 20.0, np.array([100.0, -50.0, 7.0])
  vertices, faces = arrays(trimesh.creation.box([side] * 3))
  mesh = make_mesh(vertices + shift, faces)
  assert mesh.radius == pytest.approx(np.sqrt(3) / 2 * side)
  np.testing.assert_allclose(mesh.extent, [side] * 3, rtol=1e-4)
  np.testing.assert_allclose(
    np.linalg.norm(mesh.vertices, axis=1), 1, atol=1e-6
  )
  restored = mesh.vertices * mesh.radius + shift
  np.testing.assert_allclose(
    restored[mesh.faces], (vertices + shift)[faces], rtol=1e-5
  )


def test_fields_have_the_documented_types_and_shapes():
  mesh = make_mesh(*arrays(trimesh.creation.icosphere(subdivisions=1)))
  assert mesh.vertices.dtype == np.float32
  assert mesh.faces.dtype == np.int32
  assert mesh.normals.dtype == np.float32
  assert mesh.normals.shape == (80, 3, 3)
  assert mesh.frame.dtype == np.float32
  assert mesh.frame.shape == (3, 3)
  assert mesh.moments.dtype == np.float32
  assert mesh.moments.shape == (3,)
  assert isinstance(mesh.radius, float)
  assert mesh.extent.dtype == np.float64
  assert mesh.face_count == 80


def test_triangle_soup_is_welded():
  sphere = trimesh.creation.icosphere(subdivisions=2)
  mesh = make_mesh(*soup(sphere))
  assert len(mesh.vertices) == len(sphere.vertices)
  assert len(mesh.faces) == len(sphere.faces)


def test_only_cracks_below_a_millionth_of_the_size_are_welded():
  sphere = trimesh.creation.icosphere(subdivisions=2)
  vertices, faces = soup(sphere)
  rng = np.random.default_rng(0)
  close = vertices + rng.uniform(-1e-7, 1e-7, vertices.shape)
  assert len(make_mesh(close, faces).vertices) == len(sphere.vertices)
  apart = vertices + rng.uniform(-1e-3, 1e-3, vertices.shape)
  assert len(make_mesh(apart, faces).vertices) == len(vertices)


def test_mesh_far_from_origin_keeps_its_shape():
  sphere = trimesh.creation.icosphere(subdivisions=2)
  vertices, faces = arrays(sphere)
  mesh = make_mesh(vertices + 1e6, faces)
  assert mesh.radius == pytest.approx(1, rel=1e-6)
  np.testing.assert_allclose(
    np.linalg.norm(mesh.vertices, axis=1), 1, atol=1e-5
  )


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e9, 1e30, 1e150])
def test_mesh_of_any_scale_has_its_radius(scale):
  mesh = make_mesh(
    trimesh.creation.box().vertices * scale, trimesh.creation.box().faces
  )
  assert mesh.radius == pytest.approx(scale * np.sqrt(3) / 2)
  assert mesh.face_count == 12


def test_degenerate_faces_are_dropped():
  vertices, faces = arrays(trimesh.creation.box())
  spare = np.array([[np.nan] * 3, [50, 50, 50]])  # no face uses them
  middle = vertices[[faces[0, 0], faces[0, 1]]].mean(axis=0)
  all_vertices = np.concatenate([vertices, spare, middle[None]])
  extra = np.array(
    [
      [faces[0, 0], faces[0, 0], faces[0, 1]],  # a repeated vertex
      [faces[0, 0], faces[0, 1], len(all_vertices) - 1],  # collinear
      faces[3],  # duplicate
      faces[4][[1, 2, 0]],  # duplicate, other first corner
      faces[5][::-1],  # duplicate, opposite winding
    ]
  )
  mesh = make_mesh(all_vertices, np.concatenate([faces, extra]))
  np.testing.assert_array_equal(mesh.faces, make_mesh(vertices, faces).faces)
  assert len(mesh.vertices) == 8
  assert mesh.radius == pytest.approx(np.sqrt(3) / 2)


def test_flat_sheet_is_a_mesh():
  vertices = np.array([[0, 0, 5], [4, 0, 5], [4, 3, 5], [0, 3, 5]], float)
  mesh = make_mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
  assert mesh.radius == pytest.approx(2.5)
  np.testing.assert_allclose(mesh.extent, [4, 3, 0], atol=1e-9)
  np.testing.assert_allclose(
    mesh.normals, np.full((2, 3, 3), [0, 0, 1]), atol=1e-6
  )


def test_measures_do_not_depend_on_the_face_budget():
  body = trimesh.creation.icosphere(subdivisions=4)
  vertices = body.vertices * [3, 2, 1]
  whole = make_mesh(vertices, body.faces)
  coarse = make_mesh(vertices, body.faces, face_budget=40)
  assert coarse.face_count <= 40
  assert coarse.radius == whole.radius
  np.testing.assert_array_equal(coarse.extent, whole.extent)
  np.testing.assert_array_equal(coarse.frame, whole.frame)
  assert np.linalg.norm(coarse.vertices, axis=1).max() <= 1 + 1e-6
  assert whole.radius == pytest.approx(3, rel=1e-9)


def test_pose_size_and_moments_do_not_depend_on_orientation():
  points = [[0, 0, 0], [8, 0, 0], [0, 4, 0], [0, 0, 1.5], [6, 1, 1]]
  vertices, faces = arrays(trimesh.convex.convex_hull(np.array(points, float)))
  first = make_mesh(vertices, faces)
  pose = first.vertices @ first.frame.T
  rng = np.random.default_rng(3)
  for _ in range(10):
    turned = make_mesh(
      vertices @ random_rotation(rng).T + rng.normal(size=3), faces
    )
    np.testing.assert_allclose(
      turned.vertices @ turned.frame.T, pose, atol=1e-5
    )
    np.testing.assert_allclose(turned.extent, first.extent, rtol=1e-6)
    np.testing.assert_allclose(turned.moments, first.moments, rtol=1e-5)
    assert turned.radius == pytest.approx(first.radius, rel=1e-9)


def test_same_file_gives_the_same_mesh(tmp_path):
  path = tmp_path / "torus.stl"
  trimesh.creation.torus(3, 1, major_sections=80, minor_sections=40).export(
    path
  )
  one, two = load_mesh(path), load_mesh(str(path))
  assert 1900 < one.face_count <= 2048
  np.testing.assert_array_equal(one.vertices, two.vertices)
  np.testing.assert_array_equal(one.faces, two.faces)
  np.testing.assert_array_equal(one.normals, two.normals)
  assert load_mesh(path, face_budget=None).face_count == 6400
  assert load_mesh(path, face_budget=200).face_count <= 200


@pytest.mark.parametrize(
  ("vertices", "faces", "reason"),
  [
    (np.eye(3), np.zeros((0, 3), int), "has no faces"),
    (np.eye(3), np.array([[0, 1, 3]]), "vertex number 3"),
    (np.eye(3), np.array([[0, 1, -1]]), "vertex number -1"),
    (np.eye(3), np.array([[0.0, 1, 2]]), "not integers"),
    (np.eye(3), np.array([[0, 1, 2, 0]]), r"faces of shape \(1, 4\)"),
    (np.eye(3)[:, :2], np.array([[0, 1, 2]]), r"vertices of shape \(3, 2\)"),
    (
      np.full((3, 3), np.inf),
      np.array([[0, 1, 2]]),
      "3 vertices with infinite",
    ),
    (np.zeros((3, 3)), np.array([[0, 1, 2]]), "has no size"),
    (np.ones((3, 1)) * np.arange(3), np.array([[0, 1, 2]]), "has no size"),
    (np.diag([1, 2, 3])[:2], np.array([[0, 1, 1]]), "no face with an area"),
  ],
)
def test_invalid_arrays_raise(vertices, faces, reason):
  with pytest.raises(MeshError, match=f"^the mesh .*{reason}"):
    make_mesh(vertices, faces)


def test_face_budget_below_four_raises(tmp_path):
  with pytest.raises(ValueError, match="at least 4, not 3"):
    make_mesh(np.eye(3), np.array([[0, 1, 2]]), face_budget=3)
  with pytest.raises(ValueError, match="at least 4, not 0"):
    load_mesh(tmp_path / "any.stl", face_budget=0)


def test_bucket_is_the_smallest_that_holds_the_faces():
  assert [bucket_size(n) for n in (1, 256, 257, 1024, 65536)] == [
    256, 256, 1024, 1024, 65536,
  ]  # fmt: skip
  with pytest.raises(ValueError, match=r"at most 65536 faces.*not 65537"):
    bucket_size(BUCKETS[-1] + 1)


@pytest.mark.skipif(not PARTS.is_dir(), reason="needs the parts beside it")
def test_real_parts_keep_their_sizes():
  bar = "flat_bar/Flat_Bar_110x12_EN10058_S235JR.ply"
  np.testing.assert_allclose(load_mesh(PARTS / bar).extent, [110, 50, 12])
  chip = load_mesh(PARTS / "qfp" / "LQFP-64_7x7mm_Pitch0.4mm.ply")
  assert 1000 < chip.face_count <= 2048
  np.testing.assert_allclose(chip.extent[0], chip.extent[1], rtol=1e-4)


def test_notebook_shows_a_picture_with_faces_and_size():
  mesh = make_mesh(*arrays(trimesh.creation.box([3, 2, 1])))
  assert mesh._repr_png_().startswith(b"\x89PNG")
  assert "data:image/png;base64," in mesh._repr_html_()
  assert "12 faces, 3 x 2 x 1" in mesh._repr_html_()
  assert "array" not in repr(mesh)


def test_debris_of_a_scan_is_dropped_before_it_is_framed():
  ball = trimesh.creation.icosphere(subdivisions=3)
  flake = np.array([[2.0, 0, 0], [2.02, 0, 0], [2, 0.02, 0]])
  vertices = np.concatenate([ball.vertices, flake])
  faces = np.concatenate([ball.faces, [len(ball.vertices) + np.arange(3)]])
  mesh = make_mesh(vertices, faces)
  assert mesh.debris == 1
  assert mesh.radius == pytest.approx(1, abs=1e-3)
  near = vertices - [[0.97, 0, 0]] * (np.arange(len(vertices)) >= 642)[:, None]
  assert make_mesh(near, faces).debris == 0  # may belong to the surface


def test_bodies_of_a_clean_model_are_no_debris():
  ball = trimesh.creation.icosphere(subdivisions=3)
  leg = trimesh.creation.box([0.1, 0.1, 0.1])
  leg.apply_translation([2, 0, 0])
  both = trimesh.util.concatenate([ball, leg])
  mesh = make_mesh(both.vertices, both.faces)
  assert mesh.debris == 0
  assert mesh.radius > 1.4
