"""Cameras from landmarks: least squares of their projections.

`K` pictures, `M` landmarks of each. The unknowns of a camera are a rotation
(three numbers, as a rotation vector after a start) and a shift, optionally the
focal length. The minimum of such a sum is not the only one, so each camera is
fitted from several starts at once, and the best is kept.

References:
  WO 2023/080921 [0045, 0070, 0170, 0171, 0176]: least squares of cameras.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from dr3d.camera.least_squares import minimize
from dr3d.camera.matrix import from_opencv
from dr3d.camera.view import Views

Array = jax.Array

LANDMARKS_MIN = 4
"""Three landmarks leave up to four poses that fit them exactly."""
STEPS = 60  # of a descent; most end within twenty
FIRST_DAMPING = 1e-3  # of the largest diagonal element
STARTS = (
  24  # rotations of the cube; all viewpoints are within 55 degrees of one
)
SPAN_MIN = 1e-3  # least extent along the second axis, of that along the first
CONDITION_MAX = 1e6  # of the normal equations, above which a pose is not fixed
DEPTH_MIN = 1e-2  # of a landmark in front of the camera, in spans


@dataclasses.dataclass(frozen=True, eq=False)
class CameraFit:
  """Cameras that fit landmarks.

  Attributes:
    views: K views, lit as by `make_views`.
    error: float `[K]` root mean square distance of the projections from the
      landmarks, pixels.
    focal: float `[K]` focal length, pixels.
    points: float `[M, 3]` canonical landmarks.
  """

  views: Views
  error: np.ndarray
  focal: np.ndarray
  points: np.ndarray


def fit_cameras(
  pixels: np.ndarray,
  points: np.ndarray,
  intrinsics: np.ndarray,
  *,
  size: int,
  fit_focal: bool = False,
) -> CameraFit:
  """Fits the camera of each picture to its landmarks.

  Args:
    pixels: `[K, M, 2]` landmarks, x right and y down; pixels, whole numbers at
      the centres of pixels, as OpenCV has them.
    points: `[M, 3]` canonical landmarks in axes and radii of the object.
    intrinsics: `[3, 3]` or `[K, 3, 3]` of images of `size × size` pixels; the
      focal length is the first value if it is fitted.
    size: height and width of the images, pixels.
    fit_focal: fit the focal length of each picture too, which weak landmarks
      do not determine [0177].

  Returns:
    The cameras and their errors.

  Raises:
    ValueError: the landmarks are too few, not finite, in one place or on one
      line, or a camera is not determined by them.
  """
  pixels = np.asarray(pixels, np.float32)
  points = np.asarray(points, np.float32)
  _check(pixels, points, fit_focal)
  K = len(pixels)
  k = np.broadcast_to(np.asarray(intrinsics, np.float32), (K, 3, 3))
  start = _start_shift(pixels, points, k)
  solve = _solve_with_focal if fit_focal else _solve
  turn, shift, focal, value, condition = jax.tree.map(
    np.asarray, solve(pixels, points, k, start)
  )
  loose = np.flatnonzero(~(condition < CONDITION_MAX))
  if len(loose):
    raise ValueError(
      f"the landmarks of picture {loose[0]} do not determine its camera: they"
      " lie in one place, on a line, or fit several poses; give more landmarks"
      " or a transform_matrix."
    )
  behind = np.flatnonzero(shift[:, 2] <= 0)
  if len(behind):
    raise ValueError(
      f"the landmarks of picture {behind[0]} fit only a camera with the object"
      " behind it: check their order and that y points down."
    )
  k = k.copy()
  k[:, 0, 0] = k[:, 1, 1] = focal
  views = from_opencv(turn, shift, k, size=size, colored=False)
  error = np.sqrt(2 * value / pixels.shape[1]) * focal
  return CameraFit(views, error, focal, points)


def _check(pixels: np.ndarray, points: np.ndarray, fit_focal: bool) -> None:
  """Raises ValueError if landmarks cannot determine cameras."""
  M = len(points)
  if points.shape != (M, 3) or pixels.shape[1:] != (M, 2) or not len(pixels):
    raise ValueError(
      f"pixels must be [K, M, 2] and points [M, 3], got {pixels.shape} and"
      f" {points.shape}."
    )
  needed = LANDMARKS_MIN + fit_focal
  if needed > M:
    raise ValueError(
      f"a camera needs {needed} landmarks, got {M}: fewer leave several poses."
    )
  if not (np.isfinite(pixels).all() and np.isfinite(points).all()):
    raise ValueError("landmarks must be finite numbers.")
  extent = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
  if not extent[1] > SPAN_MIN * extent[0]:
    raise ValueError(
      "the canonical landmarks lie in one place or on one line, about which a"
      " camera can turn freely: take some beside that line."
    )
  if fit_focal and not extent[2] > 0.05 * extent[0]:
    raise ValueError(
      "the canonical landmarks lie nearly in a plane, which does not determine"
      " the focal length: fix it, or take landmarks beside the plane."
    )
  for i, marks in enumerate(pixels):
    extent = np.linalg.svd(marks - marks.mean(axis=0), compute_uv=False)
    if not extent[1] > SPAN_MIN * extent[0]:
      raise ValueError(
        f"the landmarks of picture {i} lie in one place or on one line, which"
        " does not determine its camera."
      )


def _start_shift(
  pixels: np.ndarray, points: np.ndarray, k: np.ndarray
) -> np.ndarray:
  """`[K, 3]` shifts from the middle and the spread of the landmarks."""
  f = k[:, :1, 0]
  marks = (pixels - k[:, None, :2, 2]) / f[..., None]
  middle = marks.mean(axis=1)
  apart = np.sqrt(np.square(marks - middle[:, None]).sum(-1).mean(1))
  # Two of three dimensions are seen on average.
  depth = measure_spread(points) * np.sqrt(2 / 3) / apart
  return np.concatenate([middle * depth[:, None], depth[:, None]], axis=-1)


def measure_spread(points: np.ndarray) -> float:
  """Root mean square distance of `[M, 3]` points from their middle."""
  offset = points - points.mean(axis=0)
  return float(np.sqrt(np.square(offset).sum(-1).mean()))


def _rotate(vector: Array) -> Array:
  """`[3]` rotation vector to `[3, 3]`, smooth at 0 (Rodrigues)."""
  square = jnp.sum(vector**2)
  is_small = square < 1e-6
  safe = jnp.where(is_small, 1, square)  # its root has a gradient
  angle = jnp.sqrt(safe)
  x, y, z = vector
  none = jnp.zeros_like(x)
  cross = jnp.array([[none, -z, y], [z, none, -x], [-y, x, none]])
  one = jnp.where(is_small, 1 - square / 6, jnp.sin(angle) / angle)
  two = jnp.where(is_small, 0.5 - square / 24, (1 - jnp.cos(angle)) / safe)
  return jnp.eye(3) + one * cross + two * (cross @ cross)


def _project(
  turn: Array, shift: Array, points: Array, depth_min: Array
) -> Array:
  """`[M, 3]` points to `[M, 2]` at a focal length of 1, y down."""
  place = points @ turn.T + shift
  return place[:, :2] / jnp.maximum(place[:, 2:], depth_min)


@functools.partial(jax.jit, static_argnames="fit_focal")
def _solve(
  pixels: Array, points: Array, k: Array, start: Array, fit_focal: bool = False
) -> tuple[Array, ...]:
  # Every rotation is within 63 degrees of one of these 24.
  cube = jnp.asarray(Rotation.create_group("O").as_matrix(), jnp.float32)
  center = jnp.mean(points, axis=0)
  # Rotations about the middle of the points hardly move their shift.
  local = points - center
  span = jnp.max(jnp.linalg.norm(local, axis=-1))

  def fit_one(marks: Array, k: Array, shift: Array) -> tuple[Array, ...]:
    focal = k[0, 0]
    seen = (marks - k[:2, 2]) / focal

    def residual(first: Array, x: Array) -> Array:
      turn = _rotate(x[:3]) @ first
      flat = _project(turn, x[3:6] * span, local, DEPTH_MIN * span)
      zoom = jnp.exp(x[6]) if fit_focal else 1.0
      # One weight for all, so that a wrong depth cannot shrink the error.
      return (flat * zoom - seen).reshape(-1)

    def descend(first: Array) -> tuple[Array, Array]:
      x = jnp.concatenate([jnp.zeros(3), shift / span, jnp.zeros(fit_focal)])
      return minimize(functools.partial(residual, first), x)

    xs, values = jax.vmap(descend)(cube)
    in_front = xs[:, 5] > 0
    best = jnp.argmin(jnp.where(in_front, values, jnp.inf))
    x, first = xs[best], cube[best]
    J = jax.jacfwd(functools.partial(residual, first))(x)
    singular = jnp.linalg.svd(J, compute_uv=False)
    condition = (singular[0] / singular[-1]) ** 2
    turn = _rotate(x[:3]) @ first
    zoom = jnp.exp(x[6]) if fit_focal else 1.0
    return (
      turn,
      x[3:6] * span - turn @ center,
      focal * zoom,
      values[best],
      condition,
    )

  return jax.vmap(fit_one)(pixels, k, start)


_solve_with_focal = functools.partial(_solve, fit_focal=True)
