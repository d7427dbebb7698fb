"""The losses of a field; each returns an array without a mean."""

import jax
import jax.numpy as jnp

Array = jax.Array


def color_loss(color: Array, target: Array) -> Array:
  """`[..., 3]` colours → `[...]` squared distance [0163]."""
  return jnp.sum(jnp.square(color - target), axis=-1)


def mask_loss(alpha: Array, mask: Array) -> Array:
  """`[...]` squared difference of alpha and mask [0166]."""
  return jnp.square(alpha - mask)


def hard_loss(weights: Array) -> Array:
  """`[...]` weights of samples → the negative logarithm of their likelihood.

  `-log(exp(-|w|) + exp(-|1 - w|))` lies between -0.313 at 0 and 1 and -0.193
  at 1/2, so that a total may be negative [0167-0169].
  """
  return -jnp.logaddexp(-jnp.abs(weights), -jnp.abs(1 - weights))
