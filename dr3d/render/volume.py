"""Volumes: rays, the compositing of samples, and a grid as a renderable.

`B` models, `N` views, `R` rays, `S` samples of a ray, `G` cells of a grid along
each axis, `H W` pixels. Lengths are in radii of the object, see `dr3d.camera`.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.projection import (
  Camera,
  frame_object,
  place_corners,
)
from dr3d.camera.view import Views, rotation_matrix
from dr3d.geometry.norm import to_unit
from dr3d.render.budget import Unlimited
from dr3d.render.config import RenderConfig, check_config
from dr3d.render.shading import shade_parts

Array = jax.Array

HIT_MIN = 1e-6  # squared half length of a ray's part in the sphere that counts
ALPHA_MIN = 1e-4  # below it, a ray has no depth of its own
GRADIENT_MIN = 1e-6  # squared; below it, a point has no normal


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rays:
  """Rays in the axes of the object.

  Attributes:
    origin: `[..., 3]` position of the camera.
    direction: `[..., 3]` unit vectors.
  """

  origin: Array
  direction: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Composite:
  """What rays show.

  Attributes:
    color: `[..., 3]` colour multiplied by alpha; `[..., C]` in general.
    alpha: `[...]` in [0, 1].
    weights: `[..., S]` share of each sample; they sum up to alpha.
    depth: `[...]` mean distance from the camera along the ray; that of the
      last sample if the ray meets nothing.
  """

  color: Array
  alpha: Array
  weights: Array
  depth: Array


def list_pixels(size: int) -> Array:
  """`[H W, 2]` centres of all pixels, x to the right and y down, by rows."""
  y, x = jnp.meshgrid(*[jnp.arange(size) + 0.5] * 2, indexing="ij")
  return jnp.stack([x, y], axis=-1).reshape(-1, 2)


def make_rays(views: Views, pixels: Array, *, size: int) -> Rays:
  """Returns the rays through pixels of images framed by the sphere.

  Args:
    views: N perspective views.
    pixels: `[N, R, 2]` or `[R, 2]`, x to the right and y down; pixels.
    size: height of an image; pixels. A wide image has more pixels in x, to
      both sides of the square one.

  Returns:
    N times R rays; `project_points` maps their points to the pixels.
  """
  centre = jnp.full((views.count, 2), size / 2)
  if views.principal is not None:
    centre += size * views.principal
  shift = (pixels - centre[:, None]) * jnp.array([1.0, -1.0])
  plane = shift * (jnp.tan(views.fov / 2) * 2 / size)[:, None, None]
  return _to_object(plane, views, camera="perspective")


def _to_object(plane: Array, views: Views, *, camera: Camera) -> Rays:
  """Rays through `[..., N, R, 2]` points of an image of unit scale, y up."""
  away = jnp.full_like(plane[..., :1], -1)
  distance = jnp.broadcast_to(views.distance[:, None, None], away.shape)
  if camera == "orthographic":
    start = jnp.concatenate([plane * distance, distance], axis=-1)
    way = jnp.concatenate([jnp.zeros_like(plane), away], axis=-1)
  else:
    start = jnp.concatenate([jnp.zeros_like(plane), distance], axis=-1)
    way = to_unit(jnp.concatenate([plane, away], axis=-1))
  if views.offset is not None:
    start = start.at[..., :2].add(-views.offset[:, None])
  # Rows are axes of the view, so the transpose leads to the object.
  back = jnp.swapaxes(rotation_matrix(views.quaternion), -1, -2)[:, None]
  return Rays(_rotate(back, start), _rotate(back, way))


def _rotate(matrix: Array, vectors: Array) -> Array:
  """`[..., 3, 3]` times `[..., 3]`, leading axes broadcast.

  Written out: a product of matrices rounds otherwise in another batch.
  """
  return jnp.sum(matrix * vectors[..., None, :], axis=-1)


def place_samples(
  rays: Rays, *, count: int, jitter: Array | None = None
) -> tuple[Array, Array]:
  """Spreads samples over the part of each ray in the unit sphere.

  The text has one interval for all rays, the camera's distance plus and minus a
  constant. The sphere's chord wastes no sample where no object can be.

  Args:
    rays: R rays in any shape.
    count: S.
    jitter: `[..., S]` position of each sample in its share of the chord, in
      [0, 1]; None for the middle.

  Returns:
    `[..., S]` distances from the camera, ascending, and `[..., S]` lengths of
    the shares, which are 0 for a ray that misses the sphere.
  """
  along = -jnp.sum(rays.origin * rays.direction, axis=-1)
  square = 1 + along**2 - jnp.sum(rays.origin**2, axis=-1)
  half = jnp.sqrt(jnp.maximum(square, HIT_MIN))
  near = jnp.maximum(along - half, 0)
  length = jnp.maximum(along + half, 0) - near
  step = (length / count)[..., None]
  place = 0.5 if jitter is None else jitter
  distance = near[..., None] + (jnp.arange(count) + place) * step
  gap = jnp.where(square[..., None] > HIT_MIN, step, 0)
  return distance, jnp.broadcast_to(gap, distance.shape)


def composite(
  density: Array, color: Array, distance: Array, gap: Array
) -> Composite:
  """Composites the samples of rays, the nearest first.

  With `a_i = 1 - exp(-σ_i δ_i)` and `T_i` the product of `1 - a_j` of all
  samples before, `w_i = T_i a_i`, alpha is the sum of w and the colour that of
  `w_i c_i`. A background is added as `colour + (1 - alpha) background`.

  Args:
    density: `[..., S]` σ, not negative.
    color: `[..., S, C]` c.
    distance: `[..., S]` from the camera.
    gap: `[..., S]` δ.

  References:
    WO 2023/080921 [0155, 0165]; Max, Optical models, 1995.
  """
  thickness = density * gap
  before = jnp.cumsum(thickness, axis=-1) - thickness
  # 1 - exp(-x) of a small x loses its digits in single precision.
  weights = jnp.exp(-before) * -jnp.expm1(-thickness)
  alpha = -jnp.expm1(-jnp.sum(thickness, axis=-1))
  total = jnp.sum(weights * distance, axis=-1)
  is_hit = alpha > ALPHA_MIN
  depth = total / jnp.where(is_hit, alpha, 1)
  return Composite(
    color=jnp.sum(weights[..., None] * color, axis=-2),
    alpha=alpha,
    weights=weights,
    depth=jnp.where(is_hit, depth, distance[..., -1]),
  )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class VolumeRenderer:
  """The `Renderer` of B grids of density, lit like surfaces.

  A ray is shaded once, at its mean depth, with the gradient of the density as
  the normal. So a volume looks like the mesh of the same shape, under the same
  learned lights.

  Attributes:
    density: `[B, G, G, G]` along x, y and z at positions from -1 to 1 of the
      grid's axes; inverse radii, not negative. It is 0 beyond the grid.
    turn: `[B, 3, 3]` rotation from the axes of the grid to those of the object.
    hull: `[B, P, 3]` points in the axes of the grid, whose convex hull holds
      the shape; the framing `"object"` fills the image with them.
    albedo: `[B, G, G, G, 3]` colours of the matter, or None for white.
    config: size, framing and camera of the images; static. σ and γ of the
      rasterizer mean nothing here.
    samples: S, of a ray; static.
  """

  density: Array
  turn: Array
  hull: Array
  albedo: Array | None = None
  config: RenderConfig = dataclasses.field(
    default=RenderConfig(), metadata={"static": True}
  )
  samples: int = dataclasses.field(default=64, metadata={"static": True})

  @property
  def extent(self) -> Array:
    """`[]` root mean square of the coordinates, weighted by opacity."""
    G = self.density.shape[1]
    axis = jnp.square(jnp.linspace(-1, 1, G))
    square = (axis[:, None, None] + axis[:, None] + axis) / 3
    opacity = -jnp.expm1(-self.density * 2 / (G - 1))
    total = jnp.sum(opacity) + 1e-12
    return jnp.sqrt(jnp.sum(opacity * square) / total)

  def render(
    self, views: Views, *, budget: Unlimited
  ) -> tuple[Array, tuple[()]]:
    """Draws the models; see `Renderer.render`."""
    del budget
    check_config(self.config)
    _check_grid(self)
    rays = self._make_rays(views)  # [B, N, H W, 3]
    alpha, points = self._march(rays)
    color = self._shade(points, rays, views)
    image = jnp.concatenate([color * alpha[..., None], alpha[..., None]], -1)
    B, N = image.shape[:2]
    size = self.config.size
    return image.reshape(B, N, size, size, 4), ()

  def fit_budget(
    self,
    views: Views,
    *,
    devices: DeviceMesh | None = None,
    start: Unlimited | None = None,
  ) -> Unlimited:
    """The work depends on no value."""
    del views, devices, start
    return Unlimited()

  def _make_rays(self, views: Views) -> Rays:
    """The rays of all pixels in the axes of each grid."""
    config = self.config
    size, N = config.size, views.count
    plane = (list_pixels(size) - size / 2) * jnp.array([1.0, -1.0]) * 2 / size
    plane = plane * jnp.tan(views.fov / 2)[:, None, None]
    plane = jnp.broadcast_to(plane, (len(self.density), N, size**2, 2))
    if config.framing == "object":
      hull = _rotate(self.turn[:, None], self.hull)
      x, y, z = place_corners(hull[:, :, None], views)
      depth = views.distance[:, None] - z
      zoom, x, y = frame_object(x, y, depth, views, camera=config.camera)
      middle = jnp.concatenate([x[0], y[0]], axis=-1)[:, :, None]
      plane = plane / zoom[0][..., None] + middle
    elif views.principal is not None:
      shift = views.principal * jnp.array([1.0, -1.0]) * 2
      plane = plane - (shift * jnp.tan(views.fov / 2)[:, None])[:, None]
    rays = _to_object(plane, views, camera=config.camera)
    back = jnp.swapaxes(self.turn, -1, -2)[:, None, None]
    return jax.tree.map(functools.partial(_rotate, back), rays)

  def _march(self, rays: Rays) -> tuple[Array, Array]:
    """`[B, N, H W]` alpha and mean positions in the axes of the grids."""

    def march(args: tuple[Array, Rays]) -> tuple[Array, Array]:
      density, rays = args
      distance, gap = place_samples(rays, count=self.samples)
      points = (
        rays.origin[:, None] + distance[..., None] * (rays.direction[:, None])
      )
      sigma = _read_grid(density, points)
      none = jnp.zeros((*sigma.shape, 0))
      drawn = composite(sigma, none, distance, gap)
      place = rays.origin + drawn.depth[:, None] * rays.direction
      return drawn.alpha, place

    B, N = rays.origin.shape[:2]
    # One image at a time: the samples of all would not fit in the memory.
    flat = jax.tree.map(lambda v: v.reshape(B * N, *v.shape[2:]), rays)
    density = jnp.asarray(self.density)
    which = jnp.repeat(jnp.arange(B), N)
    alpha, points = jax.lax.map(
      lambda args: march((density[args[0]], args[1])), (which, flat)
    )
    alpha = alpha.reshape(B, N, -1)
    return alpha, points.reshape(B, N, -1, 3)

  def _shade(self, points: Array, rays: Rays, views: Views) -> Array:
    """`[B, N, H W, 3]` colours at the mean positions."""
    axes = (1, 2, 3)
    slope = jnp.stack(jnp.gradient(self.density, axis=axes), axis=-1)
    read = jax.vmap(_read_grid)
    outward = -jnp.stack([read(slope[..., k], points) for k in range(3)], -1)
    # A ray towards the inside sees the side that faces it.
    facing = jnp.sum(outward * rays.direction, axis=-1, keepdims=True)
    outward = jnp.where(facing > 0, -outward, outward)
    is_slope = jnp.sum(outward**2, -1, keepdims=True) > GRADIENT_MIN
    normal = to_unit(jnp.where(is_slope, outward, -rays.direction))
    view = rotation_matrix(views.quaternion)[:, None]
    model = self.turn[:, None, None]
    normal, place = (_rotate(view, _rotate(model, v)) for v in (normal, points))
    if views.offset is not None:
      place = place.at[..., :2].add(views.offset[:, None])
    diffuse, shine = shade_parts(
      [place[None, ..., k] for k in range(3)],
      [normal[None, ..., k] for k in range(3)],
      views,
      camera=self.config.camera,
    )
    matte = jnp.stack([d[0] for d in diffuse], axis=-1)
    if self.albedo is not None:
      matte *= jnp.stack(
        [read(self.albedo[..., k], points) for k in range(3)], axis=-1
      )
    return matte + jnp.stack([s[0] for s in shine], axis=-1)


def _read_grid(grid: Array, points: Array) -> Array:
  """`[G, G, G]` grid at `[..., 3]` points, trilinear; 0 beyond it."""
  place = (jnp.moveaxis(points, -1, 0) + 1) * ((grid.shape[0] - 1) / 2)
  return map_coordinates(grid, list(place), order=1, mode="constant")


def _check_grid(volume: VolumeRenderer) -> None:
  shape = volume.density.shape
  if len(shape) != 4 or len(set(shape[1:])) != 1 or shape[1] < 2:
    raise ValueError(
      f"density must be [B, G, G, G] with G at least 2, got {shape}."
    )
