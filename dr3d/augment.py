"""What training does to a model before G draws it.

A scan is noisy, has holes, and its principal axes are not quite those of the
drawing; T has to see through all of it. `B` models, `F` faces.
"""

import dataclasses

import jax
import jax.numpy as jnp

from dr3d.render import Triangles
from dr3d.view import normalize, random_views, rotation_matrix

Array = jax.Array

WAVES = 24  # of the random field


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
  """How much, and how often.

  Attributes:
    flip: probability that the signs of the principal axes are drawn anew.
    tilt: standard deviation of a small turn about each axis, radians.
    blur: relative difference of two moments below which the angle between
      their axes is taken as unknown.
    anyhow: probability of a turn that is uniform over all rotations.
    noise: standard deviation of the surface's displacement, radii.
    roughness: standard deviation of the normals' displacement.
    hole_radius: of the largest hole, radii.
    hole_count: holes cut into every model; half of the models are spared.
  """

  flip: float = 0.5
  tilt: float = 0.08
  blur: float = 0.03
  anyhow: float = 0.1
  noise: float = 0.01
  roughness: float = 0.15
  hole_radius: float = 0.25
  hole_count: int = 2


def augment(
  triangles: Triangles, moments: Array, key: Array, *, config: AugmentConfig
) -> Triangles:
  """Turns, roughens and pierces each model, each in its own way.

  Args:
    triangles: B models in their principal axes.
    moments: `[B, 3]` second moments along those axes.
    key: random key.
    config: how much.

  Returns:
    As many triangles; those in a hole have lost their area.
  """
  keys = jax.random.split(key, (len(moments), 4))

  def one(corners, normals, moments, keys):
    turn = residual_rotation(moments, keys[0], config=config)
    corners = corners + config.noise * random_field(corners, keys[1], 12.0)
    rough = config.roughness * random_field(corners, keys[2], 40.0)
    normals = normalize(normals + rough)
    kept = ~in_hole(corners, keys[3], config=config)
    corners = jnp.where(kept[:, None, None], corners @ turn.T, 0)
    return Triangles(corners=corners, normals=normals @ turn.T)

  return jax.vmap(one)(triangles.corners, triangles.normals, moments, keys)


def residual_rotation(
  moments: Array, key: Array, *, config: AugmentConfig
) -> Array:
  """The turn that principal axes leave open.

  Axes of nearly equal moments may lie anywhere in their plane, the signs of
  axes may be mistaken, and all axes are a little off.

  Args:
    moments: `[3]`.
    key: random key.
    config: how much.

  Returns:
    `[3, 3]` rotation matrix.
  """
  k_angle, k_sign, k_flip, k_any, k_turn = jax.random.split(key, 5)
  first, second = jnp.array([1, 2, 0]), jnp.array([2, 0, 1])
  a, b = moments[first], moments[second]
  gap = jnp.abs(a - b) / jnp.maximum(a + b, 1e-9)
  spread = config.tilt * jnp.minimum(config.blur / jnp.maximum(gap, 1e-6), 100)
  spread = jnp.maximum(spread, config.tilt)
  angle = spread * jax.random.normal(k_angle, (3,))
  turn = jnp.eye(3)
  for k in range(3):
    half = angle[k] / 2
    axis = jnp.eye(3)[k] * jnp.sin(half)
    turn = turn @ rotation_matrix(jnp.append(jnp.cos(half), axis))
  signs = jax.random.bernoulli(k_sign, shape=(2,)) * 2 - 1
  signs = jnp.append(signs, signs[0] * signs[1])
  flips = jax.random.bernoulli(k_flip, config.flip)
  turn = turn * jnp.where(flips, signs, 1)
  anyhow = rotation_matrix(random_views(k_turn, count=1)[0])
  return jnp.where(jax.random.bernoulli(k_any, config.anyhow), anyhow, turn)


def random_field(points: Array, key: Array, frequency: float) -> Array:
  """A smooth random vector at each point, of standard deviation about 1.

  Being a function of the place, it moves corners that touch together.

  Args:
    points: `[..., 3]`.
    key: random key.
    frequency: of the waves, radians a radius.

  Returns:
    `[..., 3]`.

  References:
    Rahimi and Recht, Random features for large-scale kernel machines, 2007.
  """
  k_wave, k_phase, k_height = jax.random.split(key, 3)
  wave = frequency * jax.random.normal(k_wave, (3, WAVES))
  phase = jax.random.uniform(k_phase, (WAVES,)) * 2 * jnp.pi
  height = jax.random.normal(k_height, (WAVES, 3)) * (2 / WAVES) ** 0.5
  return jnp.sin(points @ wave + phase) @ height


def in_hole(corners: Array, key: Array, *, config: AugmentConfig) -> Array:
  """Whether a face lies wholly in a random hole, `[F, 3, 3]` to `[F]` bool."""
  k_face, k_radius, k_spare = jax.random.split(key, 3)
  shape = (config.hole_count,)
  face = jax.random.randint(k_face, shape, 0, len(corners))
  radius = config.hole_radius * jax.random.uniform(k_radius, shape)
  middle = jnp.mean(corners[face], axis=1)
  apart = jnp.linalg.norm(corners[:, :, None] - middle, axis=-1)
  inside = jnp.any(jnp.all(apart < radius, axis=1), axis=-1)
  return inside & jax.random.bernoulli(k_spare)
