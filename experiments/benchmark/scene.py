"""Scenes of the benchmark: spheres, as the rasterizer and as G take them.

`I` images, `F` faces of each.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import trimesh

from dr3d.camera.view import Views, make_views, rotation_matrix, sphere_views
from dr3d.render.triangle import Triangles

Array = jax.Array

ICOSAHEDRON_FACES = 20


@dataclasses.dataclass(frozen=True)
class Scene:
  """A sphere that fills its images.

  Attributes:
    triangles: one model.
    views: I views of it.
    corners: `[I, F, 3, 3]`, projected: x and y in pixels, inverse depth.
    colors: `[I, F, 3, 3]` at the corners.
    depth_range: inverse depths of the far and the near end, `[]` each.
    size: height and width of an image, pixels.
  """

  triangles: Triangles
  views: Views
  corners: Array
  colors: Array
  depth_range: tuple[Array, Array]
  size: int


def make_sphere(*, faces: int, size: int, views: int) -> Scene:
  """Makes a sphere with the given number of faces.

  Args:
    faces: 20 · 4ⁿ, an icosahedron subdivided n times.
    size: height and width of an image, pixels.
    views: I, spread over the sphere.

  Raises:
    ValueError: no sphere has this number of faces.
  """
  cuts = round(np.log(max(faces, 1) / ICOSAHEDRON_FACES) / np.log(4))
  if faces != ICOSAHEDRON_FACES * 4 ** max(cuts, 0):
    raise ValueError(f"faces must be 20, 80, 320, 1280, …, got {faces}.")
  sphere = trimesh.creation.icosphere(subdivisions=cuts)
  p = np.asarray(sphere.vertices[sphere.faces], np.float32)
  posed = make_views(sphere_views(views))
  rotated = jnp.einsum(
    "nij,fkj->nfki", rotation_matrix(posed.quaternion), jnp.asarray(p)
  )
  distance, fov = posed.distance[0], posed.fov[0]
  inverse = 1 / (distance - rotated[..., 2])
  scale = size / 2 / jnp.tan(fov / 2) * inverse
  x, y = (size / 2 + s * rotated[..., k] * scale for k, s in ((0, 1), (1, -1)))
  return Scene(
    triangles=Triangles(corners=p[None], normals=p[None]),
    views=posed,
    corners=jnp.stack([x, y, inverse], axis=-1),
    colors=0.5 + 0.5 * rotated,
    depth_range=(1 / (distance + 1), 1 / (distance - 1)),
    size=size,
  )
