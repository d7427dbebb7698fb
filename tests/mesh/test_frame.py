"""The frame depends on the shape: not on pose, triangulation or holes."""

import numpy as np
import pytest
import trimesh

from dr3d.data.scan import random_rotation, simulate_scan
from dr3d.mesh.frame import principal_frame

pytestmark = pytest.mark.fast


def bracket() -> tuple[np.ndarray, np.ndarray]:
  """A solid without symmetry and with clearly different moments."""
  points = [[0, 0, 0], [8, 0, 0], [0, 4, 0], [0, 0, 1.5], [6, 1, 1], [1, 3, 1]]
  body = trimesh.convex.convex_hull(np.array(points, float))
  return np.asarray(body.vertices), np.asarray(body.faces)


def box(*sides: float) -> tuple[np.ndarray, np.ndarray]:
  body = trimesh.creation.box(sides)
  return np.asarray(body.vertices), np.asarray(body.faces)


def angles(one: np.ndarray, two: np.ndarray) -> np.ndarray:
  """Degrees between the rows of two frames, directions included."""
  return np.degrees(np.arccos(np.clip((one * two).sum(axis=1), -1, 1)))


def test_moments_of_box_equal_closed_form():
  # Mean of x² over the six faces of a box with sides a, b, c.
  a, b, c = 5.0, 3.0, 2.0
  frame, moments = principal_frame(*box(a, b, c))
  whole = 2 * (a * b + b * c + c * a)
  ends, walls = 2 * b * c, 2 * (a * b + a * c)
  first = (ends * a**2 / 4 + walls * a**2 / 12) / whole
  assert moments[0] == pytest.approx(first)
  np.testing.assert_allclose(np.abs(frame), np.eye(3), atol=1e-9)
  assert (np.diff(moments) < 0).all()


def test_frame_is_right_handed_and_rotates_with_the_shape():
  vertices, faces = bracket()
  frame, moments = principal_frame(vertices, faces)
  rng = np.random.default_rng(0)
  for _ in range(20):
    turn = random_rotation(rng)
    turned, same = principal_frame(
      vertices @ turn.T + rng.normal(size=3), faces
    )
    np.testing.assert_allclose(turned, frame @ turn.T, atol=1e-7)
    np.testing.assert_allclose(same, moments, rtol=1e-9)
    assert np.linalg.det(turned) == pytest.approx(1)


def test_frame_does_not_depend_on_triangulation():
  vertices, faces = bracket()
  frame, moments = principal_frame(vertices, faces)
  finer = trimesh.remesh.subdivide(vertices, faces, [0, 1, 2])
  finer = trimesh.remesh.subdivide(*finer, list(range(9)))
  again, same = principal_frame(*finer[:2])
  np.testing.assert_allclose(again, frame, atol=1e-7)
  np.testing.assert_allclose(same, moments, rtol=1e-9)


def test_frame_of_simulated_scan_is_within_two_degrees():
  vertices, faces = bracket()
  frame, _ = principal_frame(vertices, faces)
  rng = np.random.default_rng(1)
  for _ in range(10):
    turn = random_rotation(rng)
    scan, scan_faces = simulate_scan(vertices, faces, rng=rng)
    found, _ = principal_frame(scan @ turn.T, scan_faces)
    assert angles(found @ turn, frame).max() < 2


@pytest.mark.parametrize("sides", [(4, 4, 1), (6, 2, 2), (3, 3, 3)])
def test_equal_moments_give_the_axes_of_the_smallest_box(sides):
  vertices, faces = box(*sides)
  rng = np.random.default_rng(2)
  for _ in range(10):
    turned = vertices @ random_rotation(rng).T
    frame, _ = principal_frame(turned, faces)
    extent = np.ptp(turned @ frame.T, axis=0)
    np.testing.assert_allclose(sorted(extent), sorted(sides), rtol=1e-4)


def test_axis_points_to_the_longer_tail():
  cone = trimesh.creation.cone(radius=1, height=5)
  frame, _ = principal_frame(cone.vertices, cone.faces)
  np.testing.assert_allclose(frame[0], [0, 0, 1], atol=1e-6)


def test_open_end_of_symmetric_box_decides_the_axis_sign():
  # The hull is a plain box; only the surface shows that one end is open.
  vertices, faces = box(5, 3, 2)
  normal = np.cross(
    vertices[faces[:, 1]] - vertices[faces[:, 0]],
    vertices[faces[:, 2]] - vertices[faces[:, 0]],
  )
  frame, _ = principal_frame(vertices, faces[normal[:, 0] > -1e-9])
  assert frame[0, 0] == pytest.approx(1)


def test_flat_sheet_has_a_frame():
  vertices = np.array([[0, 0, 0], [4, 0, 0], [4, 1, 0], [0, 1, 0]], float)
  frame, moments = principal_frame(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
  np.testing.assert_allclose(np.abs(frame), np.eye(3), atol=1e-9)
  np.testing.assert_allclose(moments, [16 / 12, 1 / 12, 0], atol=1e-12)


def test_reduced_hull_gives_nearly_the_same_frame(monkeypatch):
  body = trimesh.creation.icosphere(subdivisions=4)
  vertices = body.vertices * [3, 2, 1] + [0.3, 0, 0] * body.vertices[:, :1] ** 2
  frame, moments = principal_frame(vertices, body.faces)
  monkeypatch.setattr("dr3d.mesh.frame._MAX_HULL_POINTS", 1000)
  rough, close = principal_frame(vertices, body.faces)
  assert angles(rough, frame).max() < 0.5
  np.testing.assert_allclose(close, moments, rtol=0.01)
