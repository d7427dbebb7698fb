"""What training does to a model before G draws it.

A scan is noisy, has holes, and its principal axes are not quite those of the
drawing; T has to see through all of it. `B` models, `F` faces.
"""

import dataclasses

import jax
import jax.numpy as jnp

from dr3d.camera.view import rotation_matrix
from dr3d.geometry.norm import to_unit
from dr3d.render.triangle import Triangles

Array = jax.Array

WAVES = 24  # of the random field


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
  """How much, and how often.

  Attributes:
    flip: probability that the signs of the principal axes are drawn anew.
    swap: probability that two axes of nearly equal moments change places.
    alike: relative difference of two moments below which they are so.
    tilt: standard deviation of a small turn about each axis, radians.
    noise: standard deviation of the surface's displacement, radii.
    roughness: standard deviation of the normals' displacement.
    hole_radius: of the largest hole, radii.
    hole_count: holes cut into every model; half of the models are spared.
  """

  flip: float = 0.1
  swap: float = 0.25
  alike: float = 0.03
  tilt: float = 0.04
  noise: float = 0.003
  roughness: float = 0.1
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
    corners = corners + config.noise * random_field(corners, keys[1], 20.0)
    rough = config.roughness * random_field(corners, keys[2], 40.0)
    normals = to_unit(normals + rough)
    kept = ~in_hole(corners, keys[3], config=config)
    corners = jnp.where(kept[:, None, None], corners @ turn.T, 0)
    return corners, normals @ turn.T

  corners, normals = jax.vmap(one)(
    triangles.corners, triangles.normals, moments, keys
  )
  return dataclasses.replace(triangles, corners=corners, normals=normals)


def residual_rotation(
  moments: Array, key: Array, *, config: AugmentConfig
) -> Array:
  """The turn that principal axes leave open.

  Axes of nearly equal moments may change places, the signs of axes may be
  mistaken, and all axes are a little off.

  Args:
    moments: `[3]`, descending.
    key: random key.
    config: how much.

  Returns:
    `[3, 3]` rotation matrix.
  """
  k_angle, k_sign, k_flip, k_swap = jax.random.split(key, 4)
  half = config.tilt / 2 * jax.random.normal(k_angle, (3,))
  turn = rotation_matrix(jnp.append(1.0, half))
  larger, smaller = moments[:2], moments[1:]
  gap = (larger - smaller) / jnp.maximum(larger + smaller, 1e-9)
  swaps = jax.random.bernoulli(k_swap, config.swap, (2,))
  swaps &= gap < config.alike
  quarter = jnp.sqrt(0.5)
  for axis, swap in zip((2, 0), swaps, strict=True):
    q = jnp.zeros(4).at[0].set(quarter).at[1 + axis].set(quarter)
    turn = turn @ jnp.where(swap, rotation_matrix(q), jnp.eye(3))
  signs = jax.random.bernoulli(k_sign, shape=(2,)) * 2 - 1
  signs = jnp.append(signs, signs[0] * signs[1])
  flips = jax.random.bernoulli(k_flip, config.flip)
  return turn * jnp.where(flips, signs, 1)


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
  # Not around the faces that pad, of which there may be many.
  sides = jnp.max(jnp.abs(corners - corners[:, :1]), axis=(1, 2))
  is_real = sides > 1e-5
  chance = is_real / jnp.maximum(jnp.sum(is_real), 1)
  face = jax.random.choice(k_face, len(corners), shape, p=chance)
  radius = config.hole_radius * jax.random.uniform(k_radius, shape)
  middle = jnp.mean(corners[face], axis=1)
  apart = jnp.linalg.norm(corners[:, :, None] - middle, axis=-1)
  inside = jnp.any(jnp.all(apart < radius, axis=1), axis=-1)
  return inside & jax.random.bernoulli(k_spare)
