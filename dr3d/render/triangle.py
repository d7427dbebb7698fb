"""G: meshes and views to images.

Shapes: `B` models, `N` views of a model, `F` faces, `H W` pixels.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.projection import (
  NEAREST,
  check_camera,
  depth_range,
  frame_object,
  place_corners,
  to_picture,
  turn_vectors,
)
from dr3d.camera.view import Views
from dr3d.geometry.vector import Vector
from dr3d.mesh import Mesh
from dr3d.render import raster
from dr3d.render.shading import shade, turn_normals
from dr3d.runtime.device import spread_views

Array = jax.Array

SHADINGS = ("smooth", "flat")
LAYERS = {"depth": 1, "normal": 3, "share": 1}
"""What can be drawn beside the colour, and in how many channels."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Triangles:
  """B models of F triangles, padded with triangles without area.

  Attributes:
    corners: `[B, F, 3, 3]` triangle, corner, xyz; within the unit sphere.
    normals: `[B, F, 3, 3]` unit normals at the corners.
    albedo: `[B, F, 3, 3]` red, green, blue of the corners, which multiply the
      material's diffuse colour; white where None.
    opposite: int32 `[B, F, 3]`, the neighbours across the edges, see
      `dr3d.render.raster.opposite_corners`; only for `coverage="mesh"`.
  """

  corners: Array | np.ndarray
  normals: Array | np.ndarray
  albedo: Array | np.ndarray | None = None
  opposite: Array | np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class RenderConfig:
  """How G draws: arguments of `render` by their names.

  Attributes:
    size: height and width of an image, pixels.
    sigma: softness of edges, pixels.
    gamma: softness of occlusion, in inverse depth that goes from 0 at the far
      to 1 at the near end of the unit sphere.
    framing: `"sphere"` keeps the camera on the centre of the unit sphere;
      `"object"` moves and zooms each picture so that the object fills it as the
      sphere would. A thin rod seen from its end is a dot in the first and shows
      its section in the second.
    coverage: `"face"` softens every edge of every face; `"mesh"` softens the
      surface's silhouettes and open ends alone, and so does not show how the
      surface is cut into faces. See `dr3d.render.raster.rasterize`.
    camera: `"perspective"` or `"orthographic"`; a view of the second shows as
      much as one of the first does at the depth of the origin.
    shading: `"smooth"` takes the normals of the triangles, `"flat"` those of
      their planes.
  """

  size: int = 64
  sigma: float = 0.7
  gamma: float = 3e-3
  framing: str = "object"
  coverage: str = "face"
  camera: str = "perspective"
  shading: str = "smooth"


def stack_meshes(
  meshes: list[Mesh],
  *,
  face_count: int,
  pose: str = "file",
  coverage: str = "face",
) -> Triangles:
  """Pads meshes to one size.

  Args:
    meshes: B meshes of at most `face_count` faces.
    face_count: F.
    pose: `"file"` keeps the axes of the file, `"principal"` turns each mesh
      into its principal axes, so that the pose of the file does not matter.
    coverage: for which coverage of `RenderConfig`; `"mesh"` needs neighbours.

  Returns:
    Triangles on the host, float32.

  Raises:
    ValueError: if a mesh has more faces, or pose or coverage is unknown.
  """
  _check_coverage(coverage)
  if pose not in ("file", "principal"):
    raise ValueError(f'pose must be "file" or "principal", got {pose!r}.')
  corners = np.zeros((len(meshes), face_count, 3, 3), np.float32)
  normals = np.zeros_like(corners)
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
    if opposite is not None:
      opposite[i, :n] = raster.opposite_corners(mesh.vertices, mesh.faces)
  return Triangles(corners=corners, normals=normals, opposite=opposite)


def _check_coverage(coverage):
  if coverage not in ("face", "mesh"):
    raise ValueError(f'coverage must be "face" or "mesh", got {coverage!r}.')


