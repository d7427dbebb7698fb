"""A simulated scan is noisy, has holes and few faces, and keeps the shape."""

import numpy as np
import pytest
import scipy.spatial
import scipy.stats
import trimesh

from dr3d.data.scan import random_rotation, refine, simulate_scan
from dr3d.error import MeshError

pytestmark = pytest.mark.fast


def box(*sides: float) -> tuple[np.ndarray, np.ndarray]:
  body = trimesh.creation.box(sides)
  return np.array(body.vertices), np.array(body.faces)


def mesh(geometry) -> trimesh.Trimesh:
  return trimesh.Trimesh(*geometry, process=False)


def test_random_rotations_are_uniform_on_so3():
  rng = np.random.default_rng(0)
  turns = np.array([random_rotation(rng) for _ in range(4000)])
  products = turns @ turns.transpose(0, 2, 1)
  np.testing.assert_allclose(
    products, np.broadcast_to(np.eye(3), products.shape), atol=1e-12
  )
  np.testing.assert_allclose(np.linalg.det(turns), 1)
  # Every entry is uniform on [-1, 1]; angles have the density (1 - cos t) / π.
  for i in range(3):
    for j in range(3):
      spread = scipy.stats.kstest(turns[:, i, j], "uniform", args=(-1, 2))
      assert spread.pvalue > 1e-3
  angle = np.arccos((np.trace(turns, axis1=1, axis2=2) - 1) / 2)
  law = scipy.stats.kstest(angle, lambda t: (t - np.sin(t)) / np.pi)
  assert law.pvalue > 1e-3


def test_refined_surface_is_closed_with_short_edges():
  geometry = refine(*box(1, 0.6, 0.05), edge=0.1, face_limit=10**6)
  fine = mesh(geometry)
  assert fine.is_watertight
  assert fine.volume == pytest.approx(0.03)
  assert fine.area == pytest.approx(mesh(box(1, 0.6, 0.05)).area)
  assert fine.edges_unique_length.max() <= 0.1


def test_refinement_stops_at_the_face_limit():
  _, faces = refine(*box(1, 1, 1), edge=1e-4, face_limit=5000)
  assert 1000 < len(faces) <= 5000


def test_scan_without_noise_and_holes_is_the_part():
  vertices, faces = simulate_scan(
    *box(3, 2, 1),
    rng=np.random.default_rng(0), noise=0, holes=0, faces_left=1,
  )  # fmt: skip
  scan = mesh((vertices, faces))
  assert len(faces) > 500
  assert scan.is_watertight
  assert scan.volume == pytest.approx(6)


def test_noise_has_the_given_deviation_along_normals():
  sphere = trimesh.creation.icosphere(subdivisions=4, radius=50)
  vertices, _ = simulate_scan(
    sphere.vertices, sphere.faces,
    rng=np.random.default_rng(1), noise=0.01, holes=0, faces_left=1,
  )  # fmt: skip
  shift = np.linalg.norm(vertices, axis=1) - 50
  assert shift.std() == pytest.approx(0.5, rel=0.1)
  assert abs(shift.mean()) < 0.05


def test_holes_have_the_given_size_and_number():
  sphere = trimesh.creation.icosphere(subdivisions=5)
  vertices, faces = simulate_scan(
    sphere.vertices, sphere.faces,
    rng=np.random.default_rng(2), noise=0, holes=4, hole_radius=0.2,
    faces_left=1,
  )  # fmt: skip
  scan = mesh((vertices, faces))
  loss = 1 - scan.area / sphere.area
  assert loss == pytest.approx(4 * 0.2**2 / 4, rel=0.15)  # caps: π h² each
  rims = trimesh.graph.connected_components(
    scan.edges_sorted[trimesh.grouping.group_rows(scan.edges_sorted, 1)]
  )
  assert len(rims) == 4


def test_hole_in_thin_plate_removes_one_side_only():
  plate = box(2, 2, 0.02)
  vertices, faces = simulate_scan(
    *plate,
    rng=np.random.default_rng(3), noise=0, holes=1, hole_radius=0.3,
    faces_left=1,
  )  # fmt: skip
  scan = mesh((vertices, faces))
  up = scan.area_faces[scan.face_normals[:, 2] > 0.9].sum()
  down = scan.area_faces[scan.face_normals[:, 2] < -0.9].sum()
  assert min(up, down) < 3.9
  assert max(up, down) == pytest.approx(4)


@pytest.mark.parametrize("sides", [(1, 1, 1), (110, 50, 12), (40, 1, 1)])
def test_scan_of_box_of_twelve_faces_stays_close_to_it(sides):
  geometry = box(*sides)
  radius = np.linalg.norm(sides) / 2
  for seed in range(3):
    rng = np.random.default_rng(seed)
    vertices, faces = simulate_scan(*geometry, rng=rng)
    assert len(faces) > 50
    assert faces.min() == 0
    assert faces.max() == len(vertices) - 1
    inside = np.abs(vertices) - np.array(sides) / 2
    assert inside.max() < 0.05 * radius
    # no part of the box is missing that is larger than a hole
    whole = trimesh.sample.sample_surface(mesh(geometry), 2000, seed=0)[0]
    scan = trimesh.sample.sample_surface(mesh((vertices, faces)), 20000, seed=0)
    gap = scipy.spatial.cKDTree(scan[0]).query(whole)[0]
    assert gap.max() < 0.4 * radius


def test_scan_depends_on_the_seed():
  part = box(3, 2, 1)
  one = simulate_scan(*part, rng=np.random.default_rng(5))
  two = simulate_scan(*part, rng=np.random.default_rng(5))
  np.testing.assert_array_equal(one[0], two[0])
  np.testing.assert_array_equal(one[1], two[1])
  other = simulate_scan(*part, rng=np.random.default_rng(6))
  assert other[0].shape != one[0].shape or not np.allclose(other[0], one[0])


def test_scan_has_at_least_one_face():
  vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
  rng = np.random.default_rng(7)
  for _ in range(5):
    _, faces = simulate_scan(
      vertices, np.array([[0, 1, 2]]),
      rng=rng, holes=20, hole_radius=3, faces_left=0.001,
    )  # fmt: skip
    assert len(faces) > 0


def test_invalid_amounts_or_arrays_raise():
  rng = np.random.default_rng(8)
  with pytest.raises(ValueError, match="must not be negative"):
    simulate_scan(*box(1, 1, 1), rng=rng, noise=-1)
  with pytest.raises(ValueError, match=r"lie in \(0, 1\]"):
    simulate_scan(*box(1, 1, 1), rng=rng, faces_left=0)
  with pytest.raises(MeshError, match="has no faces"):
    simulate_scan(np.eye(3), np.zeros((0, 3), int), rng=rng)
