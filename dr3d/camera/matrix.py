"""Conversion of views to and from the cameras of OpenCV and OpenGL.

See `dr3d.camera` for the conventions. `N` views.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.pose import TOLERANCE, make_placed_views, reject_if
from dr3d.camera.projection import Camera, check_camera
from dr3d.camera.view import Views, rotation_matrix

Array = jax.Array

_FLIP = np.array([1.0, -1, -1])  # OpenCV has y down and z forward


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OpencvCamera:
  """N cameras in the conventions of OpenCV.

  Attributes:
    rotation: `[N, 3, 3]` R, object to x right, y down, z forward.
    translation: `[N, 3]` t, radii of the object.
    intrinsics: `[N, 3, 3]` K, pixels.
  """

  rotation: Array
  translation: Array
  intrinsics: Array


def to_opencv(views: Views, *, size: int) -> OpencvCamera:
  """Returns the perspective cameras of views framed by the sphere.

  Args:
    views: N views.
    size: height and width of an image, pixels.

  Example:
    >>> import dr3d
    >>> views = dr3d.make_views(dr3d.ring_views(2))
    >>> dr3d.to_opencv(views, size=64).intrinsics.shape
    (2, 3, 3)
  """
  zero = jnp.zeros((views.count, 2), views.distance.dtype)
  x, y = jnp.moveaxis(zero if views.offset is None else views.offset, -1, 0)
  principal = zero if views.principal is None else views.principal
  focal = size / 2 / jnp.tan(views.fov / 2)
  one, none = jnp.ones_like(focal), jnp.zeros_like(focal)
  middle = size / 2 - 0.5 + size * principal
  rows = [
    [focal, none, middle[:, 0]],
    [none, focal, middle[:, 1]],
    [none, none, one],
  ]
  flip = jnp.array(_FLIP, views.distance.dtype)
  return OpencvCamera(
    rotation=flip[:, None] * rotation_matrix(views.quaternion),
    translation=jnp.stack([x, -y, views.distance], axis=-1),
    intrinsics=_matrix(rows),
  )


def from_opencv(
  rotation: Array | np.ndarray,
  translation: Array | np.ndarray,
  intrinsics: Array | np.ndarray,
  *,
  size: int,
  colored: bool = True,
) -> Views:
  """Returns views equal to OpenCV cameras, lit as by `make_views`.

  Differentiable. There is no lens distortion.

  Args:
    rotation: `[N, 3, 3]` R; convert rotation vectors with `cv2.Rodrigues`.
    translation: `[N, 3]` t, in the unit of the object's coordinates.
    intrinsics: `[N, 3, 3]` or `[3, 3]` K for images of `size × size` pixels.
    size: height and width of the images, pixels.
    colored: three coloured lights, or a white one.

  Raises:
    ValueError: the shapes do not fit, R is not a rotation, pixels are skewed or
      not square, or the origin of the object is not in front of a camera.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> K = np.array([[90.0, 0, 31.5], [0, 90, 31.5], [0, 0, 1]])
    >>> shift = np.array([[0, 0, 3.0]])
    >>> views = dr3d.from_opencv(np.eye(3)[None], shift, K, size=64)
    >>> round(float(views.distance[0]), 3)
    3.0
  """
  rotation, translation = jnp.asarray(rotation), jnp.asarray(translation)
  if translation.ndim != 2 or translation.shape[-1] != 3:
    raise ValueError(f"translation must be [N, 3], got {translation.shape}.")
  n = len(translation)
  intrinsics = jnp.asarray(intrinsics)
  if rotation.shape != (n, 3, 3) or intrinsics.shape[-2:] != (3, 3):
    raise ValueError(
      f"rotation must be [{n}, 3, 3] and intrinsics [{n}, 3, 3] or [3, 3], got"
      f" {rotation.shape} and {intrinsics.shape}."
    )
  k = jnp.broadcast_to(intrinsics, (n, 3, 3))
  focal = k[:, 1, 1]
  _check_pixels(k[:, 0, 0], focal, k[:, 0, 1])
  flip = jnp.array(_FLIP, translation.dtype)
  moved = translation * flip
  middle = jnp.stack([k[:, 0, 2], k[:, 1, 2]], axis=-1)
  return make_placed_views(
    flip[:, None] * rotation,
    translation[:, 2],
    2 * jnp.arctan(size / 2 / focal),
    colored=colored,
    offset=moved[:, :2],
    principal=(middle + 0.5) / size - 0.5,
  )


def to_opengl(
  views: Views, *, near: float, far: float, camera: Camera = "perspective"
) -> tuple[Array, Array]:
  """Returns view and projection matrices of views framed by the sphere.

  Args:
    views: N views.
    near: depth that becomes z = -1, radii.
    far: depth that becomes z = 1.
    camera: `"perspective"` or `"orthographic"`.

  Returns:
    `[N, 4, 4]` view and `[N, 4, 4]` projection.

  Raises:
    ValueError: the depths are not in order.

  Example:
    >>> import dr3d
    >>> views = dr3d.make_views(dr3d.ring_views(2))
    >>> view, projection = dr3d.to_opengl(views, near=1, far=5)
    >>> view.shape, projection.shape
    ((2, 4, 4), (2, 4, 4))
  """
  check_camera(camera)
  is_orthographic = camera == "orthographic"
  if not near < far or (not is_orthographic and not near > 0):
    raise ValueError(
      f"near must be less than far and positive, got {near} and {far}."
    )
  distance = views.distance
  zero = jnp.zeros((views.count, 2), distance.dtype)
  one, none = jnp.ones_like(distance), jnp.zeros_like(distance)
  aside = zero if views.offset is None else views.offset
  move = jnp.stack([aside[:, 0], aside[:, 1], -distance], axis=-1)
  turn = rotation_matrix(views.quaternion)
  view = jnp.concatenate([turn, move[..., None]], axis=-1)
  last = _matrix([[none, none, none, one]])
  view = jnp.concatenate([view, last], axis=-2)

  x, y = jnp.moveaxis(
    zero if views.principal is None else views.principal, 1, 0
  )
  scale = 1 / jnp.tan(views.fov / 2)
  depth = far - near
  if is_orthographic:
    rows = [
      [scale / distance, none, none, 2 * x],
      [none, scale / distance, none, -2 * y],
      [none, none, -2 / depth * one, -(far + near) / depth * one],
      [none, none, none, one],
    ]
  else:
    rows = [
      [scale, none, -2 * x, none],
      [none, scale, 2 * y, none],
      [none, none, -(far + near) / depth * one, -2 * far * near / depth * one],
      [none, none, -one, none],
    ]
  return view, _matrix(rows)


def from_opengl(
  view: Array | np.ndarray,
  projection: Array | np.ndarray,
  *,
  camera: Camera = "perspective",
  colored: bool = True,
) -> Views:
  """Returns views equal to OpenGL matrices, lit as by `make_views`.

  Differentiable. The near and far planes are dropped: dr3d needs none.

  Args:
    view: `[N, 4, 4]` a rotation and a translation.
    projection: `[N, 4, 4]` or `[4, 4]` for a square image, of the kind given by
      `camera`.
    camera: `"perspective"` or `"orthographic"`.
    colored: three coloured lights, or a white one.

  Raises:
    ValueError: the shapes or the kind do not fit, the view is not a rotation,
      the image is not square, or the origin of the object is not in front of a
      camera.

  Example:
    >>> import dr3d
    >>> views = dr3d.make_views(dr3d.ring_views(2))
    >>> matrices = dr3d.to_opengl(views, near=1, far=5)
    >>> dr3d.from_opengl(*matrices).count
    2
  """
  check_camera(camera)
  view, projection = jnp.asarray(view), jnp.asarray(projection)
  n = len(view)
  if view.shape != (n, 4, 4) or projection.shape[-2:] != (4, 4):
    raise ValueError(
      f"view must be [N, 4, 4] and projection [N, 4, 4] or [4, 4], got"
      f" {view.shape} and {projection.shape}."
    )
  projection = jnp.broadcast_to(projection, (n, 4, 4))
  is_orthographic = camera == "orthographic"
  last = jnp.array([0, 0, 0, 1.0] if is_orthographic else [0, 0, -1.0, 0])
  reject_if(
    jnp.any(jnp.abs(projection[:, 3] - last) > TOLERANCE),
    f"the projection's last row must be {last.tolist()} for {camera}",
  )
  scale = projection[:, 1, 1]
  _check_pixels(projection[:, 0, 0], scale, projection[:, 0, 1])
  distance = -view[:, 2, 3]
  column = 3 if is_orthographic else 2
  sign = jnp.array([0.5, -0.5] if is_orthographic else [-0.5, 0.5])
  if is_orthographic:
    scale = scale * distance
  return make_placed_views(
    view[:, :3, :3],
    distance,
    2 * jnp.arctan(1 / scale),
    colored=colored,
    offset=view[:, :2, 3],
    principal=projection[:, :2, column] * sign.astype(projection.dtype),
  )


def _matrix(rows: list[list[Array]]) -> Array:
  return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _check_pixels(x: Array, y: Array, skew: Array) -> None:
  reject_if(
    (jnp.abs(x - y) > TOLERANCE * jnp.abs(y)) | (y <= 0),
    "pixels must be square: the scales of x and y must be positive and equal,"
    f" got {x} and {y}",
  )
  reject_if(
    jnp.abs(skew) > TOLERANCE * jnp.abs(y), f"skew must be 0, got {skew}"
  )