def render(
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
  layers: tuple[str, ...] = (),
  devices: DeviceMesh | None = None,
) -> tuple[Array, raster.Usage]:
  """Draws B models in N views each.

  Differentiable in the corners, normals, albedo, and every field of the views.
  Objects within the unit sphere lie wholly in front of the camera, whose
  distance is more than 1. Of a face that reaches behind the camera, the part
  beyond `NEAREST` is drawn; `budget.crossing` has room for such faces.

  Args:
    triangles: the models.
    views: θ_G.
    size: height and width of an image, pixels.
    sigma: softness of edges, pixels; may be traced.
    gamma: softness of occlusion; may be traced.
    budget: room for the rasterizer; see `dr3d.render.raster.rasterize`.
    framing: see `RenderConfig`.
    coverage: see `RenderConfig`.
    camera: see `RenderConfig`.
    shading: see `RenderConfig`.
    layers: what else is drawn, of `LAYERS`; `dr3d.render.layer` gives it its
    names.
    devices: each draws its share of the views, and the budget is room for one
      share; see `dr3d.runtime.device`. All on one where None.

  Returns:
    Images `[B, N, H, W, 4]`: red, green, blue, multiplied by alpha, and alpha,
    and behind them the channels of the layers, which alpha does not multiply;
    and what the rasterizer needed.

  References:
    WO 2021/178001 [0022, 0023]: G with N viewpoints, N lights, material and
    camera for all models.
  """
  if triangles.corners.ndim != 4 or triangles.corners.shape[-2:] != (3, 3):
    raise ValueError(
      f"corners must be [B, F, 3, 3], got {triangles.corners.shape}."
    )
  _check_coverage(coverage)
  _check(camera, shading, layers)

  def draw(triangles, views):
    return _draw(
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
      layers=layers,
    )

  triangles = jax.tree.map(jnp.asarray, triangles)
  return spread_views(draw, devices)(triangles, views)


def _draw(
  triangles,
  views,
  *,
  size,
  sigma,
  gamma,
  budget,
  framing,
  coverage,
  camera,
  shading,
  layers,
):
  B, N = len(triangles.corners), views.count
  p = place_corners(triangles.corners, views)
  colors = _color(p, triangles, views, camera, shading, layers)
  soft = None
  if coverage == "mesh":
    soft = _soft_edges(triangles, p, views, camera)
  pixels, colors, soft, crossing = _to_pixels(
    p,
    colors,
    soft,
    views,
    size=size,
    framing=framing,
    camera=camera,
    room=budget.crossing,
  )

  def each_model(array):
    return jnp.broadcast_to(array, (B, N)).reshape(-1)

  color, alpha, usage = raster.rasterize(
    pixels,
    colors,
    size=(size, size),
    sigma=sigma,
    gamma=gamma,
    depth_range=tuple(map(each_model, depth_range(views, camera))),
    budget=budget,
    camera=camera,
    soft=soft,
  )
  usage = dataclasses.replace(usage, crossing=crossing)
  # Written out: the gradient of a product over so short an axis is slow.
  red, green, blue = (color[..., c] * alpha for c in range(3))
  images = jnp.stack([red, green, blue, alpha], axis=-1)
  if layers:
    images = jnp.concatenate([images, color[..., 3:]], axis=-1)
  return images.reshape(B, N, size, size, -1), usage


def _check(camera, shading, layers):
  check_camera(camera)
  if shading not in SHADINGS:
    raise ValueError(f"shading must be one of {SHADINGS}, got {shading!r}.")
  unknown = [layer for layer in layers if layer not in LAYERS]
  if unknown:
    raise ValueError(f"layers are {tuple(LAYERS)}, not {unknown}.")


def _color(p, triangles, views, camera, shading, layers):
  """Colours of the corners, then the channels of the layers."""
  normals = None
  if shading == "smooth":
    normals = turn_vectors(triangles.normals, views)
  normals = turn_normals(p, normals, views, camera=camera)
  shades = shade(p, normals, views, albedo=triangles.albedo, camera=camera)
  depth = views.distance[:, None] - p[2]
  channels = {
    "depth": (depth,),
    "normal": normals,
    "share": (jnp.ones_like(depth),),
  }
  return [*shades, *(c for name in layers for c in channels[name])]


