"""Projection from the axes of a view to its image.

A point is at `x` and `y` from the optical axis and at `depth` in front of the
camera, in radii of the object. In an image of unit scale a perspective camera
shows `x` at `x / depth` and an orthographic one at `x / distance`, so that both
show the plane through the origin at the same size. See `dr3d.camera` for the
conventions. `B` models, `N` views, `F` faces, `C` corners of each; faces stand
last, see `dr3d.geometry.vector`.
"""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import Views, rotation_matrix
from dr3d.geometry.vector import Vector

Array = jax.Array

Camera = Literal["perspective", "orthographic"]
CAMERAS: tuple[Camera, ...] = get_args(Camera)
NEAREST = 0.01  # near plane, radii from the camera, where faces are clipped
# Least depth that becomes z = 1, radii. Without it, z would not be finite for a
# camera on the unit sphere.
NEAR_DEPTH_MIN = 0.5
# Least half size of an object in an image of unit scale: limits the zoom on
# objects that are thin or empty.
HALF_SIZE_MIN = 1e-3


def check_camera(camera: Camera) -> None:
  """Raises a ValueError if there is no camera of that name."""
  if camera not in CAMERAS:
    raise ValueError(f"camera must be one of {CAMERAS}, got {camera!r}.")


def place_corners(corners: Array | np.ndarray, views: Views) -> Vector:
  """Maps `[B, F, C, 3]` points of the object to the axes of the views.

  Returns:
    x to the right, y up and z towards the camera, `[C, B, N, F]` each.
  """
  x, y, z = turn_vectors(corners, views)
  if views.offset is not None:
    x = x + views.offset[:, 0, None]
    y = y + views.offset[:, 1, None]
  return x, y, z


def turn_vectors(vectors: Array | np.ndarray, views: Views) -> Vector:
  """Maps `[B, F, C, 3]` vectors to the axes of the views, `[C, B, N, F]`."""
  return _turn(rotation_matrix(views.quaternion), jnp.asarray(vectors))


@jax.custom_vjp
def _turn(matrix, vectors):
  x, y, z = faces_last(vectors)
  turned = jnp.moveaxis(matrix, 0, -1)[..., None]  # [3, 3, N, 1]
  # Written out: XLA fuses nine products, but not a product of matrices.
  x, y, z = (row[0] * x + row[1] * y + row[2] * z for row in turned)
  return x, y, z


def _turn_forward(matrix, vectors):
  return _turn(matrix, vectors), (matrix, vectors)


def _turn_backward(saved, gradient):
  matrix, vectors = saved
  gradient = jnp.stack(gradient)
  product = functools.partial(jnp.einsum, precision="highest")
  return (
    product("icbnf,bfcj->nij", gradient, vectors),
    product("icbnf,nij->bfcj", gradient, matrix),
  )


_turn.defvjp(_turn_forward, _turn_backward)


def faces_last(array: Array | np.ndarray) -> Array:
  """`[B, F, C, A]` to `[A, C, B, 1, F]`, A components for all views."""
  return jnp.transpose(jnp.asarray(array), (3, 2, 0, 1))[..., None, :]


def to_image(
  x: Array,
  y: Array,
  depth: Array,
  views: Views,
  *,
  size: int,
  camera: Camera,
  frame: tuple[Array, Array, Array] | None = None,
  width: int | None = None,
) -> tuple[Array, Array, Array]:
  """Projects points to pixels.

  Args:
    x: `[C, B, N, F]`, as are `y` and `depth`.
    y: upwards.
    depth: positive.
    views: cameras.
    size: height of an image, pixels.
    camera: one of `CAMERAS`.
    frame: from `frame_object`; it replaces the principal point.
    width: of an image, pixels; None for a square one.

  Returns:
    x to the right and y down in pixels, and `inverse_depth`.
  """
  distance = views.distance[:, None]
  inverse = inverse_depth(depth, distance, camera)
  shrink = 1 / distance if camera == "orthographic" else inverse
  x, y = x * shrink, y * shrink
  if frame is not None:
    zoom, middle_x, middle_y = frame
    x, y = (x - middle_x) * zoom, (y - middle_y) * zoom
  scale = size / 2 / jnp.tan(views.fov / 2)[:, None]
  middle = (size if width is None else width) / 2
  x, y = middle + scale * x, size / 2 - scale * y
  if frame is None and views.principal is not None:
    x += size * views.principal[:, 0, None]
    y += size * views.principal[:, 1, None]
  return x, y, inverse


def inverse_depth(depth: Array, distance: Array, camera: Camera) -> Array:
  """Returns the depth value of the rasterizer, which is affine in the image.

  It is the inverse depth of a perspective camera. For an orthographic one it is
  a number that falls from 1 to 0 through the unit sphere.
  """
  if camera == "orthographic":
    return (1 + distance - depth) / 2
  return 1 / depth


def depth_range(views: Views, camera: Camera) -> tuple[Array, Array]:
  """`inverse_depth` at the far and the near end of the unit sphere, `[N]`."""
  if camera == "orthographic":
    return jnp.zeros_like(views.distance), jnp.ones_like(views.distance)
  return (
    1 / (views.distance + 1),
    1 / jnp.maximum(views.distance - 1, NEAR_DEPTH_MIN),
  )


def frame_object(
  x: Array, y: Array, depth: Array, views: Views, *, camera: Camera
) -> tuple[Array, Array, Array]:
  """Returns the zoom and shift of images that make objects fill them.

  Args:
    x: `[C, B, N, F]`, as are `y` and `depth`.
    y: upwards.
    depth: corners nearer than `NEAREST` count as if on the optical axis.
    views: cameras.
    camera: one of `CAMERAS`.

  Returns:
    `[1, B, N, 1]` zoom, and x and y of the object's centre in an image of unit
    scale. With them the object extends as far as the unit sphere would.
  """
  distance = views.distance[:, None]
  is_in_front = depth > NEAREST
  if camera == "orthographic":
    shrink = jnp.where(is_in_front, 1 / distance, 0)
    sphere = 1 / distance
  else:
    shrink = jnp.where(is_in_front, 1 / jnp.where(is_in_front, depth, 1), 0)
    sphere = jax.lax.rsqrt(distance**2 - 1)
  middle_x, half_x = _middle(x * shrink)
  middle_y, half_y = _middle(y * shrink)
  half = jnp.maximum(jnp.maximum(half_x, half_y), HALF_SIZE_MIN)
  return sphere / half, middle_x, middle_y


def _middle(x: Array) -> tuple[Array, Array]:
  """Returns the centre of the range of all corners, and half the range.

  Padding triangles are at the centre of the sphere, which lies in the hull of
  the model, so they do not widen the range.
  """
  low = jnp.min(x, axis=(0, -1), keepdims=True)
  high = jnp.max(x, axis=(0, -1), keepdims=True)
  return (low + high) / 2, (high - low) / 2
