"""Nearest neighbours of unit vectors, exact or by ScaNN, behind one call.

Notation: M stored vectors, Q queries, D numbers a vector, K neighbours.

The exact search is the ground truth: a matrix product, ties broken by id. For
large sets ScaNN (Guo et al., "Accelerating Large-Scale Inference with
Anisotropic Vector Quantization", ICML 2020) proposes candidates from quantised
vectors, and their similarities are computed anew from the stored ones. So both
give the same similarity for the same pair, and differ only in what ScaNN does
not propose. ScaNN is built once and never changed: another set of vectors is
another index.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from dr3d.runtime.output import suppress_output

EXACT_BELOW = 20_000  # vectors; a matrix product is the better choice below

_BACKENDS = ("auto", "exact", "scann")
_NORM_TOLERANCE = 1e-3
_BLOCK = 1 << 24  # similarities held at a time: 64 MiB of float32
_SCANN_MIN = 64  # ScaNN cannot train 16 centres a block from a handful
_OVERFETCH = 4  # candidates that ScaNN proposes for each neighbour wanted
_FETCH_MIN = 200
_LEAF_SHARE = 0.1  # of the partitions are looked into


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
  """The stored vectors nearest to each query, most similar first.

  Attributes:
    ids: int32 [Q, K], rows of the stored vectors. Every entry is a real hit.
    similarity: float32 [Q, K], cosines, descending; equal ones by id.
  """

  ids: np.ndarray
  similarity: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
  """Stored unit vectors that can be searched.

  Attributes:
    vectors: float32 [M, D].
    searcher: ScaNN's object, or None where the search is exact.
    rows: int [M'], where the vectors that ScaNN was built from stand now, -1
      for those that have gone; None where they are the vectors as they stand.
  """

  vectors: np.ndarray
  searcher: Any = None
  rows: np.ndarray | None = None

  @property
  def backend(self) -> str:
    """Either "exact" or "scann"."""
    return "exact" if self.searcher is None else "scann"

  @functools.cached_property
  def fresh(self) -> np.ndarray:
    """Rows that ScaNN was not built from, ascending, int64."""
    if self.searcher is None or self.rows is None:
      return np.zeros(0, np.int64)
    known = np.zeros(len(self.vectors), bool)
    known[self.rows[self.rows >= 0]] = True
    return np.flatnonzero(~known)

  @property
  def drift(self) -> float:
    """Share of vectors that came or went since ScaNN was built."""
    if self.rows is None:
      return 0.0
    gone = int((self.rows < 0).sum())
    return (gone + len(self.fresh)) / len(self.vectors)

  def search(self, queries: np.ndarray, k: int) -> Neighbours:
    """Finds the stored vectors that are most similar to each query.

    Args:
      queries: [Q, D] unit vectors.
      k: neighbours wanted for each query, at least 1.

    Returns:
      Neighbours with K = min(k, M).

    Raises:
      ValueError: a query is no unit vector of D numbers, or k is below 1.
    """
    count, size = self.vectors.shape
    queries = check_vectors(queries, "queries")
    if queries.shape[1] != size:
      raise ValueError(
        f"queries must have {size} numbers each like the stored vectors, got "
        f"{queries.shape[1]}"
      )
    if k < 1:
      raise ValueError(f"k must be at least 1, got {k}")
    k = min(int(k), count)
    found = Neighbours(
      np.empty((len(queries), k), np.int32),
      np.empty((len(queries), k), np.float32),
    )
    fetch = max(_OVERFETCH * k, _FETCH_MIN)
    if self.searcher is None or not len(queries) or fetch * _OVERFETCH > count:
      rows = np.arange(len(queries))
    else:
      rows = self._search_scann(queries, fetch, found)
    self._search_exact(queries, rows, found)
    return found

  def _search_scann(
    self, queries: np.ndarray, fetch: int, found: Neighbours
  ) -> np.ndarray:
    """Fills `found` and returns the queries for which ScaNN had too little."""
    count, k = len(self.vectors), found.ids.shape[1]
    leaves = _leaf_count(count if self.rows is None else len(self.rows))
    share = max(_LEAF_SHARE, _OVERFETCH * fetch / count)
    short = []
    # One at a time, which is as fast: in a batch, the other queries have a
    # say in which partitions ScaNN looks into.
    for row, query in enumerate(queries):
      ids, distance = self.searcher.search(
        query,
        final_num_neighbors=fetch,
        leaves_to_search=min(leaves, math.ceil(share * leaves)),
      )
      # ScaNN may fill up with id 0 and distance NaN where it finds too little.
      ids = ids[np.isfinite(distance)].astype(np.int64)
      if self.rows is not None:
        ids = self.rows[ids]
        ids = np.concatenate([ids[ids >= 0], self.fresh])
      candidates = np.unique(ids)
      if len(candidates) < k:
        short.append(row)
      else:
        self._rank(query, candidates, found, row)
    return np.array(short, np.int64)

  def _search_exact(
    self, queries: np.ndarray, rows: np.ndarray, found: Neighbours
  ) -> None:
    """Fills `found` for the given rows from the full matrix product."""
    count, size = self.vectors.shape
    k = found.ids.shape[1]
    # Twice the rounding error of a float32 dot product of unit vectors: what
    # lies this close below the k-th may belong before it.
    slack = np.float32(size * np.finfo(np.float32).eps)
    block = max(1, _BLOCK // count)
    for start in range(0, len(rows), block):
      part = rows[start : start + block]
      coarse = queries[part] @ self.vectors.T
      last = np.partition(coarse, count - k, axis=1)[:, count - k]
      for row, similarity, limit in zip(part, coarse, last, strict=True):
        candidates = np.flatnonzero(similarity >= limit - slack)
        self._rank(queries[row], candidates, found, row)

  def _rank(
    self,
    query: np.ndarray,
    candidates: np.ndarray,
    found: Neighbours,
    row: int,
  ) -> None:
    """Writes the best of some candidates (ascending ids) to a row of `found`.

    In float64, so that the order of summation, which differs from machine to
    machine and with the number of rows, does not decide between equal vectors.
    """
    stored = self.vectors[candidates].astype(np.float64)
    similarity = (stored @ query.astype(np.float64)).astype(np.float32)
    order = np.argsort(-similarity, kind="stable")[: found.ids.shape[1]]
    found.ids[row] = candidates[order]
    found.similarity[row] = similarity[order]


def build_index(
  vectors: np.ndarray,
  *,
  backend: str = "auto",
  exact_below: int = EXACT_BELOW,
) -> Index:
  """Makes vectors searchable.

  Args:
    vectors: [M, D] unit vectors, M at least 1. They are kept, not copied,
      where they are float32 already; do not change them afterwards.
    backend: "exact", "scann", or "auto": exact below `exact_below` vectors and
      where ScaNN is not installed. Sets too small to train ScaNN with are
      searched exactly whatever is asked for.
    exact_below: the number of vectors below which "auto" is exact.

  Returns:
    The index. Equal vectors give an equal index, bit for bit.

  Raises:
    ValueError: a row is no unit vector, there is none, or the backend is
      unknown.
    ImportError: backend "scann" without ScaNN.
  """
  if backend not in _BACKENDS:
    raise ValueError(f"backend must be one of {_BACKENDS}, got {backend!r}")
  vectors = check_vectors(vectors, "vectors")
  if not len(vectors):
    raise ValueError("vectors must hold at least one row, got none")
  if backend == "auto":
    backend = choose_backend(len(vectors), exact_below=exact_below)
  if backend == "exact" or len(vectors) < _SCANN_MIN:
    return Index(vectors)
  return Index(vectors, _build_searcher(vectors))


def choose_backend(count: int, *, exact_below: int = EXACT_BELOW) -> str:
  """Says which backend "auto" means for a number of vectors."""
  if count < max(exact_below, _SCANN_MIN):
    return "exact"
  try:
    import scann  # noqa: F401
  except ImportError:
    return "exact"
  return "scann"


def measure_recall(
  index: Index, *, probes: int = 256, k: int = 10, seed: int = 0
) -> float:
  """Share of the true neighbours that an index finds, 0 to 1.

  Args:
    index: what is measured.
    probes: stored vectors that are asked for, moved a little, so that not
      only the vector itself is near.
    k: neighbours of each.
    seed: of the choice and the movement.

  Returns:
    The mean over the probes; 1 where the search is exact.
  """
  if index.searcher is None:
    return 1.0
  rng = np.random.default_rng(seed)
  count, size = index.vectors.shape
  chosen = rng.choice(count, min(probes, count), replace=False)
  moved = index.vectors[np.sort(chosen)]
  moved = moved + rng.normal(0, 0.3 / math.sqrt(size), moved.shape)
  moved /= np.linalg.norm(moved, axis=1, keepdims=True)
  found = index.search(moved, k).ids
  truth = Index(index.vectors).search(moved, k).ids
  hits = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
  return float(np.mean(hits) / truth.shape[1])


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


def _leaf_count(count: int) -> int:
  return max(1, math.isqrt(count))


def _build_searcher(vectors: np.ndarray) -> Any:
  """Trains ScaNN: a tree of √M leaves, 4 bits for each 2 dimensions.

  No ids are given to ScaNN (it would pickle them) and no reordering is asked
  for (it would keep a second copy of the vectors): `Index` does both.
  """
  import scann

  count = len(vectors)
  leaves = _leaf_count(count)
  builder = scann.scann_ops_pybind.builder(vectors, _FETCH_MIN, "dot_product")
  builder.tree(
    num_leaves=leaves,
    num_leaves_to_search=math.ceil(_LEAF_SHARE * leaves),
    training_sample_size=min(count, 100_000),
    random_init=False,  # the same vectors give the same tree
  )
  builder.score_ah(
    min(2, vectors.shape[1]),
    anisotropic_quantization_threshold=0.2,
    training_sample_size=min(count, 100_000),
  )
  with suppress_output():
    return builder.build()
