"""Depth and normals beside the image, and images with hard edges.

Shapes: `B` models, `N` views, `H W` pixels.
"""

import dataclasses
from typing import cast

import jax
import jax.numpy as jnp

from dr3d.camera.projection import Camera
from dr3d.camera.view import Views
from dr3d.geometry.norm import to_unit
from dr3d.render import raster
from dr3d.render.config import Coverage, Framing, RenderConfig, Shading
from dr3d.render.triangle import TriangleRenderer, Triangles

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layers:
  """What an image shows, pixel by pixel.

  Depth and normal are means over the faces that contribute to a pixel, with the
  weights `D exp(z/γ)` that mix their colours: D fades across the edge of a
  face, and the nearest face outweighs those behind it. Alpha does not multiply
  them. Beside a silhouette they are those of the nearest point of the surface,
  as far as a face contributes. If two surfaces are within γ of each other, the
  depth lies between them.

  Attributes:
    image: `[B, N, H, W, 4]` red, green, blue, multiplied by alpha, and alpha.
    depth: `[B, N, H, W]` from the plane of the camera along the optical axis,
      not along the ray, in radii of the object; 0 if no face contributes.
    normal: `[B, N, H, W, 3]` unit vectors in camera axes (x right, y up, z
      towards the camera), on the side that the camera sees; 0 if no face
      contributes. In the axes of the object they are `normal @ R`, with R the
      `rotation_matrix` of the view.
    usage: what the rasterizer needed; complete if `budget.holds(usage)`.
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
  framing: Framing = "sphere",
  coverage: Coverage = "face",
  camera: Camera = "perspective",
  shading: Shading = "smooth",
) -> Layers:
  """Draws B models in N views each, with their depth and normals.

  All layers are differentiable in everything that `dr3d.render` is.

  Args:
    triangles: the models.
    views: θ_G.
    size: height and width of an image, pixels.
    sigma: softness of edges, pixels; may be traced.
    gamma: softness of occlusion; may be traced.
    budget: room for the rasterizer.
    framing: see `RenderConfig`.
    coverage: see `RenderConfig`.
    camera: see `RenderConfig`.
    shading: see `RenderConfig`; applies to the normals as well.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> mesh = dr3d.make_mesh(np.eye(3), np.array([[0, 1, 2]]))
    >>> triangles = dr3d.stack_meshes([mesh], face_count=1)
    >>> views = dr3d.make_views(dr3d.ring_views(2))
    >>> config = dr3d.RenderConfig(size=16, framing="sphere")
    >>> budget = dr3d.fit_budget(triangles, views, config=config)
    >>> layers = dr3d.render_layers(
    ...   triangles, views, size=16, sigma=0.7, gamma=3e-3, budget=budget
    ... )
    >>> layers.depth.shape, budget.holds(layers.usage)
    ((1, 2, 16, 16), True)
  """
  config = RenderConfig(
    size=size,
    # A traced softness passes through the config here, which is not hashed.
    sigma=cast(float, sigma),
    gamma=cast(float, gamma),
    framing=framing,
    coverage=coverage,
    camera=camera,
    shading=shading,
  )
  return _draw_layers(triangles, views, config, budget)


def render_hard(
  triangles: Triangles,
  views: Views,
  *,
  size: int,
  budget: raster.Budget,
  framing: Framing = "sphere",
  camera: Camera = "perspective",
  shading: Shading = "smooth",
) -> Layers:
  """Draws what the centre of a pixel sees: the nearest face, or nothing.

  This is the limit of `render_layers` for σ and γ towards 0, and alpha is 0 or
  1. A centre on the edge of an object is inside. Silhouettes have no gradient,
  so the corners, viewpoints and cameras have none at all. Gradients flow to the
  lights, the material, the normals and the albedo, in which the image is
  smooth.

  Args:
    triangles: the models.
    views: θ_G.
    size: height and width of an image, pixels.
    budget: room for the rasterizer.
    framing: see `RenderConfig`.
    camera: see `RenderConfig`.
    shading: see `RenderConfig`.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> mesh = dr3d.make_mesh(np.eye(3), np.array([[0, 1, 2]]))
    >>> triangles = dr3d.stack_meshes([mesh], face_count=1)
    >>> views = dr3d.make_views(dr3d.ring_views(2))
    >>> config = dr3d.RenderConfig(size=16, framing="sphere")
    >>> budget = dr3d.fit_budget(triangles, views, config=config)
    >>> room = budget.widened(2)
    >>> layers = dr3d.render_hard(triangles, views, size=16, budget=room)
    >>> layers.normal.shape, room.holds(layers.usage)
    ((1, 2, 16, 16, 3), True)
  """
  hold = jax.lax.stop_gradient
  layers = _draw_layers(
    dataclasses.replace(triangles, corners=hold(triangles.corners)),
    dataclasses.replace(
      views,
      quaternion=hold(views.quaternion),
      distance=hold(views.distance),
      fov=hold(views.fov),
      offset=hold(views.offset),
      principal=hold(views.principal),
    ),
    RenderConfig(
      size=size,
      sigma=raster.HARD_SIGMA,
      gamma=raster.HARD_GAMMA,
      framing=framing,
      camera=camera,
      shading=shading,
    ),
    budget,
  )
  alpha = layers.image[..., 3:]
  is_inside = alpha > raster.INSIDE_ALPHA
  color = layers.image[..., :3] / jnp.where(is_inside, alpha, 1)
  image = jnp.concatenate([color, jnp.ones_like(alpha)], axis=-1)
  return Layers(
    image=jnp.where(is_inside, image, 0),
    depth=jnp.where(is_inside[..., 0], layers.depth, 0),
    normal=jnp.where(is_inside, layers.normal, 0),
    usage=layers.usage,
  )


def _draw_layers(
  triangles: Triangles,
  views: Views,
  config: RenderConfig,
  budget: raster.Budget,
) -> Layers:
  renderer = TriangleRenderer(triangles, config, ("depth", "normal", "share"))
  images, usage = renderer.render(views, budget=budget)
  # The rasterizer mixes a background of 0 into every channel. Dividing by the
  # faces' share takes it out again.
  share = images[..., 8]
  contributes = share > 0
  share = jnp.where(contributes, share, 1)
  return Layers(
    image=images[..., :4],
    depth=jnp.where(contributes, images[..., 4] / share, 0),
    normal=to_unit(images[..., 5:8] / share[..., None]),
    usage=usage,
  )
