"""Registration of a mesh to others by rendered images.

Each candidate is drawn from six sides along its principal axes, with an
orthographic camera that it fills. The query, registered to it by
`surface.find_pose`, is drawn with the same cameras. Gradient descent on the
difference of the images then rotates, moves and scales the query. The images
show silhouette, height and normals, so they depend neither on lights nor on how
a surface is cut into faces.

The cameras differ from candidate to candidate, while all models of a
`dr3d.render.renderer.Renderer` share their views. One call of the rasterizer
for all candidates is faster than a renderer for each, see `_draw`.

`K` candidates, `V` = 6 sides, `F` faces, `H W` pixels, `C` = 5 channels.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.camera.view import rotation_matrix
from dr3d.geometry.vector import Vector
from dr3d.mesh import Mesh, bucket_size
from dr3d.registration.surface import Pose
from dr3d.render import raster
from dr3d.render.budget import within_budget
from dr3d.render.config import RenderConfig
from dr3d.render.raster import Budget, Usage
from dr3d.render.triangle import Triangles, stack_meshes

Array = jax.Array
Result = TypeVar("Result")

_GAMMA = RenderConfig.gamma
_SIGMA = RenderConfig.sigma  # pixels
# Share of the image that the candidate fills. The rest is room for a query that
# is misplaced or larger, which has no gradient outside of the image.
_FILLED = 0.88
_CHANNEL_WEIGHTS = (1.0, 1.0, 0.1, 0.1, 0.1)  # of silhouette, height, normals
# Pseudo-Huber loss: differences below this count as squares, above as absolute
# values, so that single pixels of large difference do not decide.
_HUBER_DELTA = 0.02
_PYRAMID_LEVELS = 3  # each has half the resolution of the one before
_START_BUDGET = Budget(pairs=1 << 16, blocks=1 << 13, edges=1 << 16)


@dataclasses.dataclass(frozen=True)
class AlignConfig:
  """How a mesh is registered to others.

  Attributes:
    size: height and width of an image, pixels; a multiple of 8.
    steps: of gradient descent; 0 leaves the poses as they are.
    rate: of Adam at the first step, radians and radii.
    sides: how many of the six sides the descent compares, 3 or 6.
  """

  size: int = 64
  steps: int = 8
  rate: float = 0.01
  sides: int = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
  """A mesh registered to K others: `p ↦ scale · turn @ p + shift`.

  Attributes:
    difference: float64 `[K]`, of the images, mean over sides, pixels and
      channels; lower is more similar.
    first_difference: float64 `[K]`, before the descent.
    turn: float64 `[K, 3, 3]`, from the principal pose of the mesh to that of
      the candidate.
    shift: float64 `[K, 3]`, radii of the candidate.
    scale: float64 `[K]`, radius of the mesh over that of the candidate.
  """

  difference: np.ndarray
  first_difference: np.ndarray
  turn: np.ndarray
  shift: np.ndarray
  scale: np.ndarray


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Camera:
  """Middle and zoom of each candidate's sides, `[K, V, 3]`."""

  middle: Array
  zoom: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Move:
  """What the descent changes.

  Attributes:
    turn: `[K, 3]` rotation vector, see `_rotate`.
    shift: `[K, 3]` radii of the candidate.
    scale: `[K]` logarithm of the scale.
  """

  turn: Array
  shift: Array
  scale: Array


def align(
  mesh: Mesh,
  candidates: Sequence[Mesh],
  poses: Sequence[Pose],
  *,
  scales: Sequence[float] | None = None,
  config: AlignConfig | None = None,
) -> Alignment:
  """Registers a mesh to others and compares their images.

  Args:
    mesh: the query.
    candidates: K others, at least one.
    poses: K, where the descent starts; see `surface.find_pose`.
    scales: K, true size of the mesh over that of each candidate, if size
      matters; None fits the scales, starting from 1.
    config: how to register.

  Raises:
    ValueError: there are no candidates, or the numbers of candidates, poses and
      scales differ.
  """
  config = config or AlignConfig()
  if not candidates or len(candidates) != len(poses):
    raise ValueError(
      f"one pose for each candidate is needed, and at least one candidate, got"
      f" {len(poses)} and {len(candidates)}."
    )
  if scales is not None and len(scales) != len(candidates):
    raise ValueError(f"{len(candidates)} scales needed, got {len(scales)}.")
  count = bucket_size(max(len(x.faces) for x in [mesh, *candidates]))
  query = _stack([mesh], count)
  known = _stack(candidates, count)
  camera = _fit_camera(np.asarray(known.corners))
  turn = jnp.asarray(np.stack([pose.turn for pose in poses]), jnp.float32)
  first = _Move(
    jnp.zeros((len(poses), 3)),
    jnp.asarray(np.stack([pose.shift for pose in poses]), jnp.float32),
    jnp.log(jnp.asarray(scales or [1.0] * len(poses), jnp.float32)),
  )
  key = (len(poses), count, config)
  target = _within_budget(
    (*key, "draw"), lambda room: _draw(known, camera, config.size, room)
  )

  def judge(move: _Move) -> np.ndarray:
    placed = _place(move, query, turn)
    images = _within_budget(
      (*key, "draw"), lambda room: _draw(placed, camera, config.size, room)
    )
    return np.asarray(_differ(images, target), np.float64)

  before = judge(first)
  best, move = before, first
  if config.steps:
    found = _descend(
      first,
      query,
      turn,
      target,
      camera,
      config,
      is_sized=scales is not None,
      key=key,
    )
    after = judge(found)
    best = np.minimum(after, before)
    move = _choose(after < before, found, first)
  return Alignment(
    difference=best,
    first_difference=before,
    turn=np.asarray(_rotate(move.turn) @ turn, np.float64),
    shift=np.asarray(move.shift, np.float64),
    scale=np.exp(np.asarray(move.scale, np.float64)),
  )


