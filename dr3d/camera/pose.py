"""Cameras by position and target, and the projection of points.

`N` views, `P` points.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.projection import (
  Camera,
  check_camera,
  frame_object,
  place_corners,
  to_image,
)
from dr3d.camera.view import FOV_RATIO, Views, make_views
from dr3d.geometry.norm import to_unit

Array = jax.Array

TOLERANCE = 1e-4  # absolute error allowed in a rotation or projection matrix


def project_points(
  points: Array | np.ndarray,
  views: Views,
  *,
  size: int,
  camera: Camera = "perspective",
) -> tuple[Array, Array]:
  """Projects points of the object to images framed by the sphere.

  Args:
    points: `[P, 3]`.
    views: N views.
    size: height and width of an image, pixels.
    camera: `"perspective"` or `"orthographic"`.

  Returns:
    `[N, P, 2]` x to the right and y down, pixels, undefined if the depth is not
    positive; and `[N, P]` depth.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> views = dr3d.make_views(dr3d.ring_views(1))
    >>> pixels, depth = dr3d.project_points(np.zeros((1, 3)), views, size=64)
    >>> print(pixels[0, 0], depth[0, 0])
    [32. 32.] 3.0
  """
  check_camera(camera)
  if points.ndim != 2 or points.shape[-1] != 3:
    raise ValueError(f"points must be [P, 3], got {points.shape}.")
  x, y, depth = _see(points, views)
  x, y, _ = to_image(x, y, depth, views, size=size, camera=camera)
  return jnp.stack([x[0, 0], y[0, 0]], axis=-1), depth[0, 0]


def to_quaternion(matrix: Array | np.ndarray) -> Array:
  """`[..., 3, 3]` rotation matrices to `[..., 4]` quaternions with w ≥ 0.

  The inverse of `rotation_matrix`, with a finite gradient everywhere.

  References:
    Shepperd, Quaternion from rotation matrix, 1978: of four formulas, the one
    that divides by the largest component.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> print(dr3d.to_quaternion(np.eye(3)))
    [1. 0. 0. 0.]
  """
  m = jnp.asarray(matrix)
  if m.shape[-2:] != (3, 3):
    raise ValueError(f"matrix must be [..., 3, 3], got {m.shape}.")
  xx, yy, zz = (m[..., k, k] for k in range(3))

  def odd(i, j):
    return m[..., i, j] - m[..., j, i]

  def even(i, j):
    return m[..., i, j] + m[..., j, i]

  # Row k is 4 q_k q.
  rows = [
    [1 + xx + yy + zz, odd(2, 1), odd(0, 2), odd(1, 0)],
    [odd(2, 1), 1 + xx - yy - zz, even(0, 1), even(0, 2)],
    [odd(0, 2), even(0, 1), 1 - xx + yy - zz, even(1, 2)],
    [odd(1, 0), even(0, 2), even(1, 2), 1 - xx - yy + zz],
  ]
  table = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
  best = jnp.argmax(jnp.diagonal(table, axis1=-2, axis2=-1), axis=-1)
  q = jnp.take_along_axis(table, best[..., None, None], axis=-2)[..., 0, :]
  return to_unit(jnp.where(q[..., :1] < 0, -q, q))


def look_at(
  eye: Array | np.ndarray,
  target: Array | np.ndarray | None = None,
  up: Array | np.ndarray | tuple[float, float, float] = (0.0, 0.0, 1.0),
  *,
  fov: float | Array | None = None,
  colored: bool = True,
) -> Views:
  """Returns views from positions towards targets, lit as by `make_views`.

  Differentiable in `eye`, `target` and `up`.

  Args:
    eye: `[N, 3]` positions of the cameras, in axes and radii of the object.
    target: `[N, 3]` or `[3]` points at the centre of the images; None for the
      origin, which leaves `offset` None.
    up: `[N, 3]` or `[3]` direction that points up in the image. If it is
      parallel to the line of sight, the y axis replaces it, or else the z axis.
    fov: vertical field of view, radians; None for that of `make_views` at the
      distance between eye and origin.
    colored: three coloured lights, or a white one.

  Raises:
    ValueError: the shapes do not fit, an eye is at its target, or the origin
      of the object is not in front of a camera.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> views = dr3d.look_at(np.array([[0.0, -3.0, 0.0]]))
    >>> views.count, round(float(views.distance[0]), 3)
    (1, 3.0)
  """
  eye = jnp.asarray(eye) * 1.0
  if eye.ndim != 2 or eye.shape[-1] != 3 or not len(eye):
    raise ValueError(f"eye must be [N, 3], got {eye.shape}.")
  aim = jnp.zeros(3) if target is None else jnp.asarray(target)
  up = jnp.asarray(up)
  if aim.shape not in ((3,), eye.shape) or up.shape not in ((3,), eye.shape):
    raise ValueError(
      f"target and up must be [3] or {list(eye.shape)}, got {aim.shape} and"
      f" {up.shape}."
    )
  reject_if(jnp.all(eye == aim, axis=-1), "an eye is at its target")
  z = to_unit(eye - aim)
  up = to_unit(jnp.broadcast_to(up, z.shape).astype(z.dtype))
  for spare in ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
    is_along = jnp.sum(jnp.cross(up, z) ** 2, axis=-1, keepdims=True) < 1e-6
    up = jnp.where(is_along, jnp.array(spare, z.dtype), up)
  x = to_unit(jnp.cross(up, z))
  matrix = jnp.stack([x, jnp.cross(z, x), z], axis=-2)
  place = jnp.sum(matrix * eye[:, None], axis=-1)  # written out: exact
  distance = place[:, 2]
  reject_if(
    distance <= 0, "the origin of the object is not in front of a camera"
  )
  if fov is None:
    far = jnp.sqrt(jnp.sum(eye**2, axis=-1))
    reject_if(far <= 1, "an eye within the unit sphere needs a fov")
    fov = FOV_RATIO * jnp.arcsin(1 / far)
  return make_placed_views(
    matrix,
    distance,
    fov,
    colored=colored,
    offset=None if target is None else -place[:, :2],
  )


def bake_framing(
  points: Array | np.ndarray, views: Views, *, camera: Camera = "perspective"
) -> Views:
  """Returns views whose sphere framing equals the object framing of others.

  `render(..., views, framing="object")` of one model and `render(..., fixed,
  framing="sphere")` give the same images. So `to_opencv(fixed)` is the camera
  of an image that is framed by the object.

  Args:
    points: `[P, 3]` corners of that model, all farther than `NEAREST` from the
      cameras.
    views: N views.
    camera: `"perspective"` or `"orthographic"`.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> views = dr3d.make_views(dr3d.ring_views(2))
    >>> closer = dr3d.bake_framing(0.1 * np.eye(3), views)
    >>> bool((closer.fov < views.fov).all())
    True
  """
  check_camera(camera)
  x, y, depth = _see(points, views)
  frame = frame_object(x, y, depth, views, camera=camera)
  zoom, x, y = (a[0, 0, :, 0] for a in frame)
  scale = zoom / jnp.tan(views.fov / 2)
  return dataclasses.replace(
    views,
    fov=2 * jnp.arctan(1 / scale),
    principal=jnp.stack([-x, y], axis=-1) * scale[:, None] / 2,
  )


def _see(
  points: Array | np.ndarray, views: Views
) -> tuple[Array, Array, Array]:
  """`[P, 3]` points to x, y and depth in the views, `[1, 1, N, P]`."""
  x, y, z = place_corners(jnp.asarray(points)[None, :, None], views)
  return x, y, views.distance[:, None] - z


def make_placed_views(
  matrix: Array,
  distance: Array,
  fov: Array | float,
  *,
  colored: bool,
  offset: Array | None = None,
  principal: Array | None = None,
) -> Views:
  """Returns views of rotation matrices, with initial lights and material.

  Args:
    matrix: `[N, 3, 3]` rotations of the object.
    distance: `[N]` radii.
    fov: `[N]` or one for all, radians.
    colored: three coloured lights, or a white one.
    offset: `[N, 2]`, see `Views`.
    principal: `[N, 2]`, see `Views`.

  Raises:
    ValueError: a matrix is not a rotation, or a distance is not positive.
  """
  _check_rotation(matrix)
  reject_if(
    distance <= 0, "the origin of the object is not in front of a camera"
  )
  views = make_views(np.tile([1.0, 0, 0, 0], (len(matrix), 1)), colored=colored)
  return dataclasses.replace(
    views,
    quaternion=to_quaternion(matrix),
    distance=distance,
    fov=jnp.broadcast_to(jnp.asarray(fov, distance.dtype), distance.shape),
    offset=offset,
    principal=principal,
  )


def _check_rotation(matrix: Array) -> None:
  square = jnp.sum(matrix[..., :, None, :] * matrix[..., None, :, :], axis=-1)
  reject_if(
    (jnp.abs(square - jnp.eye(3)) > TOLERANCE).any((-2, -1))
    | (jnp.linalg.det(matrix) < 0),
    "a matrix is not a rotation: its rows must be right-handed, orthogonal unit"
    " vectors",
  )


def reject_if(is_broken: Array, rule: str) -> None:
  """Raises a ValueError if a rule is broken; under jit it checks nothing.

  Args:
    is_broken: bool, of any shape.
    rule: the message, without a full stop.
  """
  if not isinstance(is_broken, jax.core.Tracer) and bool(jnp.any(is_broken)):
    raise ValueError(f"{rule}.")
