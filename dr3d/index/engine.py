"""The engines that can hold an index, by name.

An engine is one module of this package and one line of `_BUILD`.
"""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from dr3d.index.exact import ExactIndex
from dr3d.index.milvus import PREFIX, Fields, MilvusAddress, build_milvus
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
  engine: str = "auto",
  exact_below: int = EXACT_BELOW,
  fields: Sequence[Fields] | None = None,
) -> VectorIndex:
  """Makes vectors searchable.

  Args:
    vectors: [M, D] unit vectors, M at least 1. They are kept, not copied, if
      they are float32 already; do not change them afterwards.
    engine: "exact", "scann", "milvus:URI", or "auto": exact below
      `exact_below` vectors and if ScaNN is not installed. Sets of less than 64
      vectors, too small to train ScaNN, are searched exactly in any case.
    exact_below: the number of vectors below which "auto" is exact.
    fields: of each vector, which Milvus can filter by; others ignore them.

  Returns:
    The index. Equal vectors give an equal index, bit for bit.

  Raises:
    ValueError: a row is not a unit vector, there is none, or the engine is
      unknown.
    ImportError: engine "scann" without ScaNN.
    Dr3dError: Milvus fails, or pymilvus is not installed.
  """
  vectors = check_vectors(vectors, "vectors")
  if not len(vectors):
    raise ValueError("vectors must hold at least one row, got none")
  name = engine
  if name == "auto":
    name = choose_engine(len(vectors), exact_below=exact_below)
  check_engine(engine)
  if len(vectors) < MIN_COUNT:
    name = "exact"
  if name.startswith(PREFIX):
    return build_milvus(vectors, name, fields)
  return _BUILD[name](vectors)


def check_engine(engine: str) -> None:
  """Checks the name of an engine.

  Raises:
    ValueError: it is unknown, or the address of Milvus is none.
  """
  if engine.startswith(PREFIX):
    MilvusAddress.parse(engine)
  elif engine not in ("auto", *_BUILD):
    raise ValueError(
      f"engine must be auto, {', '.join(_BUILD)} or milvus:URI, got {engine!r}"
    )


def choose_engine(count: int, *, exact_below: int = EXACT_BELOW) -> Engine:
  """Says which engine "auto" means for a number of vectors."""
  if count < max(exact_below, MIN_COUNT):
    return "exact"
  return "scann" if importlib.util.find_spec("scann") else "exact"
