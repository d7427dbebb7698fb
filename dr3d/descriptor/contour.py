"""Fourier descriptors of silhouettes: what a shape's outline looks like.

Notation: I images, H rows and columns.

Source: D. Zhang, G. Lu, A comparative study of Fourier descriptors for shape
representation and retrieval (ACCV 2002): the distance of the outline from its
centroid, as a function of the length of the way along it.
"""

import numpy as np
import scipy.ndimage

COUNT = 10
SAMPLES = 128  # points along an outline

_AHEAD = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])  # right, down, left, up


def fourier_descriptors(images: np.ndarray) -> np.ndarray:
  """The lowest frequencies of the outlines, whatever way they are turned.

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
    way = np.concatenate([[0], np.cumsum(steps)])
    at = np.arange(SAMPLES) / SAMPLES * way[-1]
    y, x = (np.interp(at, way, closed[:, k]) for k in (0, 1))
    distance = np.hypot(y - y.mean(), x - x.mean())
    spectrum = np.abs(np.fft.rfft(distance))
    result[i] = spectrum[1 : COUNT + 1] / spectrum[0]
  return result


def trace_outlines(images: np.ndarray) -> list[np.ndarray]:
  """Walks around the largest connected shape of each image.

  All images at once, a step at a time, along the cracks between pixels with
  the shape on the right hand. A point is the middle of a crack, so a diagonal
  staircase becomes a straight line.

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
  # The first pixel of a shape has nothing above: start along its upper side.
  start = np.stack(np.divmod(flat[lane].argmax(axis=1), size + 2), axis=1)
  place, heading = start.copy(), np.zeros(len(lane), np.int64)
  trail, lanes = [], []
  while len(lane):
    ahead = _AHEAD[heading]
    trail.append(place + ahead / 2 - 1)
    lanes.append(lane)
    place = place + ahead
    side = _AHEAD[(heading + 1) % 4]
    in_left, in_right = (
      shapes[(lane, *_pixel(place, ahead, sign * side).T)] for sign in (-1, 1)
    )
    heading = (
      np.where(in_left, heading + 3, np.where(in_right, heading, heading + 1))
      % 4
    )
    open_ = (heading != 0) | (place != start).any(axis=1)
    lane, place, heading, start = (
      x[open_] for x in (lane, place, heading, start)
    )
  return _sort_trail(trail, lanes, count=len(images))


def _pixel(
  corner: np.ndarray, ahead: np.ndarray, side: np.ndarray
) -> np.ndarray:
  """The pixel at a corner that lies in front and to the given side."""
  return corner + (ahead + side - 1) // 2


def _keep_largest(images: np.ndarray) -> np.ndarray:
  """The largest shape of each image; pixels connect at corners as well."""
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
  """Points by image from points by step."""
  if not trail:
    return [np.zeros((0, 2))] * count
  lane = np.concatenate(lanes)
  points = np.concatenate(trail)[np.argsort(lane, kind="stable")]
  ends = np.cumsum(np.bincount(lane, minlength=count))
  return np.split(points, ends[:-1])
