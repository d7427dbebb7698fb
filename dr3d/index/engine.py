"""The engines that can hold an index, by name.

An engine is one module of this package and one line of `_BUILD`.
"""

import importlib.util
from collections.abc import Callable
from typing import Literal

import numpy as np

from dr3d.index.exact import ExactIndex
from dr3d.index.scann import MIN_COUNT, build_scann
from dr3d.index.vector_index import VectorIndex, check_vectors

EXACT_BELOW = 20_000
"""Vectors below which a matrix product answers as fast as ScaNN."""

Engine = Literal["exact", "scann"]

_BUILD: dict[str, Callable[[np.ndarray], VectorIndex]] = {
  "exact": ExactIndex,
  "scann": build_scann,
}


def build_index(
  vectors: np.ndarray,
  *,
  engine: Engine | Literal["auto"] = "auto",
  exact_below: int = EXACT_BELOW,
) -> VectorIndex:
  """Makes vectors searchable.

  Args:
    vectors: [M, D] unit vectors, M at least 1. They are kept, not copied, if
      they are float32 already; do not change them afterwards.
    engine: "exact", "scann", or "auto": exact below `exact_below` vectors and
      if ScaNN is not installed. Sets that are too small to train ScaNN are
      searched exactly in any case.
    exact_below: the number of vectors below which "auto" is exact.

  Returns:
    The index. Equal vectors give an equal index, bit for bit.

  Raises:
    ValueError: a row is not a unit vector, there is none, or the engine is
      unknown.
    ImportError: engine "scann" without ScaNN.
  """
  vectors = check_vectors(vectors, "vectors")
  if not len(vectors):
    raise ValueError("vectors must hold at least one row, got none")
  name = engine
  if name == "auto":
    name = choose_engine(len(vectors), exact_below=exact_below)
  if name not in _BUILD:
    raise ValueError(
      f"engine must be auto or one of {', '.join(_BUILD)}, got {engine!r}"
    )
  if name == "scann" and len(vectors) < MIN_COUNT:
    name = "exact"
  return _BUILD[name](vectors)


def choose_engine(count: int, *, exact_below: int = EXACT_BELOW) -> Engine:
  """Says which engine "auto" means for a number of vectors."""
  if count < max(exact_below, MIN_COUNT):
    return "exact"
  return "scann" if importlib.util.find_spec("scann") else "exact"
