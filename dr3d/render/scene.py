"""Several objects in one scene, and points as objects.

`B` scenes, `F` faces, `P` points. All functions are differentiable.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import rotation_matrix
from dr3d.render.texture import join_textures
from dr3d.render.triangle import Triangles

Array = jax.Array

# An octahedron, counterclockwise from outside: six corners, eight faces.
_OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
_SIDES = np.array(
  [
    [0, 1, 2],
    [1, 3, 2],
    [3, 4, 2],
    [4, 0, 2],
    [1, 0, 5],
    [3, 1, 5],
    [4, 3, 5],
    [0, 4, 5],
  ]
)


def transform_triangles(
  triangles: Triangles,
  *,
  rotation: Array | np.ndarray | None = None,
  scale: Array | np.ndarray | float = 1.0,
  translation: Array | np.ndarray | None = None,
) -> Triangles:
  """Moves objects: first scaled, then rotated, then translated.

  Args:
    triangles: B objects.
    rotation: quaternions `[4]` or `[B, 4]`, scalar first; None for none.
    scale: `[]` or `[B]`.
    translation: `[3]` or `[B, 3]`, radii of the unit sphere; None for none.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> mesh = dr3d.make_mesh(np.eye(3), np.array([[0, 1, 2]]))
    >>> triangles = dr3d.stack_meshes([mesh], face_count=1)
    >>> moved = dr3d.transform_triangles(
    ...   triangles, scale=0.5, translation=(1, 0, 0)
    ... )
    >>> print((moved.corners - triangles.corners / 2)[0, 0, 0])
    [1. 0. 0.]
  """
  corners = jnp.asarray(triangles.corners)
  normals = jnp.asarray(triangles.normals)
  corners = corners * jnp.reshape(jnp.asarray(scale), (-1, 1, 1, 1))
  if rotation is not None:
    turn = jnp.reshape(rotation_matrix(jnp.asarray(rotation)), (-1, 1, 3, 3))
    corners, normals = (x @ turn.mT for x in (corners, normals))
  if translation is not None:
    corners += jnp.reshape(jnp.asarray(translation), (-1, 1, 1, 3))
  return dataclasses.replace(triangles, corners=corners, normals=normals)


def join_triangles(objects: Sequence[Triangles]) -> Triangles:
  """Puts objects into one scene, in which they hide one another.

  Args:
    objects: each `[B, F_i, ...]`; one of a single scene is in all of them.

  Returns:
    Triangles of the sum of the faces. Objects without albedo are white.

  Raises:
    ValueError: no objects, different numbers of scenes, pictures of different
      sizes, or only some objects have the neighbours that `coverage="mesh"`
      needs.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> mesh = dr3d.make_mesh(np.eye(3), np.array([[0, 1, 2]]))
    >>> one = dr3d.stack_meshes([mesh], face_count=1)
    >>> two = dr3d.transform_triangles(one, translation=(0, 0, 1))
    >>> scene = dr3d.fit_in_sphere(dr3d.join_triangles([one, two]))
    >>> scene.corners.shape, round(float(abs(scene.corners).max()), 1) <= 1
    ((1, 2, 3, 3), True)
  """
  if not objects:
    raise ValueError("join_triangles needs at least one object, got none.")
  counts = {len(each.corners) for each in objects}
  B = max(counts)
  if counts - {1, B}:
    raise ValueError(
      f"objects must be of as many scenes, got {sorted(counts)}."
    )

  def stack(arrays: Sequence[Array | np.ndarray]) -> Array:
    return jnp.concatenate(
      [jnp.broadcast_to(jnp.asarray(x), (B, *x.shape[1:])) for x in arrays],
      axis=1,
    )

  albedo = None
  if any(each.albedo is not None for each in objects):
    albedo = stack(
      [
        np.ones(each.corners.shape, np.float32)
        if each.albedo is None
        else each.albedo
        for each in objects
      ]
    )
  neighbours = [each.opposite for each in objects]
  opposite = None
  if any(x is not None for x in neighbours):
    opposite = stack(_number(neighbours))
  return Triangles(
    stack([each.corners for each in objects]),
    stack([each.normals for each in objects]),
    albedo,
    opposite,
    join_textures(
      [each.texture for each in objects],
      [each.corners.shape[1] for each in objects],
      B,
    ),
  )


def fit_in_sphere(triangles: Triangles) -> Triangles:
  """Moves and scales each scene into the unit sphere, for the cameras.

  The sphere is that of the bounding box, so it is not the smallest one. The
  move and the scale count as constants of the gradient.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> far = dr3d.point_triangles(np.eye(3) * 50, radius=1.0)
    >>> corners = dr3d.fit_in_sphere(far).corners
    >>> float(np.linalg.norm(corners, axis=-1).max()) <= 1.0001
    True
  """
  corners = jnp.asarray(triangles.corners)
  axes = (1, 2)
  low, high = corners.min(axes), corners.max(axes)
  radius = jnp.maximum(jnp.linalg.norm(high - low, axis=-1) / 2, 1e-12)
  center, radius = jax.lax.stop_gradient(((low + high) / 2, radius))
  moved = transform_triangles(triangles, translation=-center)
  return transform_triangles(moved, scale=1 / radius)


def point_triangles(
  points: Array | np.ndarray,
  *,
  radius: Array | np.ndarray | float,
  colors: Array | np.ndarray | None = None,
) -> Triangles:
  """Makes a point cloud drawable: each point a small ball of eight faces.

  Args:
    points: `[P, 3]`, or `[B, P, 3]` of B clouds.
    radius: of a ball, in the unit of the points; `[]` or `[P]`.
    colors: red, green and blue `[P, 3]` or `[B, P, 3]`; white if None.

  Raises:
    ValueError: the shapes do not fit.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> cloud = dr3d.point_triangles(np.eye(3) * 0.9, radius=0.1)
    >>> dr3d.render(cloud, dr3d.ring_views(2), size=32).shape
    (1, 2, 32, 32, 4)
  """
  points = jnp.asarray(points, jnp.float32)
  if points.ndim not in (2, 3) or points.shape[-1] != 3:
    raise ValueError(f"points must be [P, 3] or [B, P, 3], got {points.shape}.")
  points = points.reshape(-1, *points.shape[-2:])
  B, P, _ = points.shape
  size = jnp.broadcast_to(jnp.asarray(radius, points.dtype), (P,))
  ball = jnp.asarray(_OCTAHEDRON[_SIDES], points.dtype)  # [8, 3, 3]
  corners = (
    points[:, :, None, None] + size[:, None, None, None] * ball
  ).reshape(B, -1, 3, 3)
  normals = jnp.broadcast_to(ball, (B, P, 8, 3, 3)).reshape(corners.shape)
  albedo = None
  if colors is not None:
    colors = jnp.asarray(colors, points.dtype)
    if colors.shape[-2:] != (P, 3) or colors.ndim not in (2, 3):
      raise ValueError(
        f"colors must be [{P}, 3] beside the points, got {colors.shape}."
      )
    colors = jnp.reshape(colors, (-1, P, 1, 1, 3))
    albedo = jnp.broadcast_to(colors, (B, P, 8, 3, 3)).reshape(corners.shape)
  return Triangles(corners, normals, albedo)


def _number(
  neighbours: Sequence[Array | np.ndarray | None],
) -> list[Array]:
  """Numbers neighbours by their corner in the scene."""
  result, start = [], 0
  for each in neighbours:
    if each is None:
      raise ValueError(
        'only some objects have neighbours: stack all with coverage="mesh", or'
        " none."
      )
    each = jnp.asarray(each)
    result.append(jnp.where(each < 0, each, each + start))
    start += each.shape[1] * 3
  return result
