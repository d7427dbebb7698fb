"""Measures of generated shapes as a set, from their distances to real ones.

References:
  P. Achlioptas et al., Learning representations and generative models for 3D
  point clouds (ICML 2018), section 2: coverage and minimum matching distance.
"""

import numpy as np


def coverage(distances: np.ndarray) -> float:
  """Returns the share of real shapes that are some sample's nearest one.

  Args:
    distances: float [S, B] of S samples and B real shapes.

  Raises:
    ValueError: there are no samples or no shapes.
  """
  _check(distances)
  return len(np.unique(distances.argmin(axis=1))) / distances.shape[1]


def minimum_matching_distance(distances: np.ndarray) -> float:
  """Returns the mean distance of real shapes to their nearest sample.

  Args:
    distances: float [S, B] of S samples and B real shapes.

  Raises:
    ValueError: there are no samples or no shapes.
  """
  _check(distances)
  return float(distances.min(axis=0).mean())


def _check(distances: np.ndarray) -> None:
  if distances.ndim != 2 or not distances.size:
    raise ValueError(
      f"distances must be [samples, shapes], not {distances.shape}."
    )
