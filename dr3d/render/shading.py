"""The colour of corners under the lights of a view.

`B` models, `N` views, `F` faces, `L` directional and `M` point lights. Axes and
corners stand first and faces last, see `dr3d.geometry.vector`. Positions and
directions are in the axes of the view: x right, y up, z towards the camera,
which is at `(0, 0, distance)`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.projection import Camera, faces_last
from dr3d.camera.view import Views
from dr3d.geometry.norm import to_unit
from dr3d.geometry.vector import Vector, combine, cross, dot, unit

Array = jax.Array

# Least distance of a point light, radii: without it, irradiance is unbounded.
LIGHT_DISTANCE_MIN = 0.1
# Least squared length of the half vector, which is 0 if the light is exactly
# opposite the camera; without it, its gradient is not finite.
HALF_SQUARE_MIN = 1e-12
# Least cosine of the half angle: at 0 its logarithm is not finite.
HALF_COSINE_MIN = 1e-4


def flat_normals(corners: Array) -> Array:
  """Maps `[..., 3, 3]` corners to the face's unit normal at each corner."""
  u = corners[..., 1, :] - corners[..., 0, :]
  v = corners[..., 2, :] - corners[..., 0, :]
  normal = to_unit(jnp.cross(u, v))
  return jnp.broadcast_to(normal[..., None, :], corners.shape)


def turn_normals(
  p: Vector, normals: Vector | None, views: Views, *, camera: Camera
) -> Vector:
  """Flips normals to the side from which the camera sees their face.

  Args:
    p: corners, `[3, B, N, F]` for each axis.
    normals: at the corners, shaped like `p`; they follow the winding, so that
      the plane of the face decides for its corners. None takes the normals of
      the planes.
    views: cameras.
    camera: `"perspective"` or `"orthographic"`.

  Returns:
    Normals at the corners, `[3, B, N, F]` for each axis.
  """
  face = cross([x[1] - x[0] for x in p], [x[2] - x[0] for x in p])
  facing = dot(face, _way_to_camera([x[0] for x in p], views, camera))
  if normals is None:
    normals = [jnp.broadcast_to(x, p[0].shape) for x in unit(face)]
  side = jnp.where(facing < 0, -1, 1).astype(facing.dtype)
  return [side * x for x in normals]


def shade(
  p: Vector,
  normals: Vector,
  views: Views,
  *,
  albedo: Array | np.ndarray | None = None,
  camera: Camera = "perspective",
) -> Vector:
  """Returns the colour of each corner; see `shade_parts`.

  Args:
    p: corners, `[3, B, N, F]` for each axis.
    normals: from `turn_normals`.
    views: lights, material, cameras.
    albedo: `[B, F, 3, 3]` red, green, blue of the corners, which multiply the
      material's; None for 1.
    camera: `"perspective"` or `"orthographic"`.

  Returns:
    Red, green and blue at each corner, `[3, B, N, F]` each, not below 0.
  """
  diffuse, shine = shade_parts(p, normals, views, camera=camera)
  if albedo is not None:
    diffuse = [a * d for a, d in zip(faces_last(albedo), diffuse, strict=True)]
  return [d + s for d, s in zip(diffuse, shine, strict=True)]


def shade_parts(
  p: Vector, normals: Vector, views: Views, *, camera: Camera
) -> tuple[Vector, Vector]:
  """Returns matte and glossy colour of corners: Lambert and Blinn-Phong.

  With `a` the albedo and `s` the specular strength, a light of irradiance E
  from direction l adds `E (a max(n·l, 0) + s max(n·h, 0)^shininess)`, where h
  halves the angle between l and the direction to the camera. It adds nothing if
  `n·l <= 0`. The irradiance of a point light is its intensity over the squared
  distance, which is at least `LIGHT_DISTANCE_MIN`. For shadows, see `shadow`.

  Args:
    p: corners, `[3, B, N, F]` for each axis.
    normals: from `turn_normals`.
    views: lights, material, cameras.
    camera: `"perspective"`, or `"orthographic"`, whose rays are all along -z.

  Returns:
    Red, green and blue at each corner, `[3, B, N, F]` each, not below 0: the
    part that the albedo multiplies, for an albedo of 1, and the rest.
  """
  light, material = views.light, views.material
  towards = unit(_way_to_camera(p, views, camera))
  upright = dot(normals, towards)
  lambert, gloss = [], []

  def reflect(cosine, along, square):
    """Adds a light of n·l, v·l and l·l, v the direction to the camera."""
    half = cosine + upright
    half *= jax.lax.rsqrt(jnp.maximum(square + 2 * along + 1, HALF_SQUARE_MIN))
    lit = jnp.where(
      cosine > 0, jnp.maximum(half, HALF_COSINE_MIN), HALF_COSINE_MIN
    )
    lambert.append(jnp.maximum(cosine, 0))
    gloss.append(jnp.exp(material.shininess * jnp.log(lit)))

  square = jnp.sum(light.direction**2, axis=-1)
  cosines = combine(light.direction, normals)
  alongs = combine(light.direction, towards)
  for i, (cosine, along) in enumerate(zip(cosines, alongs, strict=True)):
    reflect(cosine, along, square[:, i, None])
  intensity = light.intensity
  if light.point is not None:
    intensity = jnp.concatenate([intensity, light.point.intensity], axis=1)
    for place in jnp.moveaxis(light.point.position, 1, 0):
      apart = [place[:, k, None] - p[k] for k in range(3)]
      fading = 1 / jnp.maximum(dot(apart, apart), LIGHT_DISTANCE_MIN**2)
      way = unit(apart)
      reflect(dot(normals, way), dot(towards, way), dot(way, way))
      lambert[-1], gloss[-1] = fading * lambert[-1], fading * gloss[-1]

  colors = jnp.swapaxes(intensity, 1, 2)  # [N, 3, lights]
  matte = jnp.concatenate([light.ambient[..., None], colors], axis=-1)
  matte = matte * material.diffuse[:, None]
  diffuse: Vector = combine(matte, (jnp.ones_like(upright), *lambert))
  return diffuse, combine(material.specular * colors, tuple(gloss))


def _way_to_camera(p: Vector, views: Views, camera: Camera) -> Vector:
  """Vectors to a perspective camera, directions to an orthographic one."""
  x, y, z = p
  if camera == "orthographic":
    return jnp.zeros_like(x), jnp.zeros_like(y), jnp.ones_like(z)
  return -x, -y, views.distance[:, None] - z
