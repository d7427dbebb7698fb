"""Triangles of a polygon cover the area of the polygon, wound as it is."""

import numpy as np
import pytest
import scipy.spatial.transform
from support.mesh_files import ANGLE

from dr3d.mesh.io.polygon import (
  split_fan,
  split_rings,
  split_strip,
  triangulate,
)

pytestmark = pytest.mark.fast

L_SHAPE = ANGLE
STAR = np.array(
  [
    [np.cos(a) * r, np.sin(a) * r]
    for a, r in zip(np.arange(10) * np.pi / 5, [10, 4] * 5, strict=True)
  ]
)
COMB = np.array(
  [[0, 0], [50, 0], [50, 30], [40, 30], [40, 10], [30, 10], [30, 30],
   [20, 30], [20, 10], [10, 10], [10, 30], [0, 30]],
  float,
)  # fmt: skip
DART = np.array([[0, 0], [10, -5], [3, 0], [10, 5]], float)
SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)


def shoelace(points: np.ndarray) -> float:
  x, y = points.T
  return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def place(points: np.ndarray, seed: int) -> np.ndarray:
  """Turns and moves plane points into space."""
  rotation = scipy.spatial.transform.Rotation.random(rng=seed).as_matrix()
  flat = np.column_stack([points, np.zeros(len(points))])
  return flat @ rotation.T + [5, -3, 100]


def vector_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
  a, b, c = (vertices[faces[:, k]] for k in range(3))
  return np.cross(b - a, c - a) / 2


@pytest.mark.parametrize("points", [L_SHAPE, STAR, COMB, DART, SQUARE])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
@pytest.mark.parametrize("reverse", [False, True])
def test_triangles_cover_the_polygon(points, start, reverse):
  corners = np.roll(np.arange(len(points)), start)
  if reverse:
    corners = corners[::-1]
  vertices = place(points, start)
  areas = vector_areas(vertices, triangulate(vertices, [corners]))
  expected = abs(shoelace(points))
  assert np.linalg.norm(areas, axis=1).sum() == pytest.approx(expected)
  # All one way: the sum of the vectors is as long as the sum of lengths.
  assert np.linalg.norm(areas.sum(axis=0)) == pytest.approx(expected)


@pytest.mark.parametrize("turned", [1, -1])
def test_holes_stay_open(turned):
  outline, hole = SQUARE * 10, SQUARE * 4 + 20
  vertices = place(np.concatenate([outline, hole]), 3)
  rings = [np.arange(4), np.arange(4, 8)[::turned]]
  areas = vector_areas(vertices, split_rings(vertices, rings))
  assert np.linalg.norm(areas, axis=1).sum() == pytest.approx(10000 - 1600)
  assert np.linalg.norm(areas.sum(axis=0)) == pytest.approx(10000 - 1600)


def test_convex_polygon_is_a_fan_about_its_first_corner():
  vertices = place(STAR[::2], 0)
  faces = triangulate(vertices, [[3, 4, 0, 1, 2]])
  np.testing.assert_array_equal(faces, [[3, 4, 0], [3, 0, 1], [3, 1, 2]])


def test_polygons_of_all_sizes_are_split_and_lines_dropped():
  vertices = place(np.concatenate([SQUARE, STAR]), 1)
  polygons = [[0, 1], [0, 1, 2, 3], [0, 2, 3], range(4, 14), [5]]
  faces = triangulate(vertices, polygons)
  assert len(faces) == 2 + 1 + 8


def test_no_polygons_give_no_triangles():
  assert triangulate(np.zeros((3, 3)), []).shape == (0, 3)


def test_strip_turns_every_other_triangle_round():
  strip = split_strip(np.array([0, 1, 2, 3]))
  np.testing.assert_array_equal(strip, [[0, 1, 2], [2, 1, 3]])


@pytest.mark.parametrize("split", [split_fan, split_strip])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_strip_or_fan_below_three_corners_is_empty(split, size):
  assert split(np.arange(size)).shape == (0, 3)
