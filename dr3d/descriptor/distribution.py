"""The shape distribution D2: distances between random surface points.

Source: R. Osada, T. Funkhouser, B. Chazelle, D. Dobkin, Shape distributions
(ACM Transactions on Graphics 21, 2002).
"""

import numpy as np
import scipy.spatial.distance

from dr3d.mesh.mesh import Mesh
from dr3d.mesh.surface import cross_products

BINS = 64  # as many as the vertices of the paper's piecewise linear curve
PAIRS = 1 << 18
RANGE = 3.0  # upper end of the histogram, mean distances


def describe(mesh: Mesh) -> np.ndarray:
  """Returns the histogram of distances of random point pairs.

  Distances are relative to their mean, so the size does not matter. The seed is
  fixed: the same mesh gives the same histogram.

  Args:
    mesh: the model.

  Returns:
    float32 [64], shares of the pairs. The last bin includes all distances above
    three means.
  """
  rng = np.random.default_rng(0)
  first, second = (_sample(mesh, PAIRS, rng) for _ in range(2))
  distance = np.linalg.norm(first - second, axis=1)
  position = distance / distance.mean() * (BINS / RANGE)
  counts = np.bincount(position.astype(np.int64).clip(max=BINS - 1))
  share = np.zeros(BINS, np.float32)
  share[: len(counts)] = counts / PAIRS
  return share


def compare(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
  """Returns L1 distances of histograms [Q, 64] and [B, 64], float64 [Q, B]."""
  return scipy.spatial.distance.cdist(queries, gallery, "cityblock")


def _sample(mesh: Mesh, count: int, rng: np.random.Generator) -> np.ndarray:
  """Samples points [count, 3] uniformly by area (Osada et al., Eq. 1)."""
  area = np.linalg.norm(cross_products(mesh.vertices, mesh.faces), axis=1)
  ends = np.cumsum(area)
  face = np.searchsorted(ends, rng.random(count) * ends[-1])
  a, b, c = mesh.vertices[mesh.faces[face.clip(max=len(area) - 1)]].transpose(
    1, 0, 2
  )
  root, share = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
  return (1 - root) * a + root * (1 - share) * b + root * share * c
