"""From the axes of a view to its picture, in perspective or in parallel.

A point stands at `x` and `y` beside the optical axis and at `depth` before the
camera, in radii of the object. Per unit of its scale a picture shows `x` at
`x / depth` in perspective and at `x / distance` in parallel, so that both show
the plane through the origin alike. Conventions: `dr3d.camera`. Here `B` models,
`N` views, `F` faces.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.view import Views, rotation_matrix

Array = jax.Array

CAMERAS = ("perspective", "orthographic")
NEAREST = 0.01  # radii from the camera, where faces are cut
CLOSEST = 0.5  # radii from the camera, the least depth that means z = 1
FLATNESS = 512.0  # of an orthographic picture, see `inverse_depth`
SMALLEST_HALF = 1e-3  # of an object in a picture of unit scale


def check_camera(camera: str) -> None:
  """Raises a ValueError where there is no camera of that name."""
  if camera not in CAMERAS:
    raise ValueError(f"camera must be one of {CAMERAS}, got {camera!r}.")


def place_corners(corners: Array | np.ndarray, views: Views) -> Array:
  """`[B, F, C, 3]` points of the object in the axes of the views.

  Returns:
    `[B, N, F, C, 3]`.
  """
  p = turn_vectors(corners, views)
  if views.offset is not None:
    aside = jnp.pad(views.offset, [(0, 0), (0, 1)])
    p = p + aside[:, None, None]
  return p


def turn_vectors(vectors: Array | np.ndarray, views: Views) -> Array:
  """`[B, F, C, 3]` vectors in the axes of the views, `[B, N, F, C, 3]`.

  Written out: nine products fuse, a batched matrix product does not.
  """
  turn = rotation_matrix(views.quaternion)[:, None]  # [N, 1, 3, 3]
  x, y, z = jnp.moveaxis(jnp.asarray(vectors)[:, None], -1, 0)
  return jnp.stack(
    [
      turn[..., k, 0, None] * x
      + turn[..., k, 1, None] * y
      + turn[..., k, 2, None] * z
      for k in range(3)
    ],
    axis=-1,
  )


def to_picture(
  x: Array,
  y: Array,
  depth: Array,
  views: Views,
  *,
  size: int,
  camera: str,
  frame: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
  """Points to pixels.

  Args:
    x: `[B, N, F, 3]`, as are `y` and `depth`.
    y: upwards.
    depth: positive.
    views: cameras.
    size: height and width of a picture, pixels.
    camera: one of `CAMERAS`.
    frame: as of `frame_object`, which takes the place of the principal point.

  Returns:
    x to the right and y down in pixels, and `inverse_depth`.
  """
  distance = views.distance[:, None, None]
  inverse = inverse_depth(depth, distance, camera)
  shrink = 1 / distance if camera == "orthographic" else inverse
  x, y = x * shrink, y * shrink
  if frame is not None:
    zoom, middle_x, middle_y = frame
    x, y = (x - middle_x) * zoom, (y - middle_y) * zoom
  scale = size / 2 / jnp.tan(views.fov / 2)[:, None, None]
  x, y = size / 2 + scale * x, size / 2 - scale * y
  if frame is None and views.principal is not None:
    x += size * views.principal[:, 0, None, None]
    y += size * views.principal[:, 1, None, None]
  return x, y, inverse


def inverse_depth(depth: Array, distance: Array, camera: str) -> Array:
  """What the rasterizer takes for the inverse depth: affine in the picture.

  It is also the weight with which colours are mixed between corners, which a
  parallel picture needs to be constant. `FLATNESS` makes it so up to one part
  in 512: on a face that reaches through the share Δz of the sphere's depth, and
  whose corners differ by Δc, a colour is off by less than `Δz Δc / 4 /
  FLATNESS`. In float32, rounding leaves 6e-5 of the sphere's depth unresolved.
  """
  if camera == "orthographic":
    return FLATNESS + (1 + distance - depth) / 2
  return 1 / depth


def depth_range(views: Views, camera: str) -> tuple[Array, Array]:
  """`inverse_depth` at the far and the near end of the unit sphere, `[N]`."""
  if camera == "orthographic":
    flat = jnp.full_like(views.distance, FLATNESS)
    return flat, flat + 1
  return (
    1 / (views.distance + 1),
    1 / jnp.maximum(views.distance - 1, CLOSEST),
  )


def frame_object(
  x: Array, y: Array, depth: Array, views: Views, *, camera: str
) -> tuple[Array, Array, Array]:
  """How to zoom and move pictures so that objects fill them.

  Args:
    x: `[B, N, F, 3]`, as are `y` and `depth`.
    y: upwards.
    depth: corners nearer than `NEAREST` count as on the optical axis.
    views: cameras.
    camera: one of `CAMERAS`.

  Returns:
    `[B, N, 1, 1]` zoom, and x and y of the object's middle in a picture of unit
    scale: with them the object reaches as far as the unit sphere would.
  """
  distance = views.distance[:, None, None]
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
  low = jnp.min(x, axis=(-2, -1), keepdims=True)
  high = jnp.max(x, axis=(-2, -1), keepdims=True)
  return (low + high) / 2, (high - low) / 2
