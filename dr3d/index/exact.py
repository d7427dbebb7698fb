"""Exact search: a matrix product, and the ground truth for other engines.

Notation: M stored vectors, Q queries, D numbers of a vector, K neighbours.
"""

import dataclasses

import numpy as np

from dr3d.index.vector_index import Neighbours, check_search, rank_rows

_BLOCK = 1 << 24  # similarities held at a time: 64 MiB of float32


@dataclasses.dataclass(frozen=True, eq=False)
class ExactIndex:
  """Stored unit vectors, each compared with every query.

  Attributes:
    vectors: float32 or float16 [M, D].
  """

  vectors: np.ndarray

  engine = "exact"
  is_exhaustive = True

  @property
  def count(self) -> int:
    """M, the number of stored vectors."""
    return len(self.vectors)

  @property
  def size(self) -> int:
    """D, the numbers of a vector."""
    return self.vectors.shape[1]

  def search(
    self, queries: np.ndarray, k: int, *, allowed: np.ndarray | None = None
  ) -> Neighbours:
    """Finds the nearest vectors; see `VectorIndex.search`."""
    queries, k, rows = check_search(self, queries, k, allowed)
    stored = self.vectors if rows is None else self.vectors[rows]
    # NumPy multiplies float32 by BLAS, and float16 number by number.
    stored = stored.astype(np.float32, copy=False)
    found = Neighbours(
      np.empty((len(queries), k), np.int32),
      np.empty((len(queries), k), np.float32),
    )
    if not k:
      return found
    # Twice the rounding error of a float32 dot product of unit vectors: what
    # lies this close below the k-th may belong before it.
    slack = np.float32(self.size * np.finfo(np.float32).eps)
    block = max(1, _BLOCK // len(stored))
    for start in range(0, len(queries), block):
      part = queries[start : start + block]
      coarse = part @ stored.T
      last = len(stored) - k
      limit = np.partition(coarse, last, axis=1)[:, last]
      for i, query in enumerate(part):
        near = np.flatnonzero(coarse[i] >= limit[i] - slack)
        ids, similarity = rank_rows(stored, query, near, k)
        found.ids[start + i] = ids if rows is None else rows[ids]
        found.similarity[start + i] = similarity
    return found
