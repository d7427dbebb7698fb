"""The principal frame of a shape: axes that rotate with it.

The moments are those of the convex hull's surface. Moments of the surface
itself depend on inner faces that no scanner sees, and on every hole: under
simulated scans of standard parts, their axes moved four to six times as far.
"""

import numpy as np
import scipy.spatial

from dr3d.mesh.surface import cross_products

# Smallest skewness that flips an axis. Below it the shape counts as symmetric
# and the axis keeps the sign that the eigenvectors gave.
_MIN_ASYMMETRY = 0.01
# Weight of the offset between the centroids of surface and hull, in standard
# deviations, against the hull's skewness.
_OFFSET_WEIGHT = 1 / 3
# Relative difference of two moments. Axes of closer moments, as of a square
# bar, are unstable and are fitted to the smallest box instead.
_MAX_CLOSE_DIFFERENCE = 0.15
# Points. For more of them only the outermost enter the hull, to bound its time.
_MAX_HULL_POINTS = 50_000
# Grid searches of the box angle, coarse to fine: ± width and step, degrees. A
# quarter turn maps the box to itself, so ±45° covers all angles.
_ANGLE_GRIDS = ((45.0, 1.0), (1.0, 0.02), (0.02, 4e-4))
# Cells of the direction grid from the centre to its edge; about 10 000 of its
# cells contain the unit sphere.
_DIRECTION_CELLS = 32


def principal_frame(
  vertices: np.ndarray,
  faces: np.ndarray,
  *,
  hull_faces: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the principal axes of a shape and its moments along them.

  The moments are means over the area of the convex hull, so they do not
  depend on the triangulation. If two moments are nearly equal, as those of a
  square bar, their axes are instead those of the smallest box around the shape.
  An axis points in the direction of the hull's longer tail and of the surface's
  centroid. The least certain of the three signs follows from the other two, so
  that the frame is right-handed. Axes that a symmetry of the shape leaves
  undetermined are arbitrary.

  Args:
    vertices: float [V, 3], not collinear.
    faces: int [F, 3].
    hull_faces: int [H, 3] from `convex_hull`, if it is known already.

  Returns:
    frame: float64 [3, 3], the rows are unit axes; `vertices @ frame.T` is the
      principal pose.
    moments: float64 [3], descending; mean squared distances from the hull's
      centroid along the rows, in the squared unit of the vertices.
  """
  points = np.asarray(vertices, np.float64)
  if hull_faces is None:
    hull_faces = convex_hull(points)
  hull, hull_area, hull_center = _measure(points, hull_faces)
  _, _, center = _measure(points, faces)
  # ∫ x xᵀ over a triangle = area / 12 · (Σ cₖ cₖᵀ + (Σ cₖ)(Σ cₖ)ᵀ)
  total = hull.sum(axis=1)
  second = np.einsum("f,fki,fkj->ij", hull_area, hull, hull)
  second += np.einsum("f,fi,fj->ij", hull_area, total, total)
  second /= 12
  moments, axes = np.linalg.eigh(second)
  frame = _fit_box(points[np.unique(hull_faces)], axes.T[::-1], moments[::-1])
  moments = ((frame @ second) * frame).sum(axis=1).clip(0)
  order = np.argsort(-moments)
  moments, frame = moments[order], frame[order]
  deviation = np.sqrt(moments.clip(1e-24))
  asymmetry = _third_moments(hull @ frame.T, hull_area) / deviation**3
  asymmetry += _OFFSET_WEIGHT * (frame @ (center - hull_center)) / deviation
  frame[asymmetry < -_MIN_ASYMMETRY] *= -1
  if np.linalg.det(frame) < 0:
    frame[np.argmin(np.abs(asymmetry))] *= -1
  return frame, moments


def _fit_box(
  points: np.ndarray, frame: np.ndarray, moments: np.ndarray
) -> np.ndarray:
  """Rotates pairs of axes with close moments to the smallest box."""
  pairs = [
    (i, j)
    for i, j in ((0, 1), (1, 2), (0, 2))
    if moments[j] > (1 - _MAX_CLOSE_DIFFERENCE) * moments[i]
  ]
  pose = points @ frame.T
  # With several pairs a rotation of one changes the box of the next: repeat.
  for i, j in pairs * (3 if len(pairs) > 1 else 1):
    for width, step in _ANGLE_GRIDS:
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
  """Returns corners [F, 3, 3] about the centroid, area shares, centroid."""
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
  # h₃ from power sums by Newton's identities: ((p₁² + 3 p₂) p₁ + 2 p₃) / 6.
  square = a * a + b * b + c * c
  total = a + b + c
  cube = a * a * a + b * b * b + c * c * c
  return area @ ((total * total + 3 * square) * total + 2 * cube) / 60


def convex_hull(points: np.ndarray) -> np.ndarray:
  """Returns the hull's triangles, int [F, 3]; one side for planar points."""
  outer = (
    _outermost(points)
    if len(points) > _MAX_HULL_POINTS
    else np.arange(len(points))
  )
  offset = points[outer] - points[outer].mean(axis=0)
  try:
    return outer[scipy.spatial.ConvexHull(offset).simplices]
  except scipy.spatial.QhullError:  # the points are coplanar
    _, _, axes = np.linalg.svd(offset.T @ offset)
    rim = scipy.spatial.ConvexHull(offset @ axes[:2].T).vertices
    fan = np.stack([np.full(len(rim) - 2, rim[0]), rim[1:-1], rim[2:]], axis=1)
    return outer[fan]


def _outermost(points: np.ndarray) -> np.ndarray:
  """Returns the farthest point in each of about 10 000 directions.

  Directions are those of the whitened shape, so that slender parts keep the
  corners of their ends.
  """
  offset = points - points.mean(axis=0)
  value, axes = np.linalg.eigh(offset.T @ offset)
  whitened = offset @ (axes / np.sqrt(value.clip(value[-1] * 1e-12)))
  distance = np.linalg.norm(whitened, axis=1)
  cell = (
    whitened / distance.clip(1e-300)[:, None] * _DIRECTION_CELLS
    + _DIRECTION_CELLS
  ).astype(np.int64)
  cell = (cell[:, 0] * 128 + cell[:, 1]) * 128 + cell[:, 2]
  order = np.lexsort((distance, cell))
  last = np.append(cell[order][1:] != cell[order][:-1], True)
  return np.sort(order[last])
