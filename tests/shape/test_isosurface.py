import numpy as np
import pytest
import trimesh

from dr3d.error import MeshError
from dr3d.shape.isosurface import (
  find_surface,
  sample_dense,
  sample_refined,
)

pytestmark = pytest.mark.fast


def ball(points):
  return 0.6 - np.linalg.norm(points - [0.1, 0, 0], axis=-1)


def comb(points):
  """A plate with thin teeth, which a coarse grid sees in part."""
  x, y, z = np.abs(points.T)
  plate = np.minimum(0.7 - np.maximum(x, z), 0.15 - y)
  tooth = np.minimum(0.5 - np.maximum(x, y), 0.03 - np.abs(z - 0.4))
  return np.maximum(plate, tooth)


def test_surface_of_a_ball_has_its_volume_and_points_outwards():
  vertices, faces = find_surface(sample_dense(ball, resolution=64))
  surface = trimesh.Trimesh(vertices, faces)
  assert surface.is_watertight
  # The sign shows that the normals point outwards.
  assert surface.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=5e-3)
  np.testing.assert_allclose(surface.center_mass, (0.1, 0, 0), atol=1e-3)


@pytest.mark.parametrize("field", [ball, comb])
def test_refined_surface_is_that_of_the_dense_grid(field):
  calls = []

  def count(points):
    calls.append(len(points))
    return field(points)

  refined = find_surface(sample_refined(count, resolution=128))
  dense = find_surface(sample_dense(field, resolution=128))
  np.testing.assert_array_equal(refined[1], dense[1])
  np.testing.assert_allclose(refined[0], dense[0], atol=1e-6)
  assert sum(calls) < 0.35 * 128**3


def test_shape_that_leaves_the_grid_is_closed_at_the_border():
  values = sample_dense(lambda p: 0.5 - np.abs(p[:, 1]), resolution=16)
  surface = trimesh.Trimesh(*find_surface(values))
  assert surface.is_watertight
  assert surface.volume == pytest.approx(4, rel=0.06)


def test_voxels_to_mesh_to_voxels_are_the_same():
  from dr3d.shape.voxel import fill_voxels

  box = trimesh.creation.box((0.8, 0.5, 0.3))
  voxels = fill_voxels(box.vertices, box.faces, resolution=32)
  # Just below half a step, so that no vertex lies between two voxels.
  vertices, faces = find_surface(voxels.astype(float), level=0.51)
  again = fill_voxels(vertices, faces, resolution=32)
  np.testing.assert_array_equal(again, voxels)


def test_empty_shape_and_wrong_resolution_raise():
  with pytest.raises(MeshError, match="empty"):
    find_surface(np.full((8, 8, 8), -1.0))
  with pytest.raises(ValueError, match="power of 2, not 96"):
    sample_refined(ball, resolution=96)
