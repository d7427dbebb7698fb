"""Normals are smooth on smooth surfaces and sharp across creases."""

import itertools

import numpy as np
import pytest
import trimesh

from dr3d.mesh.normal import corner_normals

pytestmark = pytest.mark.fast


def dots(one: np.ndarray, two: np.ndarray) -> np.ndarray:
  return (one * two).sum(axis=-1)


def test_cube_has_the_normals_of_its_sides():
  cube = trimesh.creation.box()
  normals = corner_normals(cube.vertices, cube.faces)
  expected = np.repeat(cube.face_normals[:, None], 3, axis=1)
  np.testing.assert_allclose(normals, expected, atol=1e-12)
  assert (np.isclose(np.abs(normals), 1).sum(axis=2) == 1).all()


def test_fine_cylinder_has_smooth_wall_and_flat_caps():
  cylinder = trimesh.creation.cylinder(radius=1, height=2, sections=64)
  normals = corner_normals(cylinder.vertices, cylinder.faces)
  cap = np.abs(cylinder.face_normals[:, 2]) > 0.5
  corners = cylinder.vertices[cylinder.faces]
  np.testing.assert_allclose(
    normals[cap], np.sign(corners[cap][..., 2:]) * [0, 0, 1], atol=1e-12
  )
  np.testing.assert_allclose(  # radial
    normals[~cap], corners[~cap] * [1, 1, 0], atol=0.02
  )


def test_sphere_is_smooth_everywhere():
  sphere = trimesh.creation.icosphere(subdivisions=3)
  normals = corner_normals(sphere.vertices, sphere.faces)
  assert dots(normals, sphere.vertices[sphere.faces]).min() > 0.999


def test_edges_below_crease_angle_are_smooth():
  # Two strips that meet at 30 degrees along the y axis.
  slope = np.radians(30)
  vertices = np.array(
    [[0, 0, 0], [0, 1, 0], [-1, 0, 0], [np.cos(slope), 0, np.sin(slope)]]
  )
  faces = np.array([[0, 1, 2], [0, 3, 1]])
  soft = corner_normals(vertices, faces, crease=31)
  np.testing.assert_allclose(soft[0, 0], soft[1, 0], atol=1e-12)
  # only corners on the shared edge are averaged
  np.testing.assert_allclose(soft[0, 2], [0, 0, 1], atol=1e-12)
  sharp = corner_normals(vertices, faces, crease=29)
  np.testing.assert_allclose(sharp[0], [[0, 0, 1]] * 3, atol=1e-12)
  assert dots(sharp[1], sharp[0]).max() < np.cos(slope) + 1e-9


def test_sharp_edge_stays_sharp_if_a_fillet_joins_its_sides_elsewhere():
  # A quarter fan from the floor to the wall, whose last step is one sharp
  # edge: at its far end the two sides meet at 90 degrees without a fillet.
  steps = np.radians(np.linspace(0, 90, 10))
  rim = np.stack([np.sin(steps), 0 * steps, 1 - np.cos(steps)], axis=1)
  floor = [[-1, 0, 0], [-1, 1, 0]]
  wall = [[1, 0, 2], [1, 1, 2]]
  corner = [[0, 1, 0], [1, 1, 1], [1, 1, 0]]
  vertices = np.array([*rim, *floor, *wall, *corner])
  left, right, edge = 14, 15, 16
  fan = [[k, k + 1, left] for k in range(5)]
  fan += [[k, k + 1, right] for k in range(5, 9)] + [[5, right, left]]
  faces = np.array(
    [
      *fan,
      [10, 0, 11],
      [0, left, 11],
      [9, 12, right],
      [12, 13, right],
      [left, right, edge],
    ]
  )
  normals = corner_normals(vertices, faces)
  flat = np.cross(
    vertices[faces[:, 1]] - vertices[faces[:, 0]],
    vertices[faces[:, 2]] - vertices[faces[:, 0]],
  )
  flat /= np.linalg.norm(flat, axis=1, keepdims=True)
  assert dots(normals, flat[:, None]).min() > np.cos(np.radians(60))
  # The floor far from the fillet is as flat as it was.
  np.testing.assert_allclose(normals[10, [0, 2]], [[0, 0, 1]] * 2, atol=1e-12)


def test_opposite_windings_do_not_cancel():
  vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
  faces = np.array([[0, 1, 2], [0, 3, 2]])
  normals = corner_normals(vertices, faces)
  np.testing.assert_allclose(normals[0], [[0, 0, 1]] * 3, atol=1e-12)
  np.testing.assert_allclose(normals[1], [[0, 0, -1]] * 3, atol=1e-12)


def test_triangulation_of_flat_side_does_not_tilt_normals():
  # One quad of a gentle roof is cut into 2 or into 40 triangles.
  slope = np.radians(20)
  ridge = [[0, 0, 0], [0, 1, 0]]
  left = [[-1, 0, 0], [-1, 1, 0]]
  right = np.array([[1, 0, np.tan(slope)], [1, 1, np.tan(slope)]])
  plain = np.array([*ridge, *left, *right])
  simple = np.array([[2, 0, 1], [2, 1, 3], [0, 4, 5], [0, 5, 1]])
  steps = np.linspace(0, 1, 21)[1:-1, None]
  fan = right[0] + steps * (right[1] - right[0])
  many = np.array([*plain, *fan])
  chain = [4, *range(6, 6 + len(fan)), 5]
  cut = [[0, a, b] for a, b in itertools.pairwise(chain)]
  finer = np.array([*simple[:2], *cut, [0, 5, 1]])
  one = corner_normals(plain, simple)[0, 1]
  two = corner_normals(many, finer)[0, 1]
  np.testing.assert_allclose(one, two, atol=1e-12)
