"""Triangles in the axes of the views to triangles in pixels.

`B` models, `N` views, `F` faces, `E` faces that the near plane cuts in two.
Axes and corners stand first and faces last, see `dr3d.geometry.vector`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.projection import NEAREST, Camera, frame_object, to_image
from dr3d.camera.view import Views
from dr3d.geometry.vector import Vector
from dr3d.render import raster
from dr3d.render.config import RenderConfig

Array = jax.Array


def to_pixels(
  p: Vector,
  colors: Sequence[Array],
  soft: Array | None,
  views: Views,
  *,
  config: RenderConfig,
  room: int,
  width: int | None = None,
) -> tuple[Array, Array, Array | None, Array]:
  """Clips, frames and projects triangles.

  Args:
    p: corners, `[3, B, N, F]` for each axis.
    colors: C channels of the same shape.
    soft: bool `[3, B·N, F]`, see `find_soft_edges`; None if all edges are soft.
    views: cameras.
    config: its size, framing and camera count.
    room: E.
    width: of an image, pixels; None for a square one.

  Returns:
    Corners `[B·N, F + E, 3, 3]`, colours `[B·N, F + E, 3, C]` and soft edges
    `[B·N, F + E, 3]` as `raster.rasterize` takes them; and int32 `[]`, the
    largest number of faces of an image that the near plane cuts in two.
  """
  x, y, z = p
  depth = views.distance[:, None] - z
  frame = None
  if config.framing == "object":
    frame = frame_object(x, y, depth, views, camera=config.camera)
  data, soft, count = raster.clip_near(
    _stack((x, y, depth, *colors)), soft, nearest=NEAREST, room=room
  )
  x, y, depth = data[:3].reshape(3, *x.shape[:-1], -1)
  pixels = _stack(
    to_image(
      x,
      y,
      depth,
      views,
      size=config.size,
      camera=config.camera,
      frame=frame,
      width=width,
    )
  )
  if soft is not None:
    soft = jnp.moveaxis(soft, 0, -1)
  pixels, channels = (
    jnp.transpose(array, (2, 3, 1, 0)) for array in (pixels, data[3:])
  )
  return pixels, channels, soft, jnp.max(count)


def find_soft_edges(
  opposite: Array | np.ndarray | None,
  p: Vector,
  views: Views,
  *,
  camera: Camera,
) -> Array:
  """Marks the edges at which surfaces end or fold away in a view.

  Args:
    opposite: int32 `[B, F, 3]`, see `raster.opposite_corners`.
    p: corners, `[3, B, N, F]` for each axis.
    views: cameras.
    camera: how they project.

  Returns:
    Bool `[3, B·N, F]`.

  Raises:
    ValueError: `opposite` is None.
  """
  if opposite is None:
    raise ValueError(
      'coverage "mesh" needs triangles with `opposite`; make them with'
      ' stack_meshes(..., coverage="mesh").'
    )
  opposite = jnp.repeat(jnp.asarray(opposite), views.count, axis=0)
  x, y, z = p
  towards = None
  if camera == "orthographic":
    towards = jnp.array([0, 0, 1], z.dtype)
  else:
    z = z - views.distance[:, None]
  seen = jnp.transpose(_stack((x, y, z)), (2, 3, 1, 0))
  return jnp.moveaxis(raster.soft_edges(seen, opposite, towards=towards), -1, 0)


def _stack(arrays: Sequence[Array]) -> Array:
  """A arrays `[3, B, N, F]` to `[A, 3, B·N, F]`."""
  _, B, N, F = arrays[0].shape
  return jnp.stack(arrays).reshape(len(arrays), 3, B * N, F)
