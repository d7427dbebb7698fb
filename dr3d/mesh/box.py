"""The box around a shape as drawn, and the smallest one in any pose.

The smallest box of a polyhedron need not stand on a face of its hull (O'Rourke,
Finding minimal enclosing boxes, 1985), but the best one that does is at most a
few percent larger, and is it for all shapes that people measure with a caliper.
"""

from collections.abc import Callable

import numpy as np
import scipy.spatial

from dr3d.mesh.frame import convex_hull
from dr3d.mesh.surface import cross_products, normalize

Measure = Callable[[np.ndarray], np.ndarray]
"""A frame [3, 3] whose rows are axes → sizes of the shape along them [3]."""

_MAX_NORMALS = 24  # directions of the hull's largest sides that are tried
_SAME_DIRECTION = 1e-3  # difference of unit vectors
_ROUNDING = 1e-6  # relative error that a bound may have


def measure_along(points: np.ndarray) -> Measure:
  """Measures points [V, 3] along axes."""
  return lambda frame: np.ptp(points @ frame.T, axis=0)


def smallest_box(
  points: np.ndarray, frame: np.ndarray, *, hull_faces: np.ndarray | None = None
) -> np.ndarray:
  """Axes of the smallest box around points.

  Tries the boxes that stand on one of the hull's largest sides and touch one of
  its edges, and those of which an axis is one of a frame or of the file.

  Args:
    points: float [V, 3], not collinear.
    frame: float [3, 3], axes to try as well, one in each row.
    hull_faces: int [F, 3] from `convex_hull`, if it is known already.

  Returns:
    float64 [3, 3], right-handed; the rows are unit axes, that of the longest
    side first.
  """
  points = np.asarray(points, np.float64)
  faces = convex_hull(points) if hull_faces is None else hull_faces
  hull = points[np.unique(faces)]
  product = cross_products(points, faces)
  normals = np.array([*frame, *np.eye(3), *_find_normals(product)])
  across, up = _complete_frames(normals)
  bounds = _bound_volumes(product, hull, normals)
  best, smallest = np.inf, np.eye(3)
  # Flat shapes have no volume, but their smallest box lies in their plane.
  thickness = 1e-6 * np.ptp(hull, axis=0).max()
  # In this order the first bound that is too large ends the search.
  for index in np.argsort(bounds, kind="stable"):
    if bounds[index] >= best:
      break
    plane = np.array([across[index], up[index]])
    axes = np.array([*(_fit_rectangle(hull @ plane.T) @ plane), normals[index]])
    sides = np.ptp(hull @ axes.T, axis=0)
    volume = float(np.prod(sides + thickness))
    if volume < best * (1 - 1e-9):
      best, smallest = volume, axes[np.argsort(-sides, kind="stable")]
  if np.linalg.det(smallest) < 0:
    smallest[2] *= -1
  return smallest


def _complete_frames(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Two unit vectors [n, 3] each across unit normals [n, 3]."""
  helper = np.eye(3)[np.abs(normals).argmin(axis=1)]
  across = normalize(np.cross(normals, helper))
  return across, np.cross(normals, across)


def _bound_volumes(
  product: np.ndarray, hull: np.ndarray, normals: np.ndarray
) -> np.ndarray:
  """Volumes [n] that no box with a side across a direction falls below.

  They are the hull's shadow along the direction, by Cauchy's formula a quarter
  of the sum of doubled areas times cosines, times its height. Most directions
  need no rectangle then, which takes most of the time.

  Args:
    product: normals of the hull's triangles, as long as their doubled area.
    hull: its points.
    normals: unit directions.
  """
  shadow = np.abs(normals @ product.T).sum(axis=1) / 4
  height = np.ptp(hull @ normals.T, axis=0)
  return shadow * height * (1 - _ROUNDING)


def _find_normals(product: np.ndarray) -> np.ndarray:
  """Normals [n, 3] of a hull's largest sides, from `cross_products` [F, 3]."""
  area = np.linalg.norm(product, axis=1)
  normal = normalize(product)
  # Opposite sides count as one: the first component that is not 0 is positive.
  clear = np.abs(normal) > _SAME_DIRECTION
  first = np.take_along_axis(normal, clear.argmax(axis=1)[:, None], axis=1)
  normal *= np.where(first < 0, -1.0, 1.0)
  keys = np.round(normal / _SAME_DIRECTION).astype(np.int64)
  _, index, label = np.unique(
    keys, axis=0, return_index=True, return_inverse=True
  )
  total = np.bincount(label.reshape(-1), area)
  chosen = np.argsort(-total, kind="stable")[:_MAX_NORMALS]
  return normal[index[chosen]]


def _fit_rectangle(flat: np.ndarray) -> np.ndarray:
  """Axes [2, 2] of the smallest rectangle around points [V, 2]."""
  try:
    rim = flat[scipy.spatial.ConvexHull(flat).vertices]
  except scipy.spatial.QhullError:  # seen edge-on: all points on one line
    line = flat - flat.mean(axis=0)
    rim = flat[[(line @ line[np.abs(line).sum(1).argmax()]).argmin()]]
    rim = np.concatenate([rim, rim + line[np.abs(line).sum(1).argmax()]])
  edge = rim[np.arange(len(rim)) - 1] - rim
  edge /= np.sqrt((edge * edge).sum(axis=1, keepdims=True)).clip(1e-300)
  turned = edge[:, ::-1] * (-1.0, 1.0)
  sides = rim @ np.concatenate([edge, turned]).T
  one, two = (sides.max(axis=0) - sides.min(axis=0)).reshape(2, -1)
  best = (one * two).argmin()
  return np.array([edge[best], turned[best]])
