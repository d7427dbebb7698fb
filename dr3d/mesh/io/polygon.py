"""Polygons become triangles that cover the same area.

A convex polygon is a fan about its first corner, which is what nearly all
polygons of a file are. One with an inward corner or with holes goes to
mapbox_earcut, an ear-clipping triangulation in the plane.
"""

from collections.abc import Sequence

import numpy as np

_INWARD = -1e-9  # of the squared perimeter: a turn within rounding is straight


def triangulate(
  vertices: np.ndarray, polygons: Sequence[Sequence[int] | np.ndarray]
) -> np.ndarray:
  """Splits polygons into triangles of the same winding.

  Args:
    vertices: float64 [V, 3].
    polygons: indices of the corners of each; fewer than three are dropped.

  Returns:
    int64 [F, 3].
  """
  if not len(polygons):
    return np.zeros((0, 3), np.int64)
  sizes = np.array([len(polygon) for polygon in polygons])
  corners = np.concatenate([np.asarray(p, np.int64) for p in polygons])
  return split_corners(vertices, corners, sizes)


def split_corners(
  vertices: np.ndarray, corners: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
  """Splits polygons whose corners stand in one row; see `triangulate`.

  Args:
    vertices: float64 [V, 3].
    corners: int64 [sum of sizes], indices.
    sizes: int64 [P], corners of each polygon.
  """
  starts = np.cumsum(sizes) - sizes
  parts = [np.zeros((0, 3), np.int64)]
  for size in np.unique(sizes[sizes >= 3]):
    rows = starts[sizes == size, None] + np.arange(size)
    parts.append(split_polygons(vertices, corners[rows]))
  return np.concatenate(parts)


def split_polygons(vertices: np.ndarray, polygons: np.ndarray) -> np.ndarray:
  """Splits polygons of one size; see `triangulate`.

  Args:
    vertices: float64 [V, 3].
    polygons: int64 [P, N], N >= 3; indices are within vertices, or the
      polygon is split as a fan and its indices are left for others to check.

  Returns:
    int64 [P (N - 2), 3], fewer where a polygon is degenerate.
  """
  count, size = polygons.shape
  if size == 3:
    return polygons
  valid = ((polygons >= 0) & (polygons < len(vertices))).all(axis=1)
  inward = np.zeros(count, bool)
  inward[valid] = ~_is_convex(vertices[polygons[valid]])
  fans = polygons[~inward]
  k = np.arange(1, size - 1)
  corners = np.stack([np.zeros_like(k), k, k + 1], axis=1)
  parts = [fans[:, corners].reshape(-1, 3)]
  parts += [split_rings(vertices, [polygon]) for polygon in polygons[inward]]
  return np.concatenate(parts)


def split_rings(
  vertices: np.ndarray, rings: Sequence[np.ndarray]
) -> np.ndarray:
  """Splits one polygon with holes.

  Args:
    vertices: float64 [V, 3].
    rings: int64 [N] each: the outline, then the holes.

  Returns:
    int64 [F, 3], wound as the outline is.
  """
  import mapbox_earcut

  corners = np.concatenate(rings).astype(np.int64)
  outline = vertices[np.asarray(rings[0])]
  normal = _newell(outline[None])[0]
  if not np.isfinite(normal).all() or not normal.any():
    return np.zeros((0, 3), np.int64)  # no area
  axes = _plane_axes(normal)
  flat = (vertices[corners] - outline[0]) @ axes.T
  ends = np.cumsum([len(ring) for ring in rings]).astype(np.uint32)
  triangles = mapbox_earcut.triangulate_float64(flat, ends)
  triangles = triangles.reshape(-1, 3).astype(np.int64)
  a, b, c = (flat[triangles[:, k]] for k in range(3))
  u, v = b - a, c - a
  # The axes make the outline counter-clockwise; earcut winds as it likes.
  clockwise = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] < 0
  triangles[clockwise] = triangles[clockwise][:, ::-1]
  return corners[triangles]


def split_strip(corners: np.ndarray) -> np.ndarray:
  """Returns the triangles of a strip, every other one turned round.

  Args:
    corners: int64 [N].
  """
  triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
  triangles[1::2] = triangles[1::2, [1, 0, 2]]
  return _drop_degenerate(triangles)


def split_fan(corners: np.ndarray) -> np.ndarray:
  """Returns the triangles of a fan about its first corner, int64 [N - 2, 3]."""
  first = np.broadcast_to(corners[:1], (max(len(corners) - 2, 0),))
  return np.stack([first, corners[1:-1], corners[2:]], axis=1)


def _drop_degenerate(triangles: np.ndarray) -> np.ndarray:
  """Drops triangles with two equal corners, with which strips are joined."""
  a, b, c = triangles.T
  return triangles[(a != b) & (b != c) & (c != a)]


def _is_convex(corners: np.ndarray) -> np.ndarray:
  """Tells which polygons [P, N, 3] turn one way, once round: bool [P]."""
  sides = np.roll(corners, -1, axis=1) - corners
  before = np.roll(sides, 1, axis=1)
  normal = _newell(corners)
  length = np.linalg.norm(normal, axis=1, keepdims=True)
  normal = normal / np.where(length > 0, length, 1)
  turns = (np.cross(before, sides) * normal[:, None]).sum(axis=2)
  scale = (sides**2).sum(axis=(1, 2))
  if corners.shape[1] > 4:
    # A star turns one way too, but more than once round.
    ahead = (before * sides).sum(axis=2)
    round_ = np.arctan2(turns, ahead).sum(axis=1) < 3 * np.pi
  else:
    round_ = np.ones(len(corners), bool)
  return round_ & ~(turns < _INWARD * scale[:, None]).any(axis=1)


def _newell(corners: np.ndarray) -> np.ndarray:
  """Returns normals [P, 3] of polygons [P, N, 3], as long as twice the area."""
  centred = corners - corners[:, :1]
  return np.cross(centred, np.roll(centred, -1, axis=1)).sum(axis=1)


def _plane_axes(normal: np.ndarray) -> np.ndarray:
  """Returns two unit vectors [2, 3] that make a right-handed frame with it."""
  normal = normal / np.linalg.norm(normal)
  other = np.eye(3)[np.argmin(np.abs(normal))]
  u = np.cross(other, normal)
  u /= np.linalg.norm(u)
  return np.stack([u, np.cross(normal, u)])
