"""The smallest enclosing sphere of points, exact to rounding.

Source: B. Gärtner, Fast and robust smallest enclosing balls (ESA 1999). The
farthest point joins a support set of at most four others, and all subsets are
tried for the smallest ball of that set. The radius grows in each step, so the
search ends. Trying all subsets handles flat and collinear sets.

`P` points, `S` sets of `K` points.
"""

import itertools

import numpy as np

_TOLERANCE = 1e-10  # relative to the radius; float64 rounding is about 1e-16
# Steps at most; a dozen is usual, and more would mean that rounding cycles.
_STEPS_MAX = 1000
# Least determinant of a Gram matrix of edges scaled to 1; below it, points are
# taken as dependent.
_DETERMINANT_MIN = 1e-14


def enclosing_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
  """Returns the smallest sphere that holds all points.

  Args:
    points: float `[P, 3]`, finite, P > 0.

  Returns:
    center: float64 `[3]`.
    radius: at least the distance of every point from the center.
  """
  points = np.asarray(points, np.float64)
  first = points[0]
  second = points[_farthest(points, first)]
  support = np.stack([first, second])
  center = (first + second) / 2
  radius = float(np.linalg.norm(second - first)) / 2
  for _ in range(_STEPS_MAX):
    far = points[_farthest(points, center)]
    distance = np.linalg.norm(far - center)
    if distance <= radius * (1 + _TOLERANCE):
      break
    grown = _smallest_ball(np.concatenate([support, far[None]]))
    if grown[1] <= radius:  # rounding: no more progress is possible
      break
    center, radius, support = grown
  return center, float(np.linalg.norm(points - center, axis=1).max())


def _farthest(points: np.ndarray, center: np.ndarray) -> int:
  """Returns the index of the point with the greatest distance."""
  offset = points - center
  return int(np.argmax(np.einsum("pi,pi->p", offset, offset)))


def _smallest_ball(
  points: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray]:
  """Returns center, radius and support of the ball of up to 5 points."""
  best = None
  for size in range(2, min(4, len(points)) + 1):
    subsets = np.array(list(itertools.combinations(range(len(points)), size)))
    centers, radii = _circumspheres(points[subsets])
    reach = np.linalg.norm(points[None] - centers[:, None], axis=2).max(axis=1)
    holds = reach <= radii * (1 + _TOLERANCE)
    for index in np.flatnonzero(holds):
      if best is None or radii[index] < best[1]:
        best = centers[index], radii[index], points[subsets[index]]
  if best is None:  # nearly dependent points: any ball that holds them
    center = points.mean(axis=0)
    radius = np.linalg.norm(points - center, axis=1).max()
    return center, radius, points[-4:]
  return best


def _circumspheres(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the smallest spheres through sets of points.

  Args:
    corners: float64 `[S, K, 3]`, K = 2, 3 or 4.

  Returns:
    centers: float64 `[S, 3]`.
    radii: float64 `[S]`, inf if the points are dependent.
  """
  edges = corners[:, 1:] - corners[:, :1]
  gram = edges @ edges.transpose(0, 2, 1)
  length = np.diagonal(gram, axis1=1, axis2=2)
  scale = length.max(axis=1)
  scale = np.where(scale > 0, scale, 1.0)
  size = gram.shape[1]
  good = np.linalg.det(gram / scale[:, None, None]) > _DETERMINANT_MIN
  gram = np.where(good[:, None, None], gram, np.eye(size))
  weight = np.linalg.solve(gram, length[..., None] / 2)
  offset = (weight * edges).sum(axis=1)
  radii = np.where(good, np.linalg.norm(offset, axis=1), np.inf)
  return corners[:, 0] + offset, radii