def _descend(
  first: _Move,
  query: Triangles,
  turn: Array,
  target: Array,
  camera: _Camera,
  config: AlignConfig,
  *,
  is_sized: bool,
  key: tuple,
) -> _Move:
  """Follows the gradient; returns the best move found for each candidate."""
  step = 6 // config.sides
  target, camera = jax.tree.map(lambda x: x[:, ::step], (target, camera))
  optimizer = _optimizer(config)
  state = optimizer.init(first)
  move, best = first, first
  least = np.full(len(turn), np.inf)
  for _ in range(config.steps):

    def call(room, move=move):
      gradient, (loss, usage) = _slope(
        move, query, turn, target, camera, config.size, room
      )
      return (gradient, loss), usage

    gradient, loss = _within_budget((*key, "slope"), call)
    loss = np.asarray(loss)
    best = _choose(loss < least, move, best)
    least = np.minimum(loss, least)
    move, state = _update(gradient, state, move, config)
    if is_sized:
      move = dataclasses.replace(move, scale=first.scale)
  return best


def _choose(mask: np.ndarray, one: _Move, two: _Move) -> _Move:
  """Moves of `one` if the mask `[K]` is true, otherwise of `two`."""
  return jax.tree.map(
    lambda a, b: jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b),
    one,
    two,
  )


def _optimizer(config: AlignConfig) -> optax.GradientTransformation:
  schedule = optax.cosine_decay_schedule(config.rate, config.steps, alpha=0.05)
  return optax.adam(schedule, b2=0.99)


@functools.partial(jax.jit, static_argnames="config")
def _update(gradient, state, move, config):
  update, state = _optimizer(config).update(gradient, state, move)
  return optax.apply_updates(move, update), state


_budgets: dict[Hashable, Budget] = {}


def _within_budget(
  key: Hashable, call: Callable[[Budget], tuple[Result, Usage]]
) -> Result:
  """Calls with a budget that holds; remembers it for calls of this shape."""
  start = _budgets.get(key, _START_BUDGET)
  result, _budgets[key] = within_budget(call, start)
  return result


def _stack(meshes: Sequence[Mesh], count: int) -> Triangles:
  """Meshes in their principal poses, padded to the same number of faces."""
  triangles = stack_meshes(
    list(meshes), face_count=count, pose="principal", coverage="mesh"
  )
  return jax.tree.map(jnp.asarray, triangles)


def _neighbours(triangles: Triangles) -> Array:
  assert triangles.opposite is not None, "coverage is that of the mesh"
  return jnp.asarray(triangles.opposite)


def _make_sides() -> np.ndarray:
  """Axes of the six sides, `[V, 3, 3]`: rows to the right, up, to the eye."""
  sides = []
  for axis in range(3):
    for sign in (1.0, -1.0):
      eye, right = np.zeros(3), np.zeros(3)
      eye[axis], right[(axis + 1) % 3] = sign, 1.0
      sides.append(np.stack([right, np.cross(eye, right), eye]))
  return np.array(sides)


_SIDES = _make_sides()


def _fit_camera(corners: np.ndarray) -> _Camera:
  """Returns cameras that each candidate fills, for each side.

  Args:
    corners: `[K, F, 3, 3]`; padding stands at the origin, which lies within the
      hull and so does not widen it.
  """
  seen = np.einsum("vij,kfcj->kvfci", _SIDES, corners)
  seen = seen.reshape(*seen.shape[:2], -1, 3)
  low, high = seen.min(axis=2), seen.max(axis=2)
  middle, half = (low + high) / 2, (high - low) / 2
  zoom = np.ones_like(half)
  zoom[..., :2] = 1 / half[..., :2].max(axis=-1, keepdims=True).clip(1e-3)
  middle[..., 2] = 0
  return _Camera(*(jnp.asarray(x, jnp.float32) for x in (middle, zoom)))


