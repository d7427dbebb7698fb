"""How near two surfaces come where both have parts that the other lacks.

A scan lacks sides that no camera saw and has holes closed that its model has
open; missing parts and debris change its enclosing sphere. So a registration by
`surface` is continued: the size is fitted too, and neither the correspondences
nor the distance count the farthest points (trimmed iterative closest points, D.
Chetverikov, D. Stepanov, P. Krsek, Robust Euclidean alignment of 3D point sets,
Image and Vision Computing 2005).

`P` points.
"""

import numpy as np

from dr3d.registration.surface import Cloud, Pose, nearest_on_surface

# Share of the points that count, the nearest ones.
_QUERY_SHARE = 0.9  # the others may be debris, or holes that were closed
_MODEL_SHARE = 0.8  # the others may be sides that no scanner saw
_STEPS = 5
_STEP_POINTS = 200  # points of each shape in a step
_MEASURE_POINTS = 300  # points of each shape when the distance is measured
_SCALES = (0.8, 1.25)  # bounds of the fitted size


def measure_trimmed(query: Cloud, model: Cloud, pose: Pose) -> float:
  """Distance of the parts that both shapes have, after a fit of the size.

  Args:
    query: is moved.
    model: stays.
    pose: of the query on the model; where the fit starts.

  Returns:
    Mean distance of the nearest 90 % of the query's points and the nearest 80 %
    of the model's, in radii of the model. Less than `Fit.mean` for one shape.
  """
  turn, shift, scale = pose.turn, pose.shift, 1.0
  mirror = np.linalg.det(turn) < 0
  points = _thin(query.points, _STEP_POINTS)
  others = _thin(model.points, _STEP_POINTS)
  for _ in range(_STEPS):
    there = scale * points @ turn.T + shift
    far, index = model.tree.query(there)
    near = _nearest_share(far, _QUERY_SHARE)
    back = (others - shift) @ turn / scale
    far, other = query.tree.query(back)
    seen = _nearest_share(far, _MODEL_SHARE)
    turn, shift, scale = _fit_similarity(
      np.concatenate([points[near], query.marks[other[seen]]]),
      np.concatenate([model.marks[index[near]], others[seen]]),
      mirror=mirror,
    )
  points = _thin(query.points, _MEASURE_POINTS)
  others = _thin(model.points, _MEASURE_POINTS)
  there = scale * points @ turn.T + shift
  back = (others - shift) @ turn / scale
  return (
    _mean_nearest(there, model, _QUERY_SHARE)
    + scale * _mean_nearest(back, query, _MODEL_SHARE)
  ) / 2


def _thin(points: np.ndarray, count: int) -> np.ndarray:
  """The first points: each stretch of the sequence is evenly spread."""
  return points[:count]


def _nearest_share(distance: np.ndarray, share: float) -> np.ndarray:
  """Indices of the points of the smallest distances."""
  count = max(3, round(share * len(distance)))
  return np.argpartition(distance, count - 1)[:count]


def _mean_nearest(points: np.ndarray, cloud: Cloud, share: float) -> float:
  gap = points - nearest_on_surface(points, cloud)
  distance = np.linalg.norm(gap, axis=1)
  return float(distance[_nearest_share(distance, share)].mean())


def _fit_similarity(
  points: np.ndarray, goals: np.ndarray, *, mirror: bool
) -> tuple[np.ndarray, np.ndarray, float]:
  """Turn, shift and scale that take points nearest to their goals, `[P, 3]`.

  References:
    S. Umeyama, Least-squares estimation of transformation parameters between
    two point patterns, PAMI 1991. The scale is bounded.
  """
  center, goal = points.mean(axis=0), goals.mean(axis=0)
  one, two = points - center, goals - goal
  u, value, v = np.linalg.svd(two.T @ one)
  flip = np.ones(3)
  if (np.linalg.det(u @ v) < 0) != mirror:
    flip[2] = -1
  turn = (u * flip) @ v
  scale = float((value * flip).sum() / max((one**2).sum(), 1e-12))
  scale = min(max(scale, _SCALES[0]), _SCALES[1])
  return turn, goal - scale * turn @ center, scale
