"""Cameras and canonical landmarks together, from landmarks of pictures alone.

`K` pictures, `M` landmarks of each.

References:
  WO 2023/080921 [0176] leaves open where the canonical points come from. Here
  they are fitted by turns with the cameras.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from dr3d.camera.landmark import CameraFit, fit_cameras, measure_spread
from dr3d.camera.matrix import to_opencv

ALTERNATIONS = 20  # of cameras and points


def fit_points(
  pixels: np.ndarray,
  intrinsics: np.ndarray,
  *,
  size: int,
  start: np.ndarray | None = None,
) -> CameraFit:
  """Fits cameras and canonical points by turns.

  Landmarks alone leave rotation, shift, scale and mirror image of the object
  undetermined. So the points stay centred, their root mean square distance from
  the centre is kept, and they are turned back to their start. Without a start
  they come from the factorization of affine cameras, in axes that mean nothing:
  x along the longest extent, z along the shortest.

  Args:
    pixels: `[K, M, 2]`, see `fit_cameras`.
    intrinsics: of images of `size × size` pixels.
    size: height and width of the images, pixels.
    start: `[M, 3]` first points, or None.

  Raises:
    ValueError: as `fit_cameras`; or too few pictures.
  """
  pixels = np.asarray(pixels, np.float32)
  if start is not None:
    return _alternate(pixels, np.asarray(start), intrinsics, size)
  # Affine cameras cannot tell a shape from its mirror image; perspective can.
  shape = _factorize(pixels)
  fits = [
    _alternate(pixels, shape * mirror, intrinsics, size)
    for mirror in (np.ones(3), np.array([1.0, 1.0, -1.0]))
  ]
  return min(fits, key=lambda fit: fit.error.mean())


def _alternate(
  pixels: np.ndarray, start: np.ndarray, intrinsics: np.ndarray, size: int
) -> CameraFit:
  """Cameras and points by turns, from points."""
  points = np.asarray(start, np.float32)
  center, spread = points.mean(axis=0), measure_spread(points)
  fit = fit_cameras(pixels, points, intrinsics, size=size)
  for _ in range(ALTERNATIONS):
    points = _triangulate(pixels, fit, intrinsics, size)
    points = points - points.mean(axis=0)
    turn, _ = Rotation.align_vectors(start - center, points)
    points = turn.apply(points) * (spread / measure_spread(points)) + center
    last = fit.error.mean()
    fit = fit_cameras(pixels, points, intrinsics, size=size)
    if abs(last - fit.error.mean()) < 1e-4 * last:
      break
  return fit


def _triangulate(
  pixels: np.ndarray, fit: CameraFit, intrinsics: np.ndarray, size: int
) -> np.ndarray:
  """`[M, 3]` points with the least squared distance from all their rays."""
  camera = to_opencv(fit.views, size=size)
  turn = np.asarray(camera.rotation, np.float64)
  shift = np.asarray(camera.translation, np.float64)
  k = np.asarray(camera.intrinsics, np.float64)
  place = -np.einsum("kji,kj->ki", turn, shift)
  seen = (pixels - k[:, None, :2, 2]) / k[:, None, :1, 0]
  ray = np.concatenate([seen, np.ones((*seen.shape[:2], 1))], axis=-1)
  ray = np.einsum("kji,kmj->kmi", turn, ray)
  ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
  across = np.eye(3) - ray[..., :, None] * ray[..., None, :]
  weight = 1 / np.square(np.linalg.norm(place, axis=-1))[:, None, None, None]
  total = (weight * across).sum(axis=0)
  right = np.einsum("kmij,kj->mi", weight * across, place)
  return np.linalg.solve(total, right[..., None])[..., 0]


def _factorize(pixels: np.ndarray) -> np.ndarray:
  """`[M, 3]` points of affine cameras, of root mean square 1/2 radius.

  References:
    Tomasi and Kanade, Shape and motion from image streams, 1992, with the
    metric constraint of scaled orthography of Poelman and Kanade, 1997.
  """
  if len(pixels) < 3:
    raise ValueError(
      f"points come from three pictures or more, got {len(pixels)}: give"
      " canonical landmarks."
    )
  flat = pixels - pixels.mean(axis=1, keepdims=True)
  # Every picture counts alike, whatever its scale.
  flat = flat / np.sqrt(np.square(flat).sum(-1).mean(-1))[:, None, None]
  W = np.moveaxis(flat, 2, 1).reshape(-1, pixels.shape[1]).astype(np.float64)
  U, S, V = np.linalg.svd(W, full_matrices=False)
  motion, shape = U[:, :3], S[:3, None] * V[:3]
  x, y = motion[::2], motion[1::2]

  def row(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(3)
    return a[:, i] * b[:, j] + np.where(i == j, 0, a[:, j] * b[:, i])

  # |x| = |y| and x ⟂ y in every picture; the mean scale is 1.
  rows = np.concatenate([row(x, x) - row(y, y), row(x, y)])
  scale = (row(x, x) + row(y, y)).mean(axis=0) * len(rows)
  right = np.append(np.zeros(len(rows)), len(rows))
  found = np.linalg.lstsq(np.vstack([rows, scale]), right, rcond=None)[0]
  L = np.zeros((3, 3))
  L[np.triu_indices(3)] = found
  L = L + L.T - np.diag(np.diag(L))
  value, axes = np.linalg.eigh(L)
  root = axes * np.sqrt(value.clip(1e-3 * abs(value).max()))
  points = (np.linalg.inv(root) @ shape).T
  points -= points.mean(axis=0)
  _, _, axes = np.linalg.svd(points, full_matrices=False)
  if np.linalg.det(axes) < 0:
    axes[2] *= -1
  points = points @ axes.T
  return points * (0.5 / measure_spread(points))
