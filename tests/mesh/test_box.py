"""The smallest box is that of the shape, in whatever pose it was drawn."""

import numpy as np
import pytest
import trimesh

from dr3d.mesh import make_mesh
from dr3d.mesh.box import smallest_box
from dr3d.mesh.mesh import scale_mesh, simplify_mesh
from dr3d.mesh.packing import pack_mesh, unpack_boxes, unpack_mesh

pytestmark = pytest.mark.fast


def turn(mesh, seed):
  matrix = trimesh.transformations.random_rotation_matrix(
    np.random.default_rng(seed).random(3)
  )
  return mesh.copy().apply_transform(matrix)


def make_angle():
  """A profile like an L, whose principal axes lie across its legs."""
  leg = trimesh.creation.box([100, 20, 3], None)
  other = trimesh.creation.box([100, 3, 20])
  leg.apply_translation([0, 10, 1.5])
  other.apply_translation([0, 1.5, 10])
  return trimesh.util.concatenate([leg, other])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
  ("solid", "sides"),
  [
    (trimesh.creation.box([3, 2, 1]), (3, 2, 1)),
    (trimesh.creation.box([5, 5, 1]), (5, 5, 1)),
    (make_angle(), (100, 20, 20)),
    (trimesh.creation.cylinder(5, 30, sections=128), (30, 10, 10)),
  ],
)
def test_smallest_box_does_not_depend_on_the_pose(solid, sides, seed):
  turned = turn(solid, seed)
  mesh = make_mesh(turned.vertices, turned.faces)
  np.testing.assert_allclose(mesh.smallest_box, sides, rtol=1e-3)
  np.testing.assert_allclose(mesh.box, turned.extents, rtol=1e-6)


def test_smallest_box_of_a_flat_shape_lies_in_its_plane():
  corners = np.array([[0, 0, 0], [3, 0, 0], [3, 2, 0], [0, 2, 0.0]])
  flat = turn(trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]]), 1)
  mesh = make_mesh(flat.vertices, flat.faces)
  np.testing.assert_allclose(mesh.smallest_box, [3, 2, 0], atol=1e-6)


def test_axes_of_the_smallest_box_are_right_handed_and_sorted():
  solid = turn(trimesh.creation.box([1, 3, 2]), 4)
  axes = smallest_box(solid.vertices, np.eye(3))
  np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
  assert np.linalg.det(axes) == pytest.approx(1)
  np.testing.assert_allclose(
    np.ptp(solid.vertices @ axes.T, axis=0), [3, 2, 1], atol=1e-9
  )


def test_boxes_are_packed_and_meshes_without_them_can_be_read():
  import dataclasses

  solid = turn(trimesh.creation.box([3, 2, 1]), 0)
  mesh = make_mesh(solid.vertices, solid.faces)
  box, smallest = unpack_boxes(pack_mesh(mesh))
  np.testing.assert_array_equal(box, mesh.box)
  np.testing.assert_array_equal(smallest, mesh.smallest_box)
  old = pack_mesh(dataclasses.replace(mesh, box=None, smallest_box=None))
  assert unpack_boxes(old) is None
  np.testing.assert_array_equal(unpack_mesh(old).extent, mesh.extent)
  assert unpack_mesh(old).box is None


def test_simplified_and_scaled_meshes_keep_their_measures():
  solid = trimesh.creation.icosphere(4)
  mesh = make_mesh(solid.vertices, solid.faces)
  few = simplify_mesh(mesh, 100)
  assert few.face_count <= 100
  assert few.radius == mesh.radius
  assert simplify_mesh(few, 100) is few
  large = scale_mesh(mesh, 25.4)
  assert large.radius == pytest.approx(25.4 * mesh.radius)
  np.testing.assert_allclose(large.box, 25.4 * mesh.box)
