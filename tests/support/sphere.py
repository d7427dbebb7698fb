"""A renderer that is not made of triangles: soft spheres, in closed form."""

import dataclasses

import jax
import jax.numpy as jnp

from dr3d.camera.view import rotation_matrix
from dr3d.geometry.norm import to_unit
from dr3d.render.budget import Unlimited

SOFTNESS = 0.02  # of alpha, in squared radii of the object


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SphereRenderer:
  """B spheres, drawn by the distance of each pixel's ray from their centres.

  Attributes:
    center: `[B, 3]`.
    radius: `[B]`.
    size: height and width of an image, pixels.
  """

  center: jax.Array
  radius: jax.Array
  size: int = dataclasses.field(metadata={"static": True})

  @property
  def extent(self):
    return jnp.sqrt(jnp.mean(self.center**2) + jnp.mean(self.radius**2))

  def render(self, views, *, budget):
    del budget
    half = jnp.tan(views.fov / 2)[:, None, None]
    y, x = (jnp.mgrid[: self.size, : self.size] + 0.5) * 2 / self.size - 1
    rays = [x * half, -y * half, -jnp.ones_like(x * half)]
    ray = to_unit(jnp.stack(rays, axis=-1))  # [N, H, W, 3]
    turn = rotation_matrix(views.quaternion)
    center = jnp.einsum("nij,bj->bni", turn, self.center)
    center = center.at[..., 2].add(-views.distance)  # from the camera
    along = jnp.einsum("bni,nhwi->bnhw", center, ray)
    square = jnp.sum(center**2, axis=-1)[..., None, None] - along**2
    inside = self.radius[:, None, None, None] ** 2 - square
    alpha = jax.nn.sigmoid(inside / SOFTNESS)[..., None]
    color = views.light.ambient * views.material.diffuse
    image = jnp.concatenate([alpha * color[:, None, None], alpha], axis=-1)
    return image, ()

  def fit_budget(self, views, *, devices=None, start=None):
    del views, devices, start
    return Unlimited()


def make_spheres(*, size=16, count=2):
  """Spheres of different sizes beside the origin, within the unit sphere."""
  n = jnp.arange(count)
  return SphereRenderer(
    center=jnp.stack([0.4 - 0.1 * n, 0.1 * n, -0.2 + 0.1 * n], axis=-1),
    radius=0.3 + 0.1 * n,
    size=size,
  )