def _to_pixels(
  p: Vector,
  colors: tuple[Array, ...],
  soft: Array | None,
  views: Views,
  *,
  size: int,
  framing: str,
  camera: str,
  room: int,
) -> tuple[Array, Array, Array | None, Array]:
  """Corners in the axes of the views to those that `raster.rasterize` takes.

  Args:
    p: `[3, B, N, F]` for each axis.
    colors: C channels of the same shape.
    soft: `[3, B·N, F]`, or none.
    views: cameras.
    size: see `render`, and so are `framing` and `camera`.
    framing: how pictures are zoomed.
    camera: how they are projected.
    room: E, for faces that the near plane cuts in two.

  Returns:
    Corners, colours and soft edges of F + E faces, as `raster.rasterize` takes
    them; and the largest number of faces of a picture that are cut in two.
  """
  x, y, z = p
  depth = views.distance[:, None] - z
  frame = None
  if framing == "object":
    frame = frame_object(x, y, depth, views, camera=camera)
  elif framing != "sphere":
    raise ValueError(f'framing must be "sphere" or "object", got {framing!r}.')

  data, soft, count = raster.clip_near(
    _stack((x, y, depth, *colors)), soft, nearest=NEAREST, room=room
  )
  x, y, depth = data[:3].reshape(3, *x.shape[:-1], -1)
  pixels = _stack(
    to_picture(x, y, depth, views, size=size, camera=camera, frame=frame)
  )
  if soft is not None:
    soft = jnp.moveaxis(soft, 0, -1)
  pixels, channels = (
    jnp.transpose(array, (2, 3, 1, 0)) for array in (pixels, data[3:])
  )
  return pixels, channels, soft, jnp.max(count)


def _stack(arrays: tuple[Array, ...]) -> Array:
  """A arrays `[3, B, N, F]` to `[A, 3, B·N, F]`."""
  _, B, N, F = arrays[0].shape
  return jnp.stack(arrays).reshape(len(arrays), 3, B * N, F)


def _soft_edges(triangles, p, views, camera):
  """Bool `[3, B·N, F]`, the edges at which surfaces end or fold in a view."""
  if triangles.opposite is None:
    raise ValueError('coverage "mesh" needs triangles that know `opposite`.')
  opposite = jnp.repeat(jnp.asarray(triangles.opposite), views.count, axis=0)
  x, y, z = p
  towards = None
  if camera == "orthographic":
    towards = jnp.array([0, 0, 1], z.dtype)
  else:
    z = z - views.distance[:, None]
  seen = jnp.transpose(_stack((x, y, z)), (2, 3, 1, 0))
  return jnp.moveaxis(raster.soft_edges(seen, opposite, towards=towards), -1, 0)


def fit_budget(
  triangles: Triangles,
  views: Views,
  *,
  config: RenderConfig,
  devices: DeviceMesh | None = None,
  start: raster.Budget | None = None,
) -> raster.Budget:
  """A budget that just holds the drawing of these models.

  Args:
    triangles: B models.
    views: θ_G.
    config: how they are drawn.
    devices: as for `render`.
    start: that the budget shall hold as well; None for the smallest.

  Returns:
    A budget for `render`; not to be called under jit.
  """
  budget = start or raster.Budget(pairs=8, blocks=8)
  while True:
    usage = _measure(
      triangles, views, config=config, budget=budget, devices=devices
    )
    if budget.holds(usage):
      return budget
    budget = budget.grown_to(usage)


@functools.partial(jax.jit, static_argnames=("config", "budget", "devices"))
def _measure(triangles, views, *, config, budget, devices):
  def count(triangles, views):
    return (), _count(triangles, views, config=config, budget=budget)

  triangles = jax.tree.map(jnp.asarray, triangles)
  return spread_views(count, devices)(triangles, views)[1]


def _count(triangles, views, *, config, budget):
  p = place_corners(triangles.corners, views)
  soft = None
  if config.coverage == "mesh":
    soft = _soft_edges(triangles, p, views, config.camera)
  pixels, _, soft, crossing = _to_pixels(
    p,
    (),
    soft,
    views,
    size=config.size,
    framing=config.framing,
    camera=config.camera,
    room=budget.crossing,
  )
  usage = raster.measure(
    pixels,
    size=(config.size, config.size),
    sigma=config.sigma,
    budget=budget,
    camera=config.camera,
    soft=soft,
  )
  return dataclasses.replace(usage, crossing=crossing)
