"""Silhouettes of a mesh along many axes, in parallel projection.

Notation: I images, H rows and columns, F faces.
"""

import numpy as np

from dr3d.mesh.surface import cross, normalize


def draw_silhouettes(
  vertices: np.ndarray, faces: np.ndarray, axes: np.ndarray, *, size: int
) -> np.ndarray:
  """Draws the silhouette of a mesh along each axis.

  A pixel is set if its centre is inside. The image shows the square from -1 to
  1. Its rotation about the axis is arbitrary.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3].
    axes: float [I, 3], unit vectors towards the camera.
    size: H.

  Returns:
    bool [I, H, H].
  """
  right, up = _find_screen(axes)
  points = np.stack([vertices @ right.T, vertices @ up.T], axis=-1)
  points = (points + 1) * (size / 2) - 0.5  # the centre of pixel k is at k
  corners = points.transpose(1, 0, 2)[:, faces].reshape(-1, 3, 2)
  order = np.argsort(corners[..., 1], axis=1)[..., None]
  low, middle, high = np.moveaxis(
    np.take_along_axis(corners, order, axis=1), 1, 0
  )
  first = np.ceil(low[:, 1]).clip(0).astype(np.int64)
  last = np.floor(high[:, 1]).clip(max=size - 1).astype(np.int64)
  rows = (last - first + 1).clip(0)
  # A span is one pixel row of one triangle.
  triangle = np.repeat(np.arange(len(rows)), rows)
  row = np.arange(len(triangle)) - np.repeat(np.cumsum(rows) - rows, rows)
  row += first[triangle]
  long = _cross(low, high, triangle, row)
  short = np.where(
    row < middle[triangle, 1],
    _cross(low, middle, triangle, row),
    _cross(middle, high, triangle, row),
  )
  left = np.ceil(np.minimum(long, short)).clip(0, size).astype(np.int64)
  right_end = np.floor(np.maximum(long, short)).clip(-1, size - 1)
  right_end = right_end.astype(np.int64) + 1
  line = (triangle // len(faces) * size + row) * (size + 1)
  shown = left < right_end
  count = len(axes) * size * (size + 1)
  begin = np.bincount((line + left)[shown], minlength=count)
  end = np.bincount((line + right_end)[shown], minlength=count)
  depth = np.cumsum((begin - end).reshape(len(axes), size, size + 1), axis=2)
  return depth[..., :size] > 0


def _find_screen(axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns unit vectors [I, 3] right and up, perpendicular to each axis."""
  away = np.eye(3)[np.abs(axes).argmin(axis=1)]
  right = normalize(cross(away, axes))
  return right, cross(axes, right)


def _cross(
  start: np.ndarray, end: np.ndarray, triangle: np.ndarray, row: np.ndarray
) -> np.ndarray:
  """Returns the x at which an edge of each span's triangle crosses its row."""
  rise = end[:, 1] - start[:, 1]
  slope = (end[:, 0] - start[:, 0]) / np.where(rise > 0, rise, 1)
  return start[triangle, 0] + slope[triangle] * (row - start[triangle, 1])
