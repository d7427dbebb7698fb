"""Cast shadows: rays from each pixel to each light, against the triangles.

What a light adds to a pixel is drawn in channels of its own and taken away
where a triangle is in between. So an image is linear in the strength of each
light, as without shadows, and has gradients in the lights' colours and in all
that shades a surface. That a shadow moves with its object or light is not seen
by the gradient: what is visible counts as a constant.

`B` models, `N` views, `I` = B·N images, `F` faces, `H W` pixels, `P` = H·W,
`L` lights of a view, directional ones first, then point lights.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.projection import Camera
from dr3d.camera.view import Views
from dr3d.geometry.vector import Vector, cross, dot
from dr3d.render import raster
from dr3d.render.shading import shade
from dr3d.render.texture import interpolate

Array = jax.Array

# Radii of the object. A surface of flat faces shades itself less far than this,
# where its smooth normals still face the light.
BIAS = 0.01
_FACES_AT_ONCE = 64  # bounds memory to 64·P tests
_MIN_DETERMINANT = 1e-12  # of a ray in the plane of a face, or a padding face
_FAR = 1e9  # radii: beyond every triangle


def list_lit(
  p: Vector,
  normals: Vector,
  views: Views,
  *,
  albedo: Array | np.ndarray | None,
  camera: Camera,
) -> list[Array]:
  """What each light adds to the colour of the corners.

  Args:
    p: corners, `[3, B, N, F]` for each axis.
    normals: see `shading.shade`, as for the others.
    views: lights, material, cameras.
    albedo: colours of the corners.
    camera: perspective or orthographic.

  Returns:
    Red, green and blue of each of the L lights, 3·L arrays `[3, B, N, F]`.
  """
  parts: list[Array] = []
  for lights in _single_lights(views):
    parts += shade(p, normals, lights, albedo=albedo, camera=camera)
  return parts


def cast(
  color: Array,
  lit: Array,
  p: Vector,
  views: Views,
  corners: Array,
  values: Array,
  *,
  depth_range: tuple[Array, Array],
  budget: raster.Budget,
  camera: Camera,
) -> Array:
  """Takes light away where it does not reach.

  Args:
    color: `[I, H, W, 3]` of a soft image, all lights added.
    lit: `[I, H, W, 3·L]` what each light adds, from `list_lit`.
    p: corners, `[3, B, N, F]` for each axis, which cast shadows.
    views: lights.
    corners: `[I, F', 3, 3]` x, y in pixels and the inverse depth.
    values: `[I, F', 3, 3]` the same corners in the axes of the view.
    depth_range: see `raster.rasterize`.
    budget: room; that of the soft image is enough.
    camera: perspective or orthographic.

  Returns:
    `[I, H, W, 3]`.
  """
  I, H, W, _ = color.shape
  corners, values, x, y, z = jax.lax.stop_gradient((corners, values, *p))
  face, is_covered = raster.find_faces(
    corners,
    size=(H, W),
    depth_range=depth_range,
    budget=budget,
    camera=camera,
  )
  points, is_inside = interpolate(corners, values, face, camera=camera)
  models = len(x[0])
  # [I, F, 3 corners, 3 axes]
  triangles = jnp.transpose(jnp.stack([x, y, z]), (2, 3, 4, 1, 0)).reshape(
    I, -1, 3, 3
  )
  ways, reaches = _find_ways(points.reshape(I, H * W, 3), views, models)
  blocked = jax.lax.map(
    lambda image: _find_blocked(*image),
    (points.reshape(I, H * W, 3), ways, reaches, triangles),
  )
  reached = 1 - blocked.reshape(I, H, W, -1).astype(color.dtype)
  reached = _spread(reached, is_covered & is_inside)
  lit = lit.reshape(I, H, W, -1, 3)
  return color - jnp.sum((1 - reached)[..., None] * lit, axis=-2)


def _single_lights(views: Views) -> list[Views]:
  """The views with one light each, and no ambient light."""
  light = views.light
  dark = dataclasses.replace(
    light,
    intensity=jnp.zeros_like(light.intensity),
    ambient=jnp.zeros_like(light.ambient),
    point=None,
  )
  singles = [
    dataclasses.replace(
      dark,
      direction=light.direction[:, i : i + 1],
      intensity=light.intensity[:, i : i + 1],
    )
    for i in range(light.direction.shape[1])
  ]
  if light.point is not None:
    for i in range(light.point.position.shape[1]):
      some = jax.tree.map(lambda a, i=i: a[:, i : i + 1], light.point)
      singles.append(dataclasses.replace(dark, point=some))
  return [dataclasses.replace(views, light=single) for single in singles]


def _find_ways(points: Array, views: Views, models: int) -> tuple[Array, Array]:
  """Ways from points to the lights.

  Args:
    points: `[I, P, 3]` in the axes of the views.
    views: N views.
    models: B.

  Returns:
    `[I, L, P, 3]`, and `[I, L]`, the multiple of a way that reaches the light.
  """
  light = jax.lax.stop_gradient(views.light)
  direction = jnp.tile(light.direction, (models, 1, 1))[:, :, None]
  shape = (*direction.shape[:2], points.shape[1], 3)
  ways = [jnp.broadcast_to(direction, shape)]
  reaches = [jnp.full(direction.shape[:2], _FAR)]
  if light.point is not None:
    position = jnp.tile(light.point.position, (models, 1, 1))[:, :, None]
    ways.append(position - points[:, None])
    reaches.append(jnp.ones(position.shape[:2]))
  return jnp.concatenate(ways, axis=1), jnp.concatenate(reaches, axis=1)


def _find_blocked(
  points: Array, ways: Array, reaches: Array, triangles: Array
) -> Array:
  """Whether a triangle of an image is between each point and each light.

  Args:
    points: `[P, 3]`.
    ways: `[L, P, 3]`.
    reaches: `[L]`.
    triangles: `[F, 3, 3]`.

  Returns:
    bool `[P, L]`.

  References:
    Möller and Trumbore, Fast, minimum storage ray/triangle intersection, 1997.
  """
  missing = -len(triangles) % _FACES_AT_ONCE
  padded = jnp.pad(triangles, [(0, missing), (0, 0), (0, 0)])
  blocks = padded.reshape(-1, _FACES_AT_ONCE, 3, 3)

  def one_light(way: Array, reach: Array) -> Array:
    length = jnp.linalg.norm(way, axis=-1)
    least = BIAS / jnp.maximum(length, BIAS)

    def step(blocked: Array, block: Array) -> tuple[Array, None]:
      hit = _hits(points, way, block, least[:, None], reach)
      return blocked | hit.any(axis=1), None

    start = jnp.zeros(len(points), bool)
    return jax.lax.scan(step, start, blocks)[0]

  lights = [one_light(*pair) for pair in zip(ways, reaches, strict=True)]
  return jnp.stack(lights, axis=-1)


def _hits(
  points: Array, way: Array, triangles: Array, least: Array, most: Array
) -> Array:
  """Whether rays hit triangles: bool `[P, F]`."""
  a, u, v = (
    triangles[:, 0],
    triangles[:, 1] - triangles[:, 0],
    triangles[:, 2] - triangles[:, 0],
  )
  d = [way[:, k, None] for k in range(3)]
  s = [points[:, k, None] - a[:, k] for k in range(3)]
  first, second = tuple(u.T), tuple(v.T)
  h = cross(d, second)
  q = cross(s, first)
  determinant = dot(first, h)
  is_across = jnp.abs(determinant) > _MIN_DETERMINANT
  inverse = 1 / jnp.where(is_across, determinant, 1)
  b, c = dot(s, h) * inverse, dot(d, q) * inverse
  t = dot(second, q) * inverse
  inside = (b >= 0) & (c >= 0) & (b + c <= 1)
  return is_across & inside & (t > least) & (t < most)


def _spread(reached: Array, known: Array) -> Array:
  """Gives pixels beside a silhouette the mean of their known neighbours.

  Args:
    reached: `[I, H, W, L]`.
    known: bool `[I, H, W]`, pixels whose centre a face covers.
  """
  weight = known[..., None].astype(reached.dtype)

  def around(x: Array) -> Array:
    _, H, W, _ = x.shape
    x = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    return sum(
      (x[:, i : i + H, j : j + W] for i in range(3) for j in range(3)),
      start=jnp.zeros(()),
    )

  count = around(weight)
  mean = around(reached * weight) / jnp.maximum(count, 1)
  beside = jnp.where(count > 0, mean, 1)
  return jnp.where(known[..., None], reached, beside)
