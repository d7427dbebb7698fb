"""Vectors of length 1."""

import jax
import jax.numpy as jnp


def to_unit(x: jax.Array) -> jax.Array:
  """`[..., D]` divided by their lengths; finite, with its gradient, at 0."""
  return x / jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True) + 1e-12)
