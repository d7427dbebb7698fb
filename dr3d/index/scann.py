"""Approximate search by ScaNN, with exact similarities.

Notation: M stored vectors, Q queries, D numbers of a vector, K neighbours.

ScaNN (Guo et al., "Accelerating Large-Scale Inference with Anisotropic Vector
Quantization", ICML 2020) proposes candidates from quantised vectors. Their
similarities are computed again from the stored vectors. So a pair has the same
similarity as in the exact search, and only what ScaNN does not propose is
missed. ScaNN is built once and never changed: it serves a set of vectors that
has changed a little by mapping its rows to theirs.
"""

import dataclasses
import functools
import math
from typing import Any, Protocol

import numpy as np

from dr3d.index.exact import ExactIndex
from dr3d.index.vector_index import Neighbours, check_search, rank_rows
from dr3d.runtime.output import suppress_output

MIN_COUNT = 64  # vectors; ScaNN cannot train 16 centres a block from fewer

_OVERFETCH = 4  # candidates that ScaNN proposes for each neighbour wanted
_FETCH_MIN = 200  # candidates at least, as quantisation blurs the first ranks
_LEAF_SHARE = 0.1  # of the partitions are searched at most
_SCANNED = 50_000  # vectors in these, so that a query does not slow down
_FEW = 20_000  # allowed vectors that are compared as fast as ScaNN's are
_FEW_SHARE = 1 / 16  # of all, likewise
_TRAINING_SAMPLE = 100_000  # vectors; more change neither recall nor speed


class Searcher(Protocol):
  """What ScaNN's compiled object is asked."""

  def search(self, query: np.ndarray, **options: int) -> tuple[Any, Any]:
    """Ids and distances of what is near."""

  def serialize(self, path: str, *, relative_path: bool) -> None:
    """Writes it to a directory."""

  def size(self) -> int:
    """Vectors that it was built from."""


