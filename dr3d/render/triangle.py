"""G: triangles and views to images.

`B` models, `N` views of a model, `F` faces, `H W` pixels.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TypedDict, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.projection import (
  Camera,
  depth_range,
  place_corners,
  turn_vectors,
)
from dr3d.camera.view import Views
from dr3d.geometry.vector import Vector
from dr3d.mesh import Mesh
from dr3d.render import raster
from dr3d.render.budget import within_budget
from dr3d.render.config import (
  LAYER_CHANNELS,
  Coverage,
  Framing,
  Layer,
  Pose,
  RenderConfig,
  Shading,
  check_config,
  check_option,
)
from dr3d.render.screen import find_soft_edges, to_pixels
from dr3d.render.shading import shade, turn_normals
from dr3d.render.shadow import cast as cast_shadows
from dr3d.render.shadow import list_lit
from dr3d.render.texture import (
  TEXTURE_CHANNELS,
  Texture,
  list_textured,
  put_texture,
)
from dr3d.runtime.device import spread_views

Array = jax.Array

_DARK = 1e-6  # of a colour: below, no share of it is left in a shadow


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Triangles:
  """B models of F triangles, padded with triangles without area.

  Attributes:
    corners: `[B, F, 3, 3]` triangle, corner, xyz; within the unit sphere.
    normals: `[B, F, 3, 3]` unit normals at the corners.
    albedo: `[B, F, 3, 3]` red, green, blue of the corners, which multiply the
      material's diffuse colour; white if None.
    opposite: int32 `[B, F, 3]`, the neighbours across the edges, see
      `dr3d.render.raster.opposite_corners`; needed for `coverage="mesh"` only.
    texture: pictures on the faces, which multiply the albedo; None for none.
  """

  corners: Array | np.ndarray
  normals: Array | np.ndarray
  albedo: Array | np.ndarray | None = None
  opposite: Array | np.ndarray | None = None
  texture: Texture | None = None


def stack_meshes(
  meshes: Sequence[Mesh],
  *,
  face_count: int,
  pose: Pose = "file",
  coverage: Coverage = "face",
  appearance: bool = False,
) -> Triangles:
  """Pads meshes to the same number of faces.

  Args:
    meshes: B meshes of at most `face_count` faces.
    face_count: F.
    pose: `"file"` keeps the axes of the file, `"principal"` turns each mesh
      into its principal axes, so that the pose in the file does not matter.
    coverage: of the `RenderConfig` to draw with; `"mesh"` needs neighbours.
    appearance: whether to draw the meshes' own colours; those without are
      white.

  Returns:
    Triangles on the host, float32.

  Raises:
    ValueError: a mesh has more faces, or pose or coverage is unknown.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> mesh = dr3d.make_mesh(np.eye(3), np.array([[0, 1, 2]]))
    >>> dr3d.stack_meshes([mesh], face_count=4).corners.shape
    (1, 4, 3, 3)
  """
  check_option("coverage", coverage, Coverage)
  check_option("pose", pose, Pose)
  corners = np.zeros((len(meshes), face_count, 3, 3), np.float32)
  normals = np.zeros_like(corners)
  albedo = np.ones_like(corners) if appearance else None
  opposite = None
  if coverage == "mesh":
    opposite = np.full(corners.shape[:3], -1, np.int32)
  for i, mesh in enumerate(meshes):
    n = len(mesh.faces)
    if n > face_count:
      raise ValueError(f"a mesh of {n} faces does not fit in {face_count}.")
    turn = mesh.frame.T if pose == "principal" else np.eye(3, dtype=np.float32)
    corners[i, :n] = (mesh.vertices @ turn)[mesh.faces]
    normals[i, :n] = mesh.normals @ turn
    if albedo is not None and mesh.colors is not None:
      albedo[i, :n] = mesh.colors
    if opposite is not None:
      opposite[i, :n] = raster.opposite_corners(mesh.vertices, mesh.faces)
  return Triangles(
    corners=corners, normals=normals, albedo=albedo, opposite=opposite
  )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TriangleRenderer:
  """The `Renderer` of triangles.

  Attributes:
    triangles: B models.
    config: how they are drawn; static.
    layers: drawn after red, green, blue and alpha, see `render`; static.
    width: of an image, pixels; None for a square one. The height is the
      config's size; static.
  """

  triangles: Triangles
  config: RenderConfig = dataclasses.field(metadata={"static": True})
  layers: tuple[Layer, ...] = dataclasses.field(
    default=(), metadata={"static": True}
  )
  width: int | None = dataclasses.field(default=None, metadata={"static": True})

  @property
  def extent(self) -> Array:
    """`[]` root mean square of the corners' coordinates."""
    # A face with a corner that is not a number is not drawn, so images do not
    # show it. A maximum may skip such a number, a sum does not.
    return jnp.sqrt(jnp.mean(jnp.square(jnp.asarray(self.triangles.corners))))

  def render(
    self, views: Views, *, budget: raster.Budget
  ) -> tuple[Array, raster.Usage]:
    """Draws the models; see `Renderer.render`."""
    _check_corners(self.triangles)
    check_config(self.config, self.layers)
    return _draw(
      self.triangles,
      views,
      config=self.config,
      budget=budget,
      layers=self.layers,
      width=self.width,
    )

  def fit_budget(
    self,
    views: Views,
    *,
    devices: DeviceMesh | None = None,
    start: raster.Budget | None = None,
  ) -> raster.Budget:
    """Returns a budget that just holds a call; see `Renderer.fit_budget`."""
    return fit_budget(
      self.triangles,
      views,
      config=self.config,
      devices=devices,
      start=start,
      width=self.width,
    )


