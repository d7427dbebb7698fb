"""What is drawn: spheres, as the rasterizer and as G take them.

`I` pictures, `F` faces of each.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import trimesh

from dr3d.camera.view import Views, make_views, rotation_matrix, sphere_views
from dr3d.render.triangle import Triangles

Array = jax.Array

SMALLEST = 20  # faces of an icosahedron


@dataclasses.dataclass(frozen=True)
class Scene:
  """A sphere that fills its pictures.

  Attributes:
    triangles: one model.
    views: I views of it.
    corners: `[I, F, 3, 3]`, projected: x and y in pixels, inverse depth.
    colors: `[I, F, 3, 3]` at the corners.
    depth_range: the inverse depths of the far and the near end, `[]` each.
    size: height and width of a picture, pixels.
  """

  triangles: Triangles
  views: Views
  corners: Array
  colors: Array
  depth_range: tuple[Array, Array]
  size: int


def make_sphere(*, faces: int, size: int, views: int) -> Scene:
  """Returns a sphere of so many faces.

  Args:
    faces: 20 · 4ⁿ, an icosahedron whose faces are cut into four n times.
    size: height and width of a picture, pixels.
    views: I, spread over the sphere.

  Raises:
    ValueError: if there is no such sphere.
  """
  cuts = round(np.log(max(faces, 1) / SMALLEST) / np.log(4))
  if faces != SMALLEST * 4 ** max(cuts, 0):
    raise ValueError(f"faces must be 20, 80, 320, 1280, …, got {faces}.")
  sphere = trimesh.creation.icosphere(subdivisions=cuts)
  p = np.asarray(sphere.vertices[sphere.faces], np.float32)
  placed = make_views(sphere_views(views))
  turned = jnp.einsum(
    "nij,fkj->nfki", rotation_matrix(placed.quaternion), jnp.asarray(p)
  )
  distance, fov = placed.distance[0], placed.fov[0]
  inverse = 1 / (distance - turned[..., 2])
  scale = size / 2 / jnp.tan(fov / 2) * inverse
  x, y = (size / 2 + s * turned[..., k] * scale for k, s in ((0, 1), (1, -1)))
  return Scene(
    triangles=Triangles(corners=p[None], normals=p[None]),
    views=placed,
    corners=jnp.stack([x, y, inverse], axis=-1),
    colors=0.5 + 0.5 * turned,
    depth_range=(1 / (distance + 1), 1 / (distance - 1)),
    size=size,
  )
