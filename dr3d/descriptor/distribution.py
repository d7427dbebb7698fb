"""The shape distribution D2: how far apart points of a surface are.

Source: R. Osada, T. Funkhouser, B. Chazelle, D. Dobkin, Shape distributions
(ACM Transactions on Graphics 21, 2002).
"""

import numpy as np
import scipy.spatial.distance

from dr3d.mesh.mesh import Mesh
from dr3d.mesh.surface import cross_products

BINS = 64
PAIRS = 1 << 18
REACH = 3.0  # of the mean distance: where the histogram ends


def describe(mesh: Mesh) -> np.ndarray:
  """Histogram of the distances of random points, relative to their mean.

  Args:
    mesh: the model. The same mesh gives the same numbers.

  Returns:
    float32 [64], the shares of the pairs; what is farther than three means is
    in the last bin.
  """
  rng = np.random.default_rng(0)
  first, second = (_sample(mesh, PAIRS, rng) for _ in range(2))
  distance = np.linalg.norm(first - second, axis=1)
  place = distance / distance.mean() * (BINS / REACH)
  counts = np.bincount(place.astype(np.int64).clip(max=BINS - 1))
  share = np.zeros(BINS, np.float32)
  share[: len(counts)] = counts / PAIRS
  return share


def compare(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
  """L1 distances of histograms [Q, 64] and [B, 64]: float64 [Q, B]."""
  return scipy.spatial.distance.cdist(queries, gallery, "cityblock")


def _sample(mesh: Mesh, count: int, rng: np.random.Generator) -> np.ndarray:
  """Points [count, 3], evenly over the surface (Osada, Eq. 1)."""
  area = np.linalg.norm(cross_products(mesh.vertices, mesh.faces), axis=1)
  ends = np.cumsum(area)
  face = np.searchsorted(ends, rng.random(count) * ends[-1])
  a, b, c = mesh.vertices[mesh.faces[face.clip(max=len(area) - 1)]].transpose(
    1, 0, 2
  )
  root, share = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
  return (1 - root) * a + root * (1 - share) * b + root * share * c
