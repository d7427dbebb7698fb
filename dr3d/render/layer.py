"""Depth and normals beside the picture, and pictures with hard edges.

Shapes: `B` models, `N` views, `H W` pixels.
"""

import dataclasses

import jax
import jax.numpy as jnp

from dr3d.camera.view import Views
from dr3d.geometry.norm import to_unit
from dr3d.render import raster
from dr3d.render.triangle import Triangles, render

Array = jax.Array

HARD_SIGMA = 1e-3  # pixels
HARD_GAMMA = 1e-6  # of the depth of the unit sphere


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layers:
  """What a picture shows, pixel by pixel.

  Depth and normal are means over the faces that are felt at a pixel, with the
  weights `D exp(z/γ)` that mix their colours: D fades over the edge of a face,
  and the nearest face outweighs those behind it. Alpha does not multiply them.
  Beside a silhouette they are those of the nearest point of the surface, and so
  go on where alpha fades, up to where no face is felt; within γ of each other
  two surfaces give a depth between them.

  Attributes:
    image: `[B, N, H, W, 4]` red, green, blue, multiplied by alpha, and alpha.
    depth: `[B, N, H, W]` from the plane of the camera along the optical axis,
      not along the ray, in radii of the object; 0 where no face is felt.
    normal: `[B, N, H, W, 3]` unit vectors in camera axes (x right, y up, z
      towards the camera), on the side that the camera sees; 0 where no face is
      felt. In the axes of the object they are `normal @ R`, with R the
      `rotation_matrix` of the view.
    usage: what the rasterizer needed; complete where `budget.holds(usage)`.
  """

  image: Array
  depth: Array
  normal: Array
  usage: raster.Usage


def render_layers(
  triangles: Triangles,
  views: Views,
  *,
  size: int,
  sigma: Array | float,
  gamma: Array | float,
  budget: raster.Budget,
  framing: str = "sphere",
  coverage: str = "face",
  camera: str = "perspective",
  shading: str = "smooth",
) -> Layers:
  """Draws B models in N views each, with their depth and normals.

  All layers are differentiable in all that `dr3d.render` is.

  Args:
    triangles: the models.
    views: θ_G.
    size: height and width of an image, pixels.
    sigma: softness of edges, pixels; may be traced.
    gamma: softness of occlusion; may be traced.
    budget: room for the rasterizer.
    framing: see `RenderConfig`, as for the next three.
    coverage: `"face"` or `"mesh"`.
    camera: `"perspective"` or `"orthographic"`.
    shading: `"smooth"` or `"flat"`; of the normals as well.
  """
  images, usage = render(
    triangles,
    views,
    size=size,
    sigma=sigma,
    gamma=gamma,
    budget=budget,
    framing=framing,
    coverage=coverage,
    camera=camera,
    shading=shading,
    layers=("depth", "normal", "share"),
  )
  # The background is mixed into a layer as 0; what is not background divides.
  share = images[..., 8]
  is_felt = share > 0
  share = jnp.where(is_felt, share, 1)
  return Layers(
    image=images[..., :4],
    depth=jnp.where(is_felt, images[..., 4] / share, 0),
    normal=to_unit(images[..., 5:8] / share[..., None]),
    usage=usage,
  )


def render_hard(
  triangles: Triangles,
  views: Views,
  *,
  size: int,
  budget: raster.Budget,
  framing: str = "sphere",
  camera: str = "perspective",
  shading: str = "smooth",
) -> Layers:
  """Draws what a pixel's centre sees: the nearest face, or nothing.

  This is the limit of `render_layers` for σ and γ towards 0, and alpha is 0 or
  1. A centre on the edge of an object is inside. There is no gradient through
  silhouettes: the corners, viewpoints and cameras have none at all. Gradients
  flow to the lights, the material, the normals and the albedo, of which the
  picture is a smooth function.

  Args:
    triangles: the models.
    views: θ_G.
    size: height and width of an image, pixels.
    budget: room for the rasterizer.
    framing: see `RenderConfig`, as for `camera` and `shading`.
    camera: `"perspective"` or `"orthographic"`.
    shading: `"smooth"` or `"flat"`.
  """
  hold = jax.lax.stop_gradient
  layers = render_layers(
    dataclasses.replace(triangles, corners=hold(triangles.corners)),
    dataclasses.replace(
      views,
      quaternion=hold(views.quaternion),
      distance=hold(views.distance),
      fov=hold(views.fov),
      offset=hold(views.offset),
      principal=hold(views.principal),
    ),
    size=size,
    sigma=HARD_SIGMA,
    gamma=HARD_GAMMA,
    budget=budget,
    framing=framing,
    camera=camera,
    shading=shading,
  )
  alpha = layers.image[..., 3:]
  # Half of alpha on an edge, but for rounding.
  is_inside = alpha > 0.499
  color = layers.image[..., :3] / jnp.where(is_inside, alpha, 1)
  image = jnp.concatenate([color, jnp.ones_like(alpha)], axis=-1)
  return Layers(
    image=jnp.where(is_inside, image, 0),
    depth=jnp.where(is_inside[..., 0], layers.depth, 0),
    normal=jnp.where(is_inside, layers.normal, 0),
    usage=layers.usage,
  )
