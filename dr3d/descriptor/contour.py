"""Fourier descriptors of the outlines of silhouettes.

Notation: I images, H rows and columns.

Source: D. Zhang, G. Lu, A comparative study of Fourier descriptors for shape
representation and retrieval (ACCV 2002): the distance of the outline from its
centroid, as a function of arc length.
"""

import numpy as np
import scipy.ndimage

COUNT = 10  # Fourier coefficients, as many as the light field descriptor takes
SAMPLES = 128  # points on an outline, equally spaced in arc length

_HEADINGS = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])  # right down left up


def fourier_descriptors(images: np.ndarray) -> np.ndarray:
  """Returns the lowest frequencies of the outlines, invariant to rotation.

  Args:
    images: bool [I, H, H].

  Returns:
    float32 [I, 10]: magnitudes of the Fourier coefficients 1 to 10 of the
    centroid distance, relative to coefficient 0; zero for an empty image.
  """
  result = np.zeros((len(images), COUNT), np.float32)
  for i, points in enumerate(trace_outlines(images)):
    if not len(points):
      continue
    closed = np.concatenate([points, points[:1]])
    steps = np.linalg.norm(np.diff(closed, axis=0), axis=1)
    arc_length = np.concatenate([[0], np.cumsum(steps)])
    at = np.arange(SAMPLES) / SAMPLES * arc_length[-1]
    y, x = (np.interp(at, arc_length, closed[:, k]) for k in (0, 1))
    distance = np.hypot(y - y.mean(), x - x.mean())
    spectrum = np.abs(np.fft.rfft(distance))
    result[i] = spectrum[1 : COUNT + 1] / spectrum[0]
  return result


def trace_outlines(images: np.ndarray) -> list[np.ndarray]:
  """Traces the outer boundary of the largest connected shape in each image.

  All images advance together, one step at a time, along the edges between
  pixels, with the shape on the right. A point is the middle of a pixel edge, so
  a diagonal staircase becomes a straight line.

  Args:
    images: bool [I, H, H].

  Returns:
    For each image float64 [L, 2], row and column, in units of a pixel, pixel
    k from k to k + 1; L = 0 for an empty image.
  """
  size = images.shape[1]
  shapes = np.pad(_keep_largest(images), ((0, 0), (1, 1), (1, 1)))
  flat = shapes.reshape(len(images), -1)
  lane = np.flatnonzero(flat.any(axis=1))
  # Background is above the first pixel in row order: start at its upper edge.
  start = np.stack(np.divmod(flat[lane].argmax(axis=1), size + 2), axis=1)
  position, heading = start.copy(), np.zeros(len(lane), np.int64)
  trail, lanes = [], []
  while len(lane):
    ahead = _HEADINGS[heading]
    trail.append(position + ahead / 2 - 1)
    lanes.append(lane)
    position = position + ahead
    side = _HEADINGS[(heading + 1) % 4]
    in_left, in_right = (
      shapes[(lane, *_pixel(position, ahead, sign * side).T)]
      for sign in (-1, 1)
    )
    heading = (
      np.where(in_left, heading + 3, np.where(in_right, heading, heading + 1))
      % 4
    )
    open_ = (heading != 0) | (position != start).any(axis=1)
    lane, position, heading, start = (
      x[open_] for x in (lane, position, heading, start)
    )
  return _sort_trail(trail, lanes, count=len(images))


def _pixel(
  corner: np.ndarray, ahead: np.ndarray, side: np.ndarray
) -> np.ndarray:
  """Returns the pixel ahead of a corner, on the given side."""
  return corner + (ahead + side - 1) // 2


def _keep_largest(images: np.ndarray) -> np.ndarray:
  """Keeps the largest 8-connected shape of each image."""
  within = np.zeros((3, 3, 3), bool)
  within[1] = True
  labels, count = scipy.ndimage.label(images, within)
  area = np.bincount(labels.reshape(-1), minlength=count + 1)
  area[0] = 0
  flat = labels.reshape(len(images), -1)
  largest = area[flat].argmax(axis=1)
  chosen = np.take_along_axis(flat, largest[:, None], axis=1)
  return (flat == chosen).reshape(images.shape) & images


def _sort_trail(
  trail: list[np.ndarray], lanes: list[np.ndarray], *, count: int
) -> list[np.ndarray]:
  """Converts points by step to points by image."""
  if not trail:
    return [np.zeros((0, 2))] * count
  lane = np.concatenate(lanes)
  points = np.concatenate(trail)[np.argsort(lane, kind="stable")]
  ends = np.cumsum(np.bincount(lane, minlength=count))
  return np.split(points, ends[:-1])