@functools.partial(jax.jit, static_argnames=("size", "budget"))
def _draw(
  solid: Triangles, camera: _Camera, size: int, budget: Budget
) -> tuple[Array, Usage]:
  """Draws each candidate or the query registered to it.

  A `TriangleRenderer` with orthographic `Views` for each candidate, mapped over
  candidates, shows the same but shades colours that are not needed and loses
  the common budget: six candidates of up to 1 024 faces took 2.4 s of CPU time
  with `jax.lax.map` (more with `jax.vmap`) where this function took 0.98 s.

  Returns:
    Images `[K, V, H, W, C]`: alpha, then height and normal multiplied by alpha;
    and what the rasterizer needed.
  """
  K, V = camera.zoom.shape[:2]
  sides = jnp.asarray(_SIDES[:: 6 // V], jnp.float32)

  def see(vectors: Array) -> Vector:
    x, y, z = (vectors[:, None, ..., k] for k in range(3))
    rows = (sides[:, i, :, None, None] for i in range(3))
    # Written out: nine products fuse, a product of matrices does not.
    one, two, three = (r[:, 0] * x + r[:, 1] * y + r[:, 2] * z for r in rows)
    return one, two, three

  x, y, z = (
    (a - camera.middle[:, :, k, None, None]) * camera.zoom[:, :, k, None, None]
    for k, a in enumerate(see(jnp.asarray(solid.corners)))
  )
  normal = see(jnp.asarray(solid.normals))
  front = jnp.where(normal[2] < 0, -1.0, 1.0)
  height = (1 + z) / 2

  def join(*parts: Array) -> Array:
    return jnp.stack(parts, axis=-1).reshape(K * V, -1, 3, len(parts))

  soft = raster.soft_edges(
    join(x, y, z),
    jnp.repeat(_neighbours(solid), V, axis=0),
    towards=jnp.array([0.0, 0.0, 1.0]),
  )
  color, alpha, usage = raster.rasterize(
    join(size / 2 * (1 + _FILLED * x), size / 2 * (1 - _FILLED * y), height),
    join(height, *(front * part for part in normal)),
    size=(size, size),
    sigma=_SIGMA,
    gamma=_GAMMA,
    depth_range=(jnp.zeros(K * V), jnp.ones(K * V)),
    budget=budget,
    camera="orthographic",
    soft=soft,
  )
  image = jnp.concatenate([alpha[..., None], color * alpha[..., None]], axis=-1)
  return image.reshape(K, V, size, size, 5), usage


@jax.jit
def _place(move: _Move, query: Triangles, turn: Array) -> Triangles:
  """The query, registered to each candidate."""
  rotation = jnp.einsum(
    "kij,kjl->kil", _rotate(move.turn), turn, precision="highest"
  )
  corners, normals = (
    jnp.einsum("kij,fcj->kfci", rotation, vectors[0], precision="highest")
    for vectors in map(jnp.asarray, (query.corners, query.normals))
  )
  corners = corners * jnp.exp(move.scale)[:, None, None, None]
  corners = corners + move.shift[:, None, None]
  opposite = jnp.broadcast_to(_neighbours(query), corners.shape[:3])
  return Triangles(corners, normals, opposite=opposite)


def _rotate(vector: Array) -> Array:
  """`[K, 3]` rotation vectors to `[K, 3, 3]` matrices.

  A vector is twice the vector part of a quaternion over its scalar part: to
  first order axis times angle in radians, and smooth at 0.
  """
  q = jnp.concatenate([jnp.ones_like(vector[..., :1]), vector / 2], axis=-1)
  return rotation_matrix(q)


@jax.jit
def _differ(images: Array, target: Array) -> Array:
  """Pseudo-Huber difference `[K]` of images at several resolutions."""
  difference = images - target
  total = jnp.zeros(len(images))
  for level in range(_PYRAMID_LEVELS):
    if level:
      K, V, H, W, C = difference.shape
      blocks = difference.reshape(K, V, H // 2, 2, W // 2, 2, C)
      difference = blocks.mean(axis=(3, 5))
    error = jnp.sqrt(difference**2 + _HUBER_DELTA**2) - _HUBER_DELTA
    total += jnp.mean(error @ jnp.array(_CHANNEL_WEIGHTS), axis=(1, 2, 3))
  return total / _PYRAMID_LEVELS


@functools.partial(jax.jit, static_argnames=("size", "budget"))
def _slope(move, query, turn, target, camera, size, budget):
  def total(move):
    images, usage = _draw(_place(move, query, turn), camera, size, budget)
    loss = _differ(images, target)
    return loss.sum(), (loss, usage)

  return jax.grad(total, has_aux=True)(move)
