"""Random unit vectors."""

import numpy as np


def random_features(seed, *shape):
  """Unit vectors of the last dimension, uniformly distributed."""
  z = np.random.default_rng(seed).normal(size=shape)
  return z / np.linalg.norm(z, axis=-1, keepdims=True)