def render(
  triangles: Triangles,
  views: Views,
  *,
  size: int | tuple[int, int],
  sigma: Array | float,
  gamma: Array | float,
  budget: raster.Budget,
  framing: Framing = "sphere",
  coverage: Coverage = "face",
  camera: Camera = "perspective",
  shading: Shading = "smooth",
  shadows: bool = False,
  layers: tuple[Layer, ...] = (),
  devices: DeviceMesh | None = None,
) -> tuple[Array, raster.Usage]:
  """Draws B models in N views each.

  Differentiable in the corners, normals, albedo, and every field of the views.
  Objects within the unit sphere are completely in front of the camera, whose
  distance is more than 1. Of a face that reaches behind the camera, the part
  beyond `NEAREST` is drawn; `budget.crossing` has room for such faces.

  Args:
    triangles: the models.
    views: θ_G.
    size: height and width of an image, pixels; one number for a square image.
      The field of view is vertical, so a wider image shows more at its sides.
    sigma: softness of edges, pixels; may be traced.
    gamma: softness of occlusion; may be traced.
    budget: room for the rasterizer; see `dr3d.render.raster.rasterize`.
    framing: see `RenderConfig`.
    coverage: see `RenderConfig`.
    camera: see `RenderConfig`.
    shading: see `RenderConfig`.
    shadows: see `RenderConfig`.
    layers: what else is drawn, of `LAYER_CHANNELS`; `dr3d.render.layer` returns
      layers by name.
    devices: each draws its share of the views, and the budget is room for one
      share; see `dr3d.runtime.device`. One device draws all if None.

  Returns:
    Images `[B, N, H, W, 4 + C]`: red, green and blue multiplied by alpha, then
    alpha, then the C channels of the layers, which alpha does not multiply; and
    what the rasterizer needed.

  Raises:
    ValueError: the corners' shape does not fit, or an option is unknown.

  References:
    WO 2021/178001 [0022, 0023]: G with N viewpoints, N lights, material and
    camera for all models.
  """
  height, width = (size, None) if isinstance(size, int) else size
  config = RenderConfig(
    size=height,
    # A traced softness passes through the config here, which is not hashed.
    sigma=cast(float, sigma),
    gamma=cast(float, gamma),
    framing=framing,
    coverage=coverage,
    camera=camera,
    shading=shading,
    shadows=shadows,
  )

  def draw(triangles: Triangles, views: Views) -> tuple[Array, raster.Usage]:
    renderer = TriangleRenderer(triangles, config, layers, width)
    return renderer.render(views, budget=budget)

  return spread_views(draw, devices)(triangles, views)


def fit_budget(
  triangles: Triangles,
  views: Views,
  *,
  config: RenderConfig,
  devices: DeviceMesh | None = None,
  start: raster.Budget | None = None,
  width: int | None = None,
) -> raster.Budget:
  """Returns a budget that just holds the drawing of these models.

  Args:
    triangles: B models.
    views: θ_G.
    config: how they are drawn.
    devices: as for `render`.
    start: a budget whose room the result must have as well; None for the
      smallest.
    width: of an image, pixels, if it is not square; the config has its height.

  Returns:
    A budget for `render`. Not for use under jit.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> mesh = dr3d.make_mesh(np.eye(3), np.array([[0, 1, 2]]))
    >>> triangles = dr3d.stack_meshes([mesh], face_count=1)
    >>> views = dr3d.make_views(dr3d.ring_views(2))
    >>> config = dr3d.RenderConfig(size=16, framing="sphere")
    >>> budget = dr3d.fit_budget(triangles, views, config=config)
    >>> budget.pairs > 0
    True
  """

  def count(budget: raster.Budget) -> tuple[None, raster.Usage]:
    usage = _measure(
      triangles,
      views,
      config=config,
      budget=budget,
      devices=devices,
      width=width,
    )
    return None, usage

  start = start or raster.Budget(pairs=8, blocks=8)
  return within_budget(count, start, headroom=1)[1]


