"""The sphere holds all points and none smaller does."""

import numpy as np
import pytest
import scipy.optimize

from dr3d.data.scan import random_rotation
from dr3d.geometry.sphere import enclosing_sphere

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def point_set(kind: str, rng: np.random.Generator) -> np.ndarray:
  points = rng.normal(size=(rng.integers(5, 300), 3))
  match kind:
    case "ball":
      pass
    case "sphere":
      points /= np.linalg.norm(points, axis=1, keepdims=True)
    case "flat":
      points[:, 2] = 0
    case "line":
      points[:, 1:] = 0
    case "grid":
      points = np.round(2 * points)
    case "needle":
      points *= [1, 1e-7, 1e-7]
    case "far":
      points = 1e-3 * points + 1e3
    case "prism":
      angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
      rim = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
      points = np.concatenate([rim, rim + np.array([0, 0, 0.3])])
  return (points @ random_rotation(rng).T).astype(np.float32).astype(float)


@pytest.mark.parametrize(
  ("points", "radius"),
  [
    (CUBE, np.sqrt(3) / 2),
    (TETRAHEDRON, np.sqrt(3)),
    (np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(3) / 2, 0]]), 3**-0.5),
    (np.array([[0, 0, 0], [4, 0, 0], [1, 0.5, 0]]), 2),  # an obtuse triangle
    (np.array([[0, 0, 0], [1, 2, 2], [0.5, 1, 1]]), 1.5),
    (np.array([[7, 8, 9]]), 0),
  ],
)
def test_radii_of_simple_bodies_are_exact(points, radius):
  assert enclosing_sphere(points)[1] == pytest.approx(radius, rel=1e-12)


@pytest.mark.parametrize(
  "kind",
  ["ball", "sphere", "flat", "line", "grid", "needle", "far", "prism"],
)
def test_center_lies_in_the_hull_of_the_points_on_the_sphere(kind):
  # Necessary and sufficient for the smallest sphere, whatever found it.
  rng = np.random.default_rng(1)
  for _ in range(20):
    points = point_set(kind, rng)
    center, radius = enclosing_sphere(points)
    distance = np.linalg.norm(points - center, axis=1)
    assert distance.max() <= radius
    outer = points[distance >= radius * (1 - 1e-7)]
    system = np.vstack([((outer - center) / radius).T, np.ones(len(outer))])
    _, residual = scipy.optimize.nnls(system, np.array([0, 0, 0, 1.0]))
    assert residual < 1e-6


def test_sphere_turns_and_moves_with_the_points():
  rng = np.random.default_rng(2)
  points = rng.normal(size=(200, 3)) * [3, 1, 0.2]
  center, radius = enclosing_sphere(points)
  for _ in range(5):
    turn, shift = random_rotation(rng), rng.normal(size=3)
    moved, same = enclosing_sphere(points @ turn.T + shift)
    assert same == pytest.approx(radius, rel=1e-9)
    np.testing.assert_allclose(moved, turn @ center + shift, atol=1e-8)
