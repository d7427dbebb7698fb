"""Dodecahedra of cameras around an object, and what turns one into itself.

Silhouettes from opposite corners are mirror images, so the 20 corners stand
for 10 axes.
"""

import functools

import numpy as np

from dr3d.camera.view import dodecahedron_views, view_directions
from dr3d.data.scan import random_rotation
from dr3d.mesh.surface import normalize

AXES = 10
TURNS = 60

_TRIES = 2000  # random dodecahedra, of which the best placed are kept


@functools.cache
def find_corners() -> np.ndarray:
  """Float64 [20, 3]: unit vectors, a corner k and its opposite k + 10."""
  corners = np.asarray(view_directions(dodecahedron_views()), np.float64)
  corners = normalize(corners)
  half = corners[corners @ np.array([1, 0.1, 0.01]) > 0]
  return np.concatenate([half, -half])


@functools.cache
def find_axes(count: int) -> np.ndarray:
  """Axes of dodecahedra that are turned so that all lie well apart.

  Greedily: of some thousand random dodecahedra each next one is that whose
  axes keep farthest from those before.

  Args:
    count: dodecahedra.

  Returns:
    float64 [count, 10, 3] unit vectors, the same with every call; axis k of
    each is where its rotation takes axis k of the first.
  """
  axes = find_corners()[:AXES]
  rng = np.random.default_rng(0)
  tries = np.stack([axes @ random_rotation(rng).T for _ in range(_TRIES)])
  chosen = [axes]
  while len(chosen) < count:
    near = np.abs(tries @ np.concatenate(chosen).T).max(axis=(1, 2))
    chosen.append(tries[near.argmin()])
  return np.stack(chosen)


@functools.cache
def find_turns() -> np.ndarray:
  """The 60 rotations of a dodecahedron as permutations of its axes.

  Returns:
    int [60, 10]: the axis onto which a rotation takes each axis.
  """
  corners = find_corners()
  cosine = np.round(corners @ corners.T, 6)
  edge = np.sort(cosine[0])[-2]  # a corner's three neighbours are this near
  pairs = np.argwhere(cosine == edge)
  start = _frame(corners[pairs[0]])
  turned = [
    corners[:AXES] @ (_frame(corners[pair]).T @ start).T for pair in pairs
  ]
  return np.abs(np.stack(turned) @ corners[:AXES].T).argmax(axis=2)


def _frame(pair: np.ndarray) -> np.ndarray:
  """Orthonormal rows from two corners."""
  one = pair[0]
  two = normalize(pair[1] - (pair[1] @ one) * one)
  return np.stack([one, two, np.cross(one, two)])
