import numpy as np
import pytest
import trimesh

from dr3d.error import MeshError
from dr3d.mesh import make_mesh
from dr3d.shape.voxel import (
  SCALE,
  average_voxels,
  fill_voxels,
  grid_points,
  is_solid,
  place_mesh,
  shrink_voxels,
)

pytestmark = pytest.mark.fast


def test_ball_is_filled_to_half_a_voxel():
  ball = trimesh.creation.icosphere(4, radius=0.7)
  voxels = fill_voxels(ball.vertices, ball.faces)
  far = np.linalg.norm(grid_points(64), axis=1).reshape(voxels.shape)
  step = 2 / 64
  assert voxels[far < 0.7 - 1e-3].all()
  # A voxel is full if the surface passes it: half its diagonal at most.
  assert not voxels[far > 0.7 + 0.5 * 3**0.5 * step].any()


def test_voxels_equal_those_of_trimesh_but_for_its_roundings():
  shape = trimesh.creation.torus(0.6, 0.23)
  voxels = fill_voxels(shape.vertices, shape.faces)
  moved = trimesh.Trimesh((shape.vertices + 1) * 32 - 0.5, shape.faces)
  other = np.zeros_like(voxels)
  index = np.rint(moved.voxelized(1.0).fill().points).astype(int)
  other[tuple(index.T)] = True
  assert (voxels != other).sum() < 0.01 * other.sum()


def test_axes_of_the_array_are_x_y_z():
  box = trimesh.creation.box((0.2, 0.4, 0.6))
  box.apply_translation((0.5, 0.3, -0.4))
  index = np.argwhere(fill_voxels(box.vertices, box.faces))
  middle = (index.mean(axis=0) + 0.5) / 32 - 1
  np.testing.assert_allclose(middle, (0.5, 0.3, -0.4), atol=1 / 32)
  sides = np.ptp(index, axis=0) + 1
  assert (np.diff(sides) > 4).all()


def test_open_sheet_is_a_wall_without_an_inside():
  sheet = np.float64([[-0.5, -0.5, 0.01], [0.5, -0.5, 0.01], [0, 0.5, 0.01]])
  voxels = fill_voxels(sheet, np.array([[0, 1, 2]]))
  assert voxels.any((0, 1)).sum() == 1
  assert not is_solid(voxels)
  ball = trimesh.creation.icosphere(2, radius=0.5)
  assert is_solid(fill_voxels(ball.vertices, ball.faces))


def test_ball_with_a_missing_face_has_no_inside():
  ball = trimesh.creation.icosphere(1, radius=0.8)
  voxels = fill_voxels(ball.vertices, ball.faces[1:])
  assert not voxels[32, 32, 32]
  assert not is_solid(voxels)


def test_coarse_voxel_is_full_if_any_fine_one_is():
  fine = np.random.default_rng(0).random((2, 8, 8, 8)) > 0.9
  coarse = shrink_voxels(fine, resolution=4)
  for b, x, y, z in np.ndindex(coarse.shape):
    part = fine[b, 2 * x : 2 * x + 2, 2 * y : 2 * y + 2, 2 * z : 2 * z + 2]
    assert coarse[b, x, y, z] == part.any()
  with pytest.raises(ValueError, match="cannot be shrunk to 3"):
    shrink_voxels(fine, resolution=3)


def test_share_of_a_coarse_voxel_is_the_mean_of_its_fine_ones():
  fine = np.random.default_rng(0).random((2, 8, 8, 8)) > 0.5
  shares = average_voxels(fine, resolution=4)
  assert shares.dtype == np.float32
  for b, x, y, z in np.ndindex(shares.shape):
    part = fine[b, 2 * x : 2 * x + 2, 2 * y : 2 * y + 2, 2 * z : 2 * z + 2]
    assert shares[b, x, y, z] == part.mean()
  with pytest.raises(ValueError, match="cannot be shrunk to 3"):
    average_voxels(fine, resolution=3)


def test_placed_mesh_keeps_two_voxels_empty_in_the_principal_pose():
  bar = trimesh.creation.box((1, 2, 9))
  mesh = make_mesh(bar.vertices, bar.faces)
  placed = place_mesh(mesh)
  np.testing.assert_allclose(
    np.linalg.norm(placed, axis=1).max(), SCALE, rtol=1e-5
  )
  assert (np.diff(np.ptp(placed, axis=0)) < 0).all()
  voxels = fill_voxels(placed, mesh.faces)
  assert not voxels[:2].any()
  assert not voxels[-2:].any()
  np.testing.assert_allclose(
    place_mesh(mesh, pose="file") / SCALE, mesh.vertices
  )


def test_mesh_beyond_the_cube_raises():
  ball = trimesh.creation.icosphere(1, radius=1.5)
  with pytest.raises(MeshError, match="leaves the cube"):
    fill_voxels(ball.vertices, ball.faces)
