"""What every index of vectors does, whatever engine it is made of.

Notation: M stored vectors, Q queries, D numbers of a vector, K neighbours.
"""

import dataclasses
import math
from typing import Protocol

import numpy as np

_NORM_TOLERANCE = 1e-3  # of the length 1: float16 weights give 4e-4
PROBE_NOISE = 0.3  # length of what is added to a probe, radians nearly


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
  """The stored vectors nearest to each query, most similar first.

  Attributes:
    ids: int32 [Q, K], rows of the stored vectors. Every entry is a real hit.
    similarity: float32 [Q, K], cosines, descending; ties are ordered by id.
  """

  ids: np.ndarray
  similarity: np.ndarray


class VectorIndex(Protocol):
  """Stored unit vectors that can be searched.

  Every implementation passes the tests of `tests/index/test_congruence.py`.
  """

  @property
  def engine(self) -> str:
    """Name of the engine, as `engine.build_index` knows it."""

  @property
  def is_exhaustive(self) -> bool:
    """Whether a search compares the query with every stored vector.

    Then it cannot miss a neighbour, and reading all vectors costs no more.
    """

  @property
  def count(self) -> int:
    """M, the number of stored vectors."""

  @property
  def size(self) -> int:
    """D, the numbers of a vector."""

  def search(
    self, queries: np.ndarray, k: int, *, allowed: np.ndarray | None = None
  ) -> Neighbours:
    """Finds the stored vectors that are most similar to each query.

    Args:
      queries: [Q, D] unit vectors.
      k: neighbours wanted for each query, at least 1.
      allowed: bool [M], which vectors may be found; all if None.

    Returns:
      Neighbours with K = min(k, allowed vectors). A pair of vectors has the
      same similarity in every engine.

    Raises:
      ValueError: a query is not a unit vector of D numbers, k is below 1, or
        `allowed` has another length.
    """


def check_vectors(vectors: np.ndarray, name: str) -> np.ndarray:
  """Returns vectors as contiguous float32 [M, D] if they are unit vectors.

  Raises:
    ValueError: other dimensions, or a row that is not finite or not of length
      1 within 0.001. The message has the name and the first such row.
  """
  vectors = np.ascontiguousarray(vectors, np.float32)
  if vectors.ndim != 2 or not vectors.shape[1]:
    raise ValueError(f"{name} must be [M, D], got shape {vectors.shape}")
  with np.errstate(over="ignore", invalid="ignore"):
    length = np.sqrt(np.einsum("md,md->m", vectors, vectors))
  bad = np.flatnonzero(~(np.abs(length - 1) <= _NORM_TOLERANCE))
  if len(bad):
    raise ValueError(
      f"{name} must be finite and of length 1, row {bad[0]} has length "
      f"{length[bad[0]]}"
    )
  return vectors


def check_search(
  index: VectorIndex,
  queries: np.ndarray,
  k: int,
  allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, int, np.ndarray | None]:
  """Returns what a search needs if the index can answer it.

  Returns:
    The queries, the number of neighbours that each can have, and the rows
    that may be found, int64 ascending; None for all.

  Raises:
    ValueError: see `VectorIndex.search`.
  """
  queries = check_vectors(queries, "queries")
  if queries.shape[1] != index.size:
    raise ValueError(
      f"queries must have {index.size} numbers each like the stored vectors, "
      f"got {queries.shape[1]}"
    )
  if k < 1:
    raise ValueError(f"k must be at least 1, got {k}")
  if allowed is None:
    return queries, min(int(k), index.count), None
  if np.shape(allowed) != (index.count,):
    raise ValueError(
      f"allowed must have one value for each of {index.count} vectors, got "
      f"shape {np.shape(allowed)}"
    )
  rows = np.flatnonzero(allowed)
  if len(rows) == index.count:
    return queries, min(int(k), index.count), None
  return queries, min(int(k), len(rows)), rows


def rank_rows(
  vectors: np.ndarray, query: np.ndarray, rows: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
  """The best of some stored vectors.

  Computed in float64, so that the order of summation, which differs between
  machines and batch sizes, does not decide between equal vectors.

  Args:
    vectors: float32 or float16 [M, D].
    query: float32 [D].
    rows: int [C], ascending, the vectors to rank.
    k: how many to return, at most C.

  Returns:
    Their rows [k] and float32 similarities [k], best first, ties by row.
  """
  stored = vectors[rows].astype(np.float64)
  similarity = (stored @ query.astype(np.float64)).astype(np.float32)
  order = np.argsort(-similarity, kind="stable")[:k]
  return rows[order], similarity[order]


def measure_recall(
  index: VectorIndex,
  exact: VectorIndex,
  vectors: np.ndarray,
  *,
  probes: int = 256,
  k: int = 10,
  seed: int = 0,
) -> float:
  """Share of the true neighbours that an index finds, 0 to 1.

  Args:
    index: the index to measure.
    exact: an exhaustive index of the same vectors.
    vectors: [M, D], these vectors.
    probes: stored vectors used as queries. Noise is added to them, so that
      the vector itself is not the only near one.
    k: neighbours of each.
    seed: of the choice and of the noise.

  Returns:
    The mean over the probes; 1 for an exhaustive index.
  """
  if index.is_exhaustive:
    return 1.0
  rng = np.random.default_rng(seed)
  count, size = vectors.shape
  chosen = rng.choice(count, min(probes, count), replace=False)
  moved = vectors[np.sort(chosen)]
  moved = moved + rng.normal(0, PROBE_NOISE / math.sqrt(size), moved.shape)
  moved /= np.linalg.norm(moved, axis=1, keepdims=True)
  found = index.search(moved, k).ids
  truth = exact.search(moved, k).ids
  hits = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
  return float(np.mean(hits) / truth.shape[1])