def _draw(
  triangles: Triangles,
  views: Views,
  *,
  config: RenderConfig,
  budget: raster.Budget,
  layers: tuple[Layer, ...],
  width: int | None,
) -> tuple[Array, raster.Usage]:
  size = (config.size, width or config.size)
  triangles = jax.tree.map(jnp.asarray, triangles)
  B, N = len(triangles.corners), views.count
  p = place_corners(triangles.corners, views)
  texture = triangles.texture
  channels = 3 + sum(LAYER_CHANNELS[name] for name in layers)
  extra: Sequence[Array] = ()
  if texture is not None:
    extra, albedo = list_textured(
      p,
      _normals(p, triangles, views, config),
      views,
      texture,
      albedo=triangles.albedo,
      camera=config.camera,
    )
    triangles = dataclasses.replace(triangles, albedo=albedo)
  lit: list[Array] = []
  if config.shadows:
    lit = list_lit(
      p,
      _normals(p, triangles, views, config),
      views,
      albedo=triangles.albedo,
      camera=config.camera,
    )
    extra = [*extra, *p]
  shown, channels = channels, channels + len(lit)
  pixels, colors, soft, crossing = to_pixels(
    p,
    [*_color(p, triangles, views, config, layers), *lit, *extra],
    _soft_edges(p, triangles, views, config),
    views,
    config=config,
    room=budget.crossing,
    width=width,
  )

  def each_model(array: Array) -> Array:
    return jnp.broadcast_to(array, (B, N)).reshape(-1)

  far, near = depth_range(views, config.camera)
  color, alpha, usage = raster.rasterize(
    pixels,
    colors[..., :channels],
    size=size,
    sigma=config.sigma,
    gamma=config.gamma,
    depth_range=(each_model(far), each_model(near)),
    budget=budget,
    camera=config.camera,
    soft=soft,
  )
  usage = dataclasses.replace(usage, crossing=crossing)
  where: _Lookup = {
    "depth_range": (each_model(far), each_model(near)),
    "budget": budget,
    "camera": config.camera,
  }
  plain, lit_color = color[..., :3], color[..., shown:]
  color = color[..., :shown]
  if texture is not None:
    values = colors[..., channels : channels + TEXTURE_CHANNELS]
    color = put_texture(color, texture, pixels, values, **where)
  if config.shadows:
    left = cast_shadows(
      plain, lit_color, p, views, pixels, colors[..., -3:], **where
    )
    if texture is not None:  # as much of the pictures' colours
      left = color[..., :3] * left / jnp.maximum(plain, _DARK)
    color = jnp.concatenate([left, color[..., 3:]], axis=-1)
  # Written out: the gradient of a product over so short an axis is slow.
  red, green, blue = (color[..., c] * alpha for c in range(3))
  images = jnp.stack([red, green, blue, alpha], axis=-1)
  if layers:
    images = jnp.concatenate([images, color[..., 3:]], axis=-1)
  return images.reshape(B, N, *size, -1), usage


class _Lookup(TypedDict):
  """What a lookup of faces at pixels needs."""

  depth_range: tuple[Array, Array]
  budget: raster.Budget
  camera: Camera


def _check_corners(triangles: Triangles) -> None:
  shape = triangles.corners.shape
  if len(shape) != 4 or shape[-2:] != (3, 3):
    raise ValueError(f"corners must be [B, F, 3, 3], got {shape}.")


def _color(
  p: Vector,
  triangles: Triangles,
  views: Views,
  config: RenderConfig,
  layers: tuple[Layer, ...],
) -> list[Array]:
  """Colours of the corners, then the channels of the layers."""
  normals = _normals(p, triangles, views, config)
  shades = shade(
    p, normals, views, albedo=triangles.albedo, camera=config.camera
  )
  depth = views.distance[:, None] - p[2]
  channels: dict[Layer, Sequence[Array]] = {
    "depth": (depth,),
    "normal": normals,
    "share": (jnp.ones_like(depth),),
  }
  return [*shades, *(c for name in layers for c in channels[name])]


def _normals(
  p: Vector, triangles: Triangles, views: Views, config: RenderConfig
) -> Vector:
  normals = None
  if config.shading == "smooth":
    normals = turn_vectors(triangles.normals, views)
  return turn_normals(p, normals, views, camera=config.camera)


def _soft_edges(
  p: Vector, triangles: Triangles, views: Views, config: RenderConfig
) -> Array | None:
  if config.coverage == "face":
    return None
  return find_soft_edges(triangles.opposite, p, views, camera=config.camera)


@functools.partial(
  jax.jit, static_argnames=("config", "budget", "devices", "width")
)
def _measure(
  triangles: Triangles,
  views: Views,
  *,
  config: RenderConfig,
  budget: raster.Budget,
  devices: DeviceMesh | None,
  width: int | None,
) -> raster.Usage:
  """What `_draw` would need, without drawing."""

  def count(
    triangles: Triangles, views: Views
  ) -> tuple[tuple[()], raster.Usage]:
    p = place_corners(triangles.corners, views)
    pixels, _, soft, crossing = to_pixels(
      p,
      (),
      _soft_edges(p, triangles, views, config),
      views,
      config=config,
      room=budget.crossing,
      width=width,
    )
    usage = raster.measure(
      pixels,
      size=(config.size, width or config.size),
      sigma=config.sigma,
      budget=budget,
      camera=config.camera,
      soft=soft,
    )
    return (), dataclasses.replace(usage, crossing=crossing)

  triangles = jax.tree.map(jnp.asarray, triangles)
  return spread_views(count, devices)(triangles, views)[1]