@dataclasses.dataclass(frozen=True, eq=False)
class ScannIndex:
  """Stored unit vectors that ScaNN searches.

  Attributes:
    vectors: float32 or float16 [M, D].
    searcher: ScaNN's object.
    rows: int [M'], the present row of each vector that ScaNN was built from,
      -1 for those that have gone; None if they are `vectors`.
  """

  vectors: np.ndarray
  searcher: Searcher
  rows: np.ndarray | None = None

  engine = "scann"
  is_exhaustive = False
  max_fetch = 1 << 31  # candidates that it proposes at most

  @property
  def count(self) -> int:
    """M, the number of stored vectors."""
    return len(self.vectors)

  @property
  def size(self) -> int:
    """D, the numbers of a vector."""
    return self.vectors.shape[1]

  @property
  def is_filtered(self) -> bool:
    """Whether what a filter does not allow is not proposed."""
    return False

  @functools.cached_property
  def fresh(self) -> np.ndarray:
    """Rows that ScaNN was not built from, ascending, int64."""
    if self.rows is None:
      return np.zeros(0, np.int64)
    known = np.zeros(self.count, bool)
    known[self.rows[self.rows >= 0]] = True
    return np.flatnonzero(~known)

  @functools.cached_property
  def _fresh_vectors(self) -> np.ndarray:
    return self.vectors[self.fresh].astype(np.float32, copy=False)

  @property
  def drift(self) -> float:
    """Share of vectors that came or went since ScaNN was built."""
    if self.rows is None:
      return 0.0
    gone = int((self.rows < 0).sum())
    return (gone + len(self.fresh)) / self.count

  def search(
    self, queries: np.ndarray, k: int, *, allowed: np.ndarray | None = None
  ) -> Neighbours:
    """Finds the nearest vectors; see `VectorIndex.search`.

    A search for a large share of all vectors is exact, since ScaNN would rank
    them no faster. So is one among few allowed vectors; among many, ScaNN
    proposes as many more as the filter drops.
    """
    wanted = k
    queries, k, rows = check_search(self, queries, k, allowed)
    fetch = max(_OVERFETCH * k, _FETCH_MIN)
    exact = ExactIndex(self.vectors)
    is_cheap = fetch * _OVERFETCH > self.count
    if rows is not None and not self.is_filtered:
      fetch = math.ceil(fetch * self.count / max(1, len(rows)))
      is_cheap |= fetch * _OVERFETCH > self.count
      is_cheap |= len(rows) <= max(_FEW, _FEW_SHARE * self.count)
    if is_cheap or not k or k > self.max_fetch:
      return exact.search(queries, wanted, allowed=allowed)
    found = Neighbours(
      np.empty((len(queries), k), np.int32),
      np.empty((len(queries), k), np.float32),
    )
    # One query at a time, which is as fast: in a batch, the other queries
    # would influence which partitions ScaNN searches.
    for i, query in enumerate(queries):
      near = self._propose(query, fetch)
      if allowed is not None:
        near = near[allowed[near]]
      if len(near) < k:
        one = exact.search(queries[i : i + 1], k, allowed=allowed)
        found.ids[i], found.similarity[i] = one.ids[0], one.similarity[0]
      else:
        ids, similarity = rank_rows(self.vectors, query, near, k)
        found.ids[i], found.similarity[i] = ids, similarity
    return found

  def _propose(self, query: np.ndarray, fetch: int) -> np.ndarray:
    """Rows that ScaNN finds near, and of those that it does not know."""
    built = self.count if self.rows is None else len(self.rows)
    leaves = _leaf_count(built)
    share = max(
      min(_LEAF_SHARE, _SCANNED / built), _OVERFETCH * fetch / self.count
    )
    ids, distance = self.searcher.search(
      query,
      final_num_neighbors=fetch,
      leaves_to_search=min(leaves, math.ceil(share * leaves)),
    )
    # ScaNN may fill up with id 0 and distance NaN if it finds too few.
    ids = ids[np.isfinite(distance)].astype(np.int64)
    if self.rows is not None:
      ids = self.rows[ids]
      ids = np.concatenate([ids[ids >= 0], self._search_fresh(query, fetch)])
    return np.unique(ids)

  def _search_fresh(self, query: np.ndarray, fetch: int) -> np.ndarray:
    """Of the rows that ScaNN was not built from, those that may be nearest."""
    if len(self.fresh) <= fetch:
      return self.fresh
    cosine = self._fresh_vectors @ query
    limit = np.partition(cosine, len(cosine) - fetch)[len(cosine) - fetch]
    return self.fresh[cosine >= limit]


def build_scann(vectors: np.ndarray) -> ScannIndex:
  """Trains ScaNN: a tree of √M leaves, 4 bits for each 2 dimensions.

  ScaNN is given no ids (it would pickle them) and does no reordering (it would
  keep a second copy of the vectors): `ScannIndex` does both.

  Args:
    vectors: float32 [M, D] unit vectors, M at least `MIN_COUNT`.

  Returns:
    The index. Equal vectors give an equal index, bit for bit.

  Raises:
    ImportError: ScaNN is not installed.
  """
  import scann

  count = len(vectors)
  leaves = _leaf_count(count)
  builder = scann.scann_ops_pybind.builder(vectors, _FETCH_MIN, "dot_product")
  builder.tree(
    num_leaves=leaves,
    num_leaves_to_search=math.ceil(_LEAF_SHARE * leaves),
    training_sample_size=min(count, _TRAINING_SAMPLE),
    random_init=False,  # the same vectors give the same tree
  )
  builder.score_ah(
    min(2, vectors.shape[1]),
    anisotropic_quantization_threshold=0.2,  # ScaNN's documented default
    training_sample_size=min(count, _TRAINING_SAMPLE),
  )
  with suppress_output():
    return ScannIndex(vectors, builder.build())


def _leaf_count(count: int) -> int:
  return max(1, math.isqrt(count))
