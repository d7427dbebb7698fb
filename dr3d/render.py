"""G: meshes and views to images.

Shapes: `B` models, `N` views of a model, `F` faces, `H W` pixels.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from dr3d import raster
from dr3d.distance import to_unit
from dr3d.mesh import Mesh
from dr3d.view import Views, rotation_matrix

Array = jax.Array

SMALLEST_HALF = 1e-3  # of an object in a picture at unit depth
NEAREST = 0.01  # radii from the camera, where faces are cut
CLOSEST = 0.5  # radii from the camera, the least depth that means z = 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Triangles:
  """B models of F triangles, padded with triangles without area.

  Attributes:
    corners: `[B, F, 3, 3]` triangle, corner, xyz; within the unit sphere.
    normals: `[B, F, 3, 3]` unit normals at the corners.
    opposite: int32 `[B, F, 3]`, the neighbours across the edges, see
      `dr3d.raster.opposite_corners`; only for `coverage="mesh"`.
  """

  corners: Array | np.ndarray
  normals: Array | np.ndarray
  opposite: Array | np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class RenderConfig:
  """How G draws.

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
      surface is cut into faces. See `dr3d.raster.rasterize`.
  """

  size: int = 64
  sigma: float = 0.7
  gamma: float = 3e-3
  framing: str = "object"
  coverage: str = "face"


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
  opposite = np.full(corners.shape[:3], -1, np.int32)
  for i, mesh in enumerate(meshes):
    n = len(mesh.faces)
    if n > face_count:
      raise ValueError(f"a mesh of {n} faces does not fit in {face_count}.")
    turn = mesh.frame.T if pose == "principal" else np.eye(3, dtype=np.float32)
    corners[i, :n] = (mesh.vertices @ turn)[mesh.faces]
    normals[i, :n] = mesh.normals @ turn
    if coverage == "mesh":
      opposite[i, :n] = raster.opposite_corners(mesh.vertices, mesh.faces)
  return Triangles(
    corners=corners,
    normals=normals,
    opposite=opposite if coverage == "mesh" else None,
  )


def _check_coverage(coverage):
  if coverage not in ("face", "mesh"):
    raise ValueError(f'coverage must be "face" or "mesh", got {coverage!r}.')


def flat_normals(corners: Array) -> Array:
  """`[..., 3, 3]` corners to their face's unit normal at each corner."""
  u = corners[..., 1, :] - corners[..., 0, :]
  v = corners[..., 2, :] - corners[..., 0, :]
  normal = to_unit(jnp.cross(u, v))
  return jnp.broadcast_to(normal[..., None, :], corners.shape)


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
) -> tuple[Array, raster.Usage]:
  """Draws B models in N views each.

  Differentiable in the corners, the normals, and every field of the views.
  Objects within the unit sphere lie wholly in front of the camera, whose
  distance is more than 1. Of a face that reaches behind the camera, the part
  beyond `NEAREST` is drawn; `budget.crossing` has room for such faces.

  Args:
    triangles: the models.
    views: θ_G.
    size: height and width of an image, pixels.
    sigma: softness of edges, pixels; may be traced.
    gamma: softness of occlusion; may be traced.
    budget: room for the rasterizer; see `dr3d.raster.rasterize`.
    framing: see `RenderConfig`.
    coverage: see `RenderConfig`.

  Returns:
    Images `[B, N, H, W, 4]`: red, green, blue, multiplied by alpha, and alpha;
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
  B, N = len(triangles.corners), views.count
  turn = rotation_matrix(views.quaternion)[:, None]  # [N, 1, 3, 3]
  p = _turn(triangles.corners, turn)
  colors = shade(p, _turn(triangles.normals, turn), views)
  soft = _soft_edges(triangles, p, views) if coverage == "mesh" else None
  pixels, colors, soft, crossing = _to_pixels(
    p, colors, soft, views, size=size, framing=framing, room=budget.crossing
  )

  def each_model(array):
    return jnp.broadcast_to(array, (B, N)).reshape(-1)

  color, alpha, usage = raster.rasterize(
    pixels,
    colors,
    size=(size, size),
    sigma=sigma,
    gamma=gamma,
    depth_range=(
      each_model(1 / (views.distance + 1)),
      each_model(1 / jnp.maximum(views.distance - 1, CLOSEST)),
    ),
    budget=budget,
    soft=soft,
  )
  usage = dataclasses.replace(usage, crossing=crossing)
  # Written out: the gradient of a product over so short an axis is slow.
  red, green, blue = (color[..., c] * alpha for c in range(3))
  images = jnp.stack([red, green, blue, alpha], axis=-1)
  return images.reshape(B, N, size, size, 4), usage


def _to_pixels(
  p: Array,
  colors: Array,
  soft: Array | None,
  views: Views,
  *,
  size: int,
  framing: str,
  room: int,
) -> tuple[Array, Array, Array | None, Array]:
  """`[B, N, F, 3, 3]` in camera axes to x, y in pixels and inverse depth.

  Also the colours and soft edges of the faces, which a cut changes, pictures
  `B·N` in front, and the largest number of faces of a picture that the cut
  makes two of. `room` is added to F.
  """
  distance = views.distance[:, None, None]
  depth = distance - p[..., 2]
  middle_x = middle_y = jnp.zeros((1, 1, 1, 1), p.dtype)
  if framing == "object":
    is_before = depth > NEAREST
    inverse = jnp.where(is_before, 1 / jnp.where(is_before, depth, 1), 0)
    middle_x, half_x = _middle(p[..., 0] * inverse)
    middle_y, half_y = _middle(p[..., 1] * inverse)
    half = jnp.maximum(jnp.maximum(half_x, half_y), SMALLEST_HALF)
    # Half the height of the unit sphere in a picture at unit depth.
    zoom = jax.lax.rsqrt(distance**2 - 1) / half
  elif framing == "sphere":
    zoom = jnp.ones((1, 1, 1, 1), p.dtype)
  else:
    raise ValueError(f'framing must be "sphere" or "object", got {framing!r}.')

  B, N = p.shape[:2]
  corners = jnp.stack([p[..., 0], p[..., 1], depth], axis=-1)
  corners, colors, soft, count = raster.clip_near(
    corners.reshape(B * N, *corners.shape[2:]),
    colors.reshape(B * N, *colors.shape[2:]),
    soft,
    nearest=NEAREST,
    room=room,
  )
  corners = corners.reshape(B, N, *corners.shape[1:])
  inverse = 1 / corners[..., 2]
  x = (corners[..., 0] * inverse - middle_x) * zoom
  y = (corners[..., 1] * inverse - middle_y) * zoom
  scale = size / 2 / jnp.tan(views.fov / 2)[:, None, None]
  pixels = jnp.stack(
    [size / 2 + scale * x, size / 2 - scale * y, inverse], axis=-1
  )
  pixels = pixels.reshape(B * N, *pixels.shape[2:])
  return pixels, colors, soft, jnp.max(count)


def _soft_edges(triangles, p, views):
  """Bool `[B·N, F, 3]`, the edges at which surfaces end or fold in a view."""
  if triangles.opposite is None:
    raise ValueError('coverage "mesh" needs triangles that know `opposite`.')
  camera = views.distance[:, None, None, None] * jnp.array([0, 0, 1], p.dtype)
  seen = (p - camera).reshape(-1, *p.shape[2:])
  opposite = jnp.repeat(jnp.asarray(triangles.opposite), views.count, axis=0)
  return raster.soft_edges(seen, opposite)


def _middle(x: Array) -> tuple[Array, Array]:
  """The middle of the range of all corners, and half the range.

  Triangles that only pad stand at the centre of the sphere, which lies within
  the hull of the model, so they do not widen the range.
  """
  low = jnp.min(x, axis=(-2, -1), keepdims=True)
  high = jnp.max(x, axis=(-2, -1), keepdims=True)
  return (low + high) / 2, (high - low) / 2


def fit_budget(
  triangles: Triangles, views: Views, *, config: RenderConfig
) -> raster.Budget:
  """A budget that just holds the drawing of these models.

  Args:
    triangles: B models.
    views: θ_G.
    config: how they are drawn.

  Returns:
    A budget for `render`; not to be called under jit.
  """
  budget = raster.Budget(pairs=8, blocks=8)
  while True:
    usage = _measure(triangles, views, config=config, budget=budget)
    if budget.holds(usage):
      return budget
    budget = budget.grown_to(usage)


@functools.partial(jax.jit, static_argnames=("config", "budget"))
def _measure(triangles, views, *, config, budget):
  turn = rotation_matrix(views.quaternion)[:, None]
  p = _turn(triangles.corners, turn)
  soft = None
  if config.coverage == "mesh":
    soft = _soft_edges(triangles, p, views)
  pixels, _, soft, crossing = _to_pixels(
    p,
    jnp.zeros((*p.shape[:-1], 0), p.dtype),
    soft,
    views,
    size=config.size,
    framing=config.framing,
    room=budget.crossing,
  )
  usage = raster.measure(
    pixels,
    size=(config.size, config.size),
    sigma=config.sigma,
    budget=budget,
    soft=soft,
  )
  return dataclasses.replace(usage, crossing=crossing)


def _turn(vectors: Array | np.ndarray, turn: Array) -> Array:
  """`[B, F, 3, 3]` vectors by `[N, 1, 3, 3]` rotations to `[B, N, F, 3, 3]`.

  Written out: nine products fuse, a batched matrix product does not.
  """
  x, y, z = jnp.moveaxis(jnp.asarray(vectors)[:, None], -1, 0)
  return jnp.stack(
    [
      turn[..., k, 0, None] * x
      + turn[..., k, 1, None] * y
      + turn[..., k, 2, None] * z
      for k in range(3)
    ],
    axis=-1,
  )


def shade(p: Array, normals: Array, views: Views) -> Array:
  """Colour of each corner, by Lambert's law and Blinn and Phong's highlight.

  Faces are two-sided: a normal is turned to the side from which the camera
  sees its face.

  Args:
    p: `[B, N, F, 3, 3]` corners in camera axes, the object at the origin.
    normals: `[B, N, F, 3, 3]` at the corners.
    views: lights, material, camera distance.

  Returns:
    `[B, N, F, 3, 3]` red, green, blue at each corner, not below 0.
  """
  light, material = views.light, views.material
  camera = jnp.stack(
    [0 * views.distance, 0 * views.distance, views.distance], axis=-1
  )
  towards = to_unit(camera[:, None, None] - p)
  face = jnp.cross(p[..., 1, :] - p[..., 0, :], p[..., 2, :] - p[..., 0, :])
  facing = jnp.sum(face * towards[..., 0, :], axis=-1)
  # Corner normals follow the winding, so the face decides for its corners.
  normals = normals * jnp.where(facing < 0, -1, 1)[..., None, None]

  color = light.ambient[:, None, None] * material.diffuse
  for i in range(light.direction.shape[1]):
    direction = light.direction[:, i][:, None, None]
    lambert = jnp.sum(normals * direction, axis=-1, keepdims=True)
    half = to_unit(direction + towards)
    gloss = jnp.sum(normals * half, axis=-1, keepdims=True)
    gloss = jnp.where(lambert > 0, jnp.maximum(gloss, 1e-4), 1e-4)
    gloss = gloss**material.shininess
    reflected = material.diffuse * jnp.maximum(lambert, 0)
    reflected += material.specular * gloss
    color = color + light.intensity[:, i][:, None, None] * reflected
  return color
