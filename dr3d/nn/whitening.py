"""Whitening of feature vectors: equal spread in all directions.

A few directions with large spread dominate the cosine of T's vectors, while
similar models differ in the other directions. Whitening divides each principal
direction by the spread of the vectors of known models along it.

`D` feature size, `E` size of the whitened vectors.

References:
  Jégou and Chum, Negative Evidences and Co-occurrences in Image Retrieval: the
  Benefit of PCA and Whitening, ECCV 2012. Not in the patent.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

# Added to every variance, relative to the largest: directions below hold only
# rounding, which whitening would amplify.
_VARIANCE_FLOOR = 1e-3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Whitening:
  """An affine map of feature vectors.

  Attributes:
    mean: float32 `[D]`, of the vectors of known models.
    matrix: float32 `[D, E]`; for the known models `(features - mean) @ matrix`
      has mean 0 and equal spread in all directions.
  """

  mean: jax.Array | np.ndarray
  matrix: jax.Array | np.ndarray


def fit_whitening(
  features: np.ndarray, *, power: float = 1.0, size: int | None = None
) -> Whitening:
  """Returns the whitening of known vectors.

  Args:
    features: `[..., D]`, of known models.
    power: 1 makes the spread equal, 0 leaves it as it is; values between
      reduce its differences.
    size: E, the number of principal directions that are kept, those with the
      largest spread; all if None.

  Raises:
    ValueError: power is not between 0 and 1, there are less than two vectors,
      or fewer directions than are to be kept.
  """
  if not 0 <= power <= 1:
    raise ValueError(f"power must be between 0 and 1, got {power}.")
  vectors = np.asarray(features, np.float64)
  vectors = vectors.reshape(-1, vectors.shape[-1])
  if len(vectors) < 2:
    raise ValueError(f"at least two vectors are needed, got {len(vectors)}.")
  if size is not None and not 0 < size <= vectors.shape[1]:
    raise ValueError(
      f"size must be between 1 and {vectors.shape[1]}, got {size}."
    )
  mean = vectors.mean(axis=0)
  spread, axes = np.linalg.eigh(np.cov((vectors - mean).T))
  spread = np.maximum(spread, 0) + _VARIANCE_FLOOR * spread[-1]
  matrix = axes * (spread / spread[-1]) ** (-power / 2)
  # All directions in the axes of the vectors, so that a power of 0 changes
  # nothing.
  matrix = matrix @ axes.T if size is None else matrix[:, -size:]
  return Whitening(mean.astype(np.float32), matrix.astype(np.float32))


def whiten(features: jax.Array, whitening: Whitening) -> jax.Array:
  """Maps `[..., D]` vectors to whitened unit vectors `[..., E]`."""
  mapped = jnp.matmul(
    features - whitening.mean, whitening.matrix, precision="highest"
  )
  length = jnp.linalg.norm(mapped, axis=-1, keepdims=True)
  return mapped / jnp.maximum(length, 1e-12)


def to_dense(whitening: Whitening) -> dict[str, np.ndarray]:
  """Returns the variables of a Flax `Dense` that maps vectors in the same way.

  `whiten` also makes them unit vectors; `Dense` does not.
  """
  matrix = np.asarray(whitening.matrix, np.float32)
  return {"kernel": matrix, "bias": -np.asarray(whitening.mean) @ matrix}
