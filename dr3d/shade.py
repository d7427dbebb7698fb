"""The colour of corners under the lights of a view.

`B` models, `N` views, `F` faces, `L` directional and `M` point lights. Places
and directions are in the axes of `dr3d.camera`: x right, y up, z towards the
camera, which stands at `(0, 0, distance)`.
"""

import jax
import jax.numpy as jnp

from dr3d.distance import to_unit
from dr3d.view import Views

Array = jax.Array

CLOSEST_LIGHT = 0.1  # radii; no point is lit as if it were nearer
LEAST_GLOSS = 1e-4  # of the half angle's cosine, whose power has a slope


def flat_normals(corners: Array) -> Array:
  """`[..., 3, 3]` corners to their face's unit normal at each corner."""
  u = corners[..., 1, :] - corners[..., 0, :]
  v = corners[..., 2, :] - corners[..., 0, :]
  normal = to_unit(jnp.cross(u, v))
  return jnp.broadcast_to(normal[..., None, :], corners.shape)


def turn_normals(
  p: Array, normals: Array | None, views: Views, *, camera: str
) -> Array:
  """Normals on the side from which the camera sees their face.

  Args:
    p: `[B, N, F, 3, 3]` corners.
    normals: `[B, N, F, 3, 3]` at the corners, which follow the winding, so that
      the face decides for its corners; those of the flat faces where None.
    views: where the cameras stand.
    camera: `"perspective"` or `"orthographic"`.

  Returns:
    `[B, N, F, 3, 3]`.
  """
  face = jnp.cross(p[..., 1, :] - p[..., 0, :], p[..., 2, :] - p[..., 0, :])
  towards = _to_camera(p, views, camera)
  facing = jnp.sum(face * towards[..., 0, :], axis=-1)
  if normals is None:
    normals = flat_normals(p)
  return normals * jnp.where(facing < 0, -1, 1)[..., None, None]


def shade(
  p: Array,
  normals: Array,
  views: Views,
  *,
  albedo: Array | None = None,
  camera: str = "perspective",
) -> Array:
  """Colour of each corner, by Lambert's law and Blinn and Phong's highlight.

  With `a` the albedo and `s` the specular strength, a light of irradiance E
  from direction l adds `E (a max(n·l, 0) + s max(n·h, 0)^shininess)`, where h
  halves the angle between l and the direction to the camera, and nothing
  where `n·l <= 0`. The irradiance of a point light is its intensity divided by
  the squared distance, which counts as `CLOSEST_LIGHT` at least. Nothing casts
  a shadow.

  Args:
    p: `[B, N, F, 3, 3]` corners.
    normals: `[B, N, F, 3, 3]` as of `turn_normals`.
    views: lights, material, cameras.
    albedo: `[B, F, 3, 3]` red, green, blue of the corners, which multiply the
      material's; 1 where None.
    camera: `"perspective"`, or `"orthographic"`, which looks along -z from
      everywhere.

  Returns:
    `[B, N, F, 3, 3]` red, green, blue at each corner, not below 0.
  """
  light, material = views.light, views.material
  towards = _to_camera(p, views, camera)
  diffuse = material.diffuse
  if albedo is not None:
    diffuse = diffuse * albedo[:, None]

  def reflect(direction):
    lambert = jnp.sum(normals * direction, axis=-1, keepdims=True)
    half = to_unit(direction + towards)
    gloss = jnp.sum(normals * half, axis=-1, keepdims=True)
    gloss = jnp.where(lambert > 0, jnp.maximum(gloss, LEAST_GLOSS), LEAST_GLOSS)
    gloss = gloss**material.shininess
    reflected = diffuse * jnp.maximum(lambert, 0)
    return reflected + material.specular * gloss

  color = light.ambient[:, None, None] * diffuse
  for i in range(light.direction.shape[1]):
    direction = light.direction[:, i][:, None, None]
    irradiance = light.intensity[:, i][:, None, None]
    color = color + irradiance * reflect(direction)
  if light.point is not None:
    for i in range(light.point.position.shape[1]):
      way = light.point.position[:, i][:, None, None] - p
      square = jnp.sum(way**2, axis=-1, keepdims=True)
      square = jnp.maximum(square, CLOSEST_LIGHT**2)
      irradiance = light.point.intensity[:, i][:, None, None] / square
      color = color + irradiance * reflect(to_unit(way))
  return color


def _to_camera(p: Array, views: Views, camera: str) -> Array:
  """Unit vectors from the corners towards the camera."""
  if camera == "orthographic":
    return jnp.broadcast_to(jnp.array([0, 0, 1], p.dtype), p.shape)
  place = jnp.stack(
    [0 * views.distance, 0 * views.distance, views.distance], axis=-1
  )
  return to_unit(place[:, None, None] - p)
