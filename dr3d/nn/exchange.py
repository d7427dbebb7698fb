"""How the N images of a model exchange information inside of T [0022].

Each module maps `[B, N, Z]` to the same shape: `B` models, `N` views, `Z`
latent size. What it finds is added to its input, so that an image keeps what it
shows itself.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dr3d.nn.config import EncoderConfig

Array = jax.Array

VARIANCE_MIN = 1e-5  # a model with one view has a variance of 0


class ViewAttention(nn.Module):
  """Attention between the images."""

  heads: int = 4

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """`[B, N, Z]` to the same shape."""
    y = nn.RMSNorm()(z)
    y = nn.MultiHeadDotProductAttention(num_heads=self.heads)(y, y)
    z = z + y
    y = nn.Dense(2 * z.shape[-1])(nn.RMSNorm()(z))
    return z + nn.Dense(z.shape[-1])(nn.relu(y))


class ViewNorm(nn.Module):
  """Batch norm over the N images of a model, and two layers.

  The batch is one model, so that its vectors do not depend on other models.
  """

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """`[B, N, Z]` to the same shape."""
    mean = jnp.mean(z, axis=1, keepdims=True)
    variance = jnp.var(z, axis=1, keepdims=True)
    y = (z - mean) * jax.lax.rsqrt(variance + VARIANCE_MIN)
    scale = self.param("scale", nn.initializers.ones, z.shape[-1:])
    bias = self.param("bias", nn.initializers.zeros, z.shape[-1:])
    y = nn.Dense(2 * z.shape[-1])(y * scale + bias)
    return z + nn.Dense(z.shape[-1])(nn.relu(y))


class ViewRecurrence(nn.Module):
  """Gated recurrent units that read the images forwards and backwards.

  The order is that of the views of the pipeline.
  """

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """`[B, N, Z]` to the same shape; Z is even."""
    half = z.shape[-1] // 2
    y = nn.RMSNorm()(z)
    y = nn.Bidirectional(nn.RNN(nn.GRUCell(half)), nn.RNN(nn.GRUCell(half)))(y)
    return z + nn.Dense(z.shape[-1])(y)


def exchange_views(z: Array, config: EncoderConfig) -> Array:
  """Applies the exchange of a configuration, inside of a compact module.

  Args:
    z: `[B, N, Z]`.
    config: names the exchange, if any.

  Raises:
    ValueError: the configuration names two, or an unknown one.
  """
  if config.attention and config.exchange != "none":
    raise ValueError(
      f"attention and exchange={config.exchange!r} exclude each other."
    )
  if config.attention:
    return ViewAttention()(z)
  match config.exchange:
    case "none":
      return z
    case "norm":
      return ViewNorm()(z)
    case "recurrence":
      return ViewRecurrence()(z)
  raise ValueError(
    f'exchange must be "none", "norm" or "recurrence", got {config.exchange!r}.'
  )
