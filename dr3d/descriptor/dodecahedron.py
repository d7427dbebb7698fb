"""Dodecahedra of cameras around an object, and their rotation group.

Silhouettes from opposite corners are mirror images, so the 20 corners give 10
axes.
"""

import functools

import numpy as np
from scipy.spatial.transform import Rotation

from dr3d.camera.view import dodecahedron_views, view_directions
from dr3d.data.scan import random_rotation
from dr3d.mesh.surface import normalize

AXES = 10

_CANDIDATES = 2000  # random dodecahedra, of which the farthest apart are kept


@functools.cache
def find_corners() -> np.ndarray:
  """Returns unit vectors, float64 [20, 3]; corner k + 10 is opposite to k."""
  corners = np.asarray(view_directions(dodecahedron_views()), np.float64)
  corners = normalize(corners)
  half = corners[corners @ np.array([1, 0.1, 0.01]) > 0]
  return np.concatenate([half, -half])


@functools.cache
def find_axes(count: int) -> np.ndarray:
  """Returns the axes of rotated dodecahedra that are far apart.

  Greedy: the next dodecahedron is the random candidate with the largest minimum
  angle to the axes chosen before.

  Args:
    count: number of dodecahedra.

  Returns:
    float64 [count, 10, 3], unit vectors, the same in every call. Axis k of each
    is the rotated axis k of the first.
  """
  axes = find_corners()[:AXES]
  rng = np.random.default_rng(0)
  candidates = np.stack(
    [axes @ random_rotation(rng).T for _ in range(_CANDIDATES)]
  )
  chosen = [axes]
  while len(chosen) < count:
    near = np.abs(candidates @ np.concatenate(chosen).T).max(axis=(1, 2))
    chosen.append(candidates[near.argmin()])
  return np.stack(chosen)


@functools.cache
def find_turns() -> np.ndarray:
  """Returns the 60 rotations of a dodecahedron as permutations of its axes.

  Returns:
    int [60, 10], the axis to which a rotation maps each axis.
  """
  # SciPy's icosahedral group belongs to the dodecahedron that is a quarter turn
  # about z away from `find_corners`.
  quarter = Rotation.from_euler("z", 90, degrees=True)
  group = quarter * Rotation.create_group("I") * quarter.inv()
  axes = find_corners()[:AXES]
  turned = axes @ group.as_matrix().transpose(0, 2, 1)
  return np.abs(turned @ axes.T).argmax(axis=2)
