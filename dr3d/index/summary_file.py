"""An index of short vectors on disk: ScaNN's files, and what it searches.

The short vectors and the basis that makes them stand beside ScaNN's own files.
When models have come or gone, only the vectors of new models are read.
"""

import pathlib

import numpy as np

from dr3d.index.model_index import SummaryIndex
from dr3d.index.projection import BLOCK, Features, Projection
from dr3d.index.scann import ScannIndex
from dr3d.index.scann_file import find_saved, save_index

_BASIS = "basis"
_SHORT = "short"


def save_summary(
  index: SummaryIndex, parent: pathlib.Path, *, keys: np.ndarray
) -> pathlib.Path:
  """Writes an index of short vectors to `parent`, whole or not at all.

  Args:
    index: as it was built by ScaNN.
    parent: a directory that exists.
    keys: uint64 [B], equal for models of equal vectors.

  Returns:
    The folder.

  Raises:
    TypeError: another engine holds it.
    ValueError: see `scann_file.save_index`.
    OSError: the disk does not accept it.
  """
  if not isinstance(index.index, ScannIndex):
    raise TypeError(f"only ScaNN's index is saved, not one of {index.engine}")
  return save_index(
    index.index,
    parent,
    keys=keys,
    arrays={_BASIS: index.projection.basis, _SHORT: index.index.vectors},
  )


def load_summary(
  parent: pathlib.Path, features: Features, *, keys: np.ndarray
) -> SummaryIndex | None:
  """Reads what `save_summary` wrote for these models, or for most of them.

  Args:
    parent: where the index was saved.
    features: [B, N, D] of the models to search. Only those that the index does
      not know are read.
    keys: uint64 [B], see `save_summary`.

  Returns:
    The index over these models; None as `scann_file.load_index` does.
  """
  saved = find_saved(parent, keys, arrays=(_BASIS, _SHORT))
  if saved is None:
    return None
  basis = np.array(saved.arrays[_BASIS])
  if basis.shape[:2] != tuple(features.shape[1:]):
    return None
  projection = Projection(basis)
  short = saved.arrays[_SHORT]
  if saved.rows is not None:
    short = _arrange(short, saved.rows, features, projection)
  return SummaryIndex(ScannIndex(short, saved.searcher, saved.rows), projection)


def _arrange(
  short: np.ndarray,
  rows: np.ndarray,
  features: Features,
  projection: Projection,
) -> np.ndarray:
  """Short vectors of the present models, in their order."""
  result = np.empty((len(features), projection.size), np.float32)
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
