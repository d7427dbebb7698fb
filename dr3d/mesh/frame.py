"""The principal frame of a shape: its own axes, whatever way it lies.

The moments are those of the surface of the convex hull. Those of the surface
itself hang on what no scanner sees and on every hole: under imitated scans of
standard parts their axes strayed four to six times as far.
"""

import numpy as np
import scipy.spatial

from dr3d.mesh.surface import cross_products

_ASYMMETRY = 0.01  # below, an axis has no direction that could be measured
_OFFSET_SHARE = 1 / 3  # of the centroid's offset against the skewness
_CLOSE = 0.15  # moments that differ by less leave their axes undecided
_MANY = 50_000  # points, from which only the outermost enter the hull
_GRIDS = ((45.0, 1.0), (1.0, 0.02), (0.02, 4e-4))  # ± width, step in degrees


def principal_frame(
  vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the principal axes of a shape and its moments along them.

  The moments are means over the area of the convex hull, so they do not
  depend on how the surface was cut into triangles. Where two moments are
  nearly equal, as those of a square bar, they do not tell their axes; those
  turn to where the box around the shape is smallest. An axis points to where
  the hull has its longer tail and the surface its weight; the least certain
  of the three directions follows from the other two, so that the frame is
  right-handed. What a symmetry of the shape leaves open stays arbitrary.

  Args:
    vertices: float [V, 3], not all on a line.
    faces: int [F, 3].

  Returns:
    frame: float64 [3, 3], rows are unit axes; vertices @ frame.T is the pose.
    moments: float64 [3], mean squared distances along the rows from the
      hull's centroid, descending, in the square of the unit of the vertices.
  """
  points = np.asarray(vertices, np.float64)
  hull_faces = _convex_hull(points)
  hull, hull_area, hull_center = _measure(points, hull_faces)
  _, _, center = _measure(points, faces)
  # ∫ x xᵀ over a triangle = area / 12 · (Σ cₖ cₖᵀ + (Σ cₖ)(Σ cₖ)ᵀ)
  total = hull.sum(axis=1)
  second = np.einsum("f,fki,fkj->ij", hull_area, hull, hull)
  second += np.einsum("f,fi,fj->ij", hull_area, total, total)
  second /= 12
  moments, axes = np.linalg.eigh(second)
  frame = _settle(points[np.unique(hull_faces)], axes.T[::-1], moments[::-1])
  moments = ((frame @ second) * frame).sum(axis=1).clip(0)
  order = np.argsort(-moments)
  moments, frame = moments[order], frame[order]
  deviation = np.sqrt(moments.clip(1e-24))
  asymmetry = _third_moments(hull @ frame.T, hull_area) / deviation**3
  asymmetry += _OFFSET_SHARE * (frame @ (center - hull_center)) / deviation
  frame[asymmetry < -_ASYMMETRY] *= -1
  if np.linalg.det(frame) < 0:
    frame[np.argmin(np.abs(asymmetry))] *= -1
  return frame, moments


def _settle(
  points: np.ndarray, frame: np.ndarray, moments: np.ndarray
) -> np.ndarray:
  """Turns pairs of axes whose moments are close to the smallest box."""
  pairs = [
    (i, j)
    for i, j in ((0, 1), (1, 2), (0, 2))
    if moments[j] > (1 - _CLOSE) * moments[i]
  ]
  pose = points @ frame.T
  for i, j in pairs * (3 if len(pairs) > 1 else 1):
    for width, step in _GRIDS:
      angle = np.radians(np.arange(-width, width, step))[:, None]
      cosine, sine = np.cos(angle), np.sin(angle)
      one = np.ptp(cosine * pose[:, i] + sine * pose[:, j], axis=1)
      two = np.ptp(cosine * pose[:, j] - sine * pose[:, i], axis=1)
      best = np.argmin(one * two)
      c, s = cosine[best, 0], sine[best, 0]
      turn = np.eye(3)
      turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, s, -s, c
      frame, pose = turn @ frame, pose @ turn.T
  return frame


def _measure(
  points: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns corners [F, 3, 3] about the centroid, shares of area, centroid."""
  area = np.linalg.norm(cross_products(points, faces), axis=1)
  area /= area.sum()
  corners = points[faces]
  center = area @ corners.mean(axis=1)
  return corners - center, area, center


def _third_moments(corners: np.ndarray, area: np.ndarray) -> np.ndarray:
  """Returns the mean cubes of the coordinates over triangles [F, 3, 3].

  The mean over one triangle is h₃(a, b, c) / 10, h₃ being the sum of all
  products of three of its corners' coordinates a, b, c.
  """
  a, b, c = corners.transpose(1, 0, 2)
  # Sums of powers make h₃ by Newton's identities: ((e² + 3 p₂) e + 2 p₃) / 6.
  square = a * a + b * b + c * c
  total = a + b + c
  cube = a * a * a + b * b * b + c * c * c
  return area @ ((total * total + 3 * square) * total + 2 * cube) / 60


def _convex_hull(points: np.ndarray) -> np.ndarray:
  """Returns the triangles of the hull, int [F, 3]; one side if it is flat."""
  outer = _outermost(points) if len(points) > _MANY else np.arange(len(points))
  offset = points[outer] - points[outer].mean(axis=0)
  try:
    return outer[scipy.spatial.ConvexHull(offset).simplices]
  except scipy.spatial.QhullError:  # all in one plane
    _, _, axes = np.linalg.svd(offset.T @ offset)
    rim = scipy.spatial.ConvexHull(offset @ axes[:2].T).vertices
    fan = np.stack([np.full(len(rim) - 2, rim[0]), rim[1:-1], rim[2:]], axis=1)
    return outer[fan]


def _outermost(points: np.ndarray) -> np.ndarray:
  """Returns the points that reach farthest in each of some 10 000 directions.

  Directions are taken after the shape was made as long as wide as high, so
  that slender parts keep the corners of their ends.
  """
  offset = points - points.mean(axis=0)
  value, axes = np.linalg.eigh(offset.T @ offset)
  round_ = offset @ (axes / np.sqrt(value.clip(value[-1] * 1e-12)))
  reach = np.linalg.norm(round_, axis=1)
  cell = (round_ / reach.clip(1e-300)[:, None] * 32 + 32).astype(np.int64)
  cell = (cell[:, 0] * 128 + cell[:, 1]) * 128 + cell[:, 2]
  order = np.lexsort((reach, cell))
  last = np.append(cell[order][1:] != cell[order][:-1], True)
  return np.sort(order[last])
