"""An index of short vectors on disk: ScaNN's files, and what it searches.

The short vectors and the basis that makes them stand beside ScaNN's own files.
When models have come or gone, only the vectors of new models are read.
"""

import pathlib
from typing import TypeGuard

import numpy as np

from dr3d.index.milvus import (
  PREFIX,
  MilvusIndex,
  drop_collections,
  open_milvus,
)
from dr3d.index.model_index import ModelIndex, SummaryIndex
from dr3d.index.projection import BLOCK, Features, Projection
from dr3d.index.scann import ScannIndex
from dr3d.index.scann_file import (
  find_saved,
  list_fingerprints,
  remove_indices,
  save_index,
)

_BASIS = "basis"
_SHORT = "short"


def can_save(index: ModelIndex) -> TypeGuard[SummaryIndex]:
  """Whether `save_summary` can write an index."""
  return isinstance(index, SummaryIndex) and isinstance(index.index, ScannIndex)


def save_summary(
  index: SummaryIndex, parent: pathlib.Path, *, keys: np.ndarray
) -> pathlib.Path:
  """Writes an index of short vectors to `parent`, whole or not at all.

  Former ones are removed. Milvus keeps its part itself.

  Args:
    index: as it was built; see `can_save`.
    parent: a directory that exists.
    keys: uint64 [B], equal for models of equal vectors.

  Returns:
    The folder.

  Raises:
    ValueError: see `scann_file.save_index`.
    OSError: the disk does not accept it.
  """
  assert isinstance(index.index, ScannIndex), "see can_save"
  former = list_fingerprints(parent)
  path = save_index(
    index.index,
    parent,
    keys=keys,
    arrays={_BASIS: index.projection.basis, _SHORT: index.index.vectors},
  )
  if isinstance(index.index, MilvusIndex):
    index.index.drop_others(former)
  return path


def remove_summaries(parent: pathlib.Path, *, engine: str) -> None:
  """Removes all that `save_summary` wrote here, in Milvus too.

  Args:
    parent: where indices were saved.
    engine: of the database; collections of another Milvus stay.

  Raises:
    Dr3dError: Milvus fails; then nothing was removed.
  """
  if engine.startswith(PREFIX):
    drop_collections(engine, list_fingerprints(parent))
  remove_indices(parent)


def load_summary(
  parent: pathlib.Path,
  features: Features,
  *,
  keys: np.ndarray,
  engine: str = "scann",
) -> SummaryIndex | None:
  """Reads what `save_summary` wrote for these models, or for most of them.

  Args:
    parent: where the index was saved.
    features: [B, N, D] of the models to search. Only those that the index does
      not know are read.
    keys: uint64 [B], see `save_summary`.
    engine: "scann" or "milvus:URI".

  Returns:
    The index over these models; None as `scann_file.load_index` does, or if
    Milvus has no such collection.

  Raises:
    Dr3dError: Milvus fails.
  """
  is_milvus = engine.startswith(PREFIX)
  saved = find_saved(
    parent, keys, arrays=(_BASIS, _SHORT), has_searcher=not is_milvus
  )
  if saved is None:
    return None
  basis = np.array(saved.arrays[_BASIS])
  if basis.shape[:2] != tuple(features.shape[1:]):
    return None
  projection = Projection(basis)
  short = saved.arrays[_SHORT]
  searcher = saved.searcher
  if is_milvus:
    searcher = open_milvus(engine, saved.fingerprint, len(short))
  if searcher is None:
    return None
  if saved.rows is not None:
    short = _arrange(short, saved.rows, features, projection)
  kind = MilvusIndex if is_milvus else ScannIndex
  return SummaryIndex(kind(short, searcher, saved.rows), projection)


def _arrange(
  short: np.ndarray,
  rows: np.ndarray,
  features: Features,
  projection: Projection,
) -> np.ndarray:
  """Short vectors of the present models, in their order."""
  result = np.empty((len(features), projection.size), np.float16)
  is_new = np.ones(len(features), bool)
  for start in range(0, len(rows), BLOCK):
    part = rows[start : start + BLOCK]
    kept = part >= 0
    result[part[kept]] = short[start : start + BLOCK][kept]
    is_new[part[kept]] = False
  new = np.flatnonzero(is_new)
  for start in range(0, len(new), BLOCK):
    part = new[start : start + BLOCK]
    result[part] = projection.project(features[part])
  return result
