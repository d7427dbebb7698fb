"""Random changes of a model before G renders it.

A scan is noisy, has holes, and its principal axes differ a little from those of
the CAD model. T must learn to give both the same vector. Lengths are in radii
of the model. `B` models, `F` faces.
"""

import dataclasses

import jax
import jax.numpy as jnp

from dr3d.camera.view import rotation_matrix
from dr3d.geometry.norm import to_unit
from dr3d.render.triangle import Triangles

Array = jax.Array

# Plane waves that `random_field` sums: enough that the variance at every point
# is near 1.
FIELD_WAVES = 24

# Spatial frequencies in radians for each radius of the model. Waves are about
# 0.2 radii long for the displacement of corners and 0.1 for that of normals.
NOISE_FREQUENCY = 20.0
ROUGHNESS_FREQUENCY = 40.0


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
  """Strength and probability of each change.

  Attributes:
    flip: probability that the signs of the principal axes are drawn again.
    swap: probability that two axes of nearly equal moments are exchanged.
    alike: relative difference of two moments, below which they count as nearly
      equal.
    tilt: standard deviation of a small rotation about each axis, radians.
    noise: standard deviation of the displacement of corners, radii.
    roughness: standard deviation of the displacement of unit normals.
    hole_radius: largest radius of a hole, radii of the model.
    hole_count: holes in a model; half of the models get none.
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
  """Rotates, displaces and perforates each model with its own random key.

  Args:
    triangles: B models in their principal axes.
    moments: `[B, 3]` second moments along those axes, descending.
    key: random key.
    config: strength of the changes.

  Returns:
    The same number of triangles; a face in a hole has area 0.
  """
  keys = jax.random.split(key, (len(moments), 4))

  def one(corners, normals, moments, keys):
    turn = residual_rotation(moments, keys[0], config=config)
    corners = corners + config.noise * random_field(
      corners, keys[1], NOISE_FREQUENCY
    )
    rough = config.roughness * random_field(
      corners, keys[2], ROUGHNESS_FREQUENCY
    )
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
  """Draws a rotation that principal axes leave undetermined.

  It exchanges axes of nearly equal moments, flips the signs of axes and tilts
  all of them a little.

  Args:
    moments: `[3]` second moments, descending.
    key: random key.
    config: probabilities and the tilt.

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
  """Evaluates a smooth random vector field of standard deviation about 1.

  A sum of `FIELD_WAVES` sines with random wave vectors. The value depends on
  the position only, so corners that coincide move together and the surface
  stays closed.

  Args:
    points: `[..., 3]`, radii.
    key: random key.
    frequency: standard deviation of the wave vectors, radians for each radius.

  Returns:
    `[..., 3]`.

  References:
    Rahimi and Recht, Random features for large-scale kernel machines, 2007.
  """
  k_wave, k_phase, k_height = jax.random.split(key, 3)
  wave = frequency * jax.random.normal(k_wave, (3, FIELD_WAVES))
  phase = jax.random.uniform(k_phase, (FIELD_WAVES,)) * 2 * jnp.pi
  height = jax.random.normal(k_height, (FIELD_WAVES, 3))
  height = height * (2 / FIELD_WAVES) ** 0.5  # a sine has variance 1/2
  return jnp.sin(points @ wave + phase) @ height


def in_hole(corners: Array, key: Array, *, config: AugmentConfig) -> Array:
  """Returns which faces lie completely in a random hole.

  Args:
    corners: `[F, 3, 3]`, radii.
    key: random key.
    config: number and size of the holes.

  Returns:
    bool `[F]`; all False for one half of the keys.
  """
  k_face, k_radius, k_spare = jax.random.split(key, 3)
  shape = (config.hole_count,)
  # A hole around a padding face would remove nothing, and there may be more
  # padding faces than real ones.
  sides = jnp.max(jnp.abs(corners - corners[:, :1]), axis=(1, 2))
  is_real = sides > 1e-5
  chance = is_real / jnp.maximum(jnp.sum(is_real), 1)
  face = jax.random.choice(k_face, len(corners), shape, p=chance)
  radius = config.hole_radius * jax.random.uniform(k_radius, shape)
  middle = jnp.mean(corners[face], axis=1)
  apart = jnp.linalg.norm(corners[:, :, None] - middle, axis=-1)
  inside = jnp.any(jnp.all(apart < radius, axis=1), axis=-1)
  return inside & jax.random.bernoulli(k_spare)
