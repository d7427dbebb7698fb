"""From the axes of a view to its picture, in perspective or in parallel.

A point stands at `x` and `y` beside the optical axis and at `depth` before the
camera, in radii of the object. Per unit of its scale a picture shows `x` at
`x / depth` in perspective and at `x / distance` in parallel, so that both show
the plane through the origin alike. Conventions: `dr3d.camera`. Here `B` models,
`N` views, `F` faces, `C` corners of each; faces stand last, see
`dr3d.geometry.vector`.
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
NEAREST = 0.01  # radii from the camera, where faces are cut
CLOSEST = 0.5  # radii from the camera, the least depth that means z = 1
SMALLEST_HALF = 1e-3  # of an object in a picture of unit scale


def check_camera(camera: Camera) -> None:
  """Raises a ValueError where there is no camera of that name."""
  if camera not in CAMERAS:
    raise ValueError(f"camera must be one of {CAMERAS}, got {camera!r}.")


def place_corners(corners: Array | np.ndarray, views: Views) -> Vector:
  """`[B, F, C, 3]` points of the object in the axes of the views.

  Returns:
    x to the right, y up and z towards the camera, `[C, B, N, F]` each.
  """
  x, y, z = turn_vectors(corners, views)
  if views.offset is not None:
    x = x + views.offset[:, 0, None]
    y = y + views.offset[:, 1, None]
  return x, y, z


def turn_vectors(vectors: Array | np.ndarray, views: Views) -> Vector:
  """`[B, F, C, 3]` vectors in the axes of the views, `[C, B, N, F]` each."""
  return _turn(rotation_matrix(views.quaternion), jnp.asarray(vectors))


@jax.custom_vjp
def _turn(matrix, vectors):
  x, y, z = faces_last(vectors)
  turned = jnp.moveaxis(matrix, 0, -1)[..., None]  # [3, 3, N, 1]
  # Written out: nine products fuse, a product of matrices does not.
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
  """`[B, F, C, A]` to `[A, C, B, 1, F]`, for A parts of all views."""
  return jnp.transpose(jnp.asarray(array), (3, 2, 0, 1))[..., None, :]


def to_picture(
  x: Array,
  y: Array,
  depth: Array,
  views: Views,
  *,
  size: int,
  camera: Camera,
  frame: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
  """Points to pixels.

  Args:
    x: `[C, B, N, F]`, as are `y` and `depth`.
    y: upwards.
    depth: positive.
    views: cameras.
    size: height and width of a picture, pixels.
    camera: one of `CAMERAS`.
    frame: as of `frame_object`, which takes the place of the principal point.

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
  x, y = size / 2 + scale * x, size / 2 - scale * y
  if frame is None and views.principal is not None:
    x += size * views.principal[:, 0, None]
    y += size * views.principal[:, 1, None]
  return x, y, inverse


def inverse_depth(depth: Array, distance: Array, camera: Camera) -> Array:
  """What the rasterizer takes for the depth: affine in the picture.

  The inverse of the depth in perspective; in parallel, a number that falls by
  1 through the unit sphere.
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
    1 / jnp.maximum(views.distance - 1, CLOSEST),
  )


def frame_object(
  x: Array, y: Array, depth: Array, views: Views, *, camera: Camera
) -> tuple[Array, Array, Array]:
  """How to zoom and move pictures so that objects fill them.

  Args:
    x: `[C, B, N, F]`, as are `y` and `depth`.
    y: upwards.
    depth: corners nearer than `NEAREST` count as on the optical axis.
    views: cameras.
    camera: one of `CAMERAS`.

  Returns:
    `[1, B, N, 1]` zoom, and x and y of the object's middle in a picture of unit
    scale: with them the object reaches as far as the unit sphere would.
  """
  distance = views.distance[:, None]
  is_before = depth > NEAREST
  if camera == "orthographic":
    shrink = jnp.where(is_before, 1 / distance, 0)
    sphere = 1 / distance
  else:
    shrink = jnp.where(is_before, 1 / jnp.where(is_before, depth, 1), 0)
    sphere = jax.lax.rsqrt(distance**2 - 1)
  middle_x, half_x = _middle(x * shrink)
  middle_y, half_y = _middle(y * shrink)
  half = jnp.maximum(jnp.maximum(half_x, half_y), SMALLEST_HALF)
  return sphere / half, middle_x, middle_y


def _middle(x: Array) -> tuple[Array, Array]:
  """The middle of the range of all corners, and half the range.

  Triangles that only pad stand at the centre of the sphere, which lies within
  the hull of the model, so they do not widen the range.
  """
  low = jnp.min(x, axis=(0, -1), keepdims=True)
  high = jnp.max(x, axis=(0, -1), keepdims=True)
  return (low + high) / 2, (high - low) / 2
