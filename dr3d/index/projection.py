"""One short vector of a model, from its N vectors of N views.

The N·D numbers of a model, scaled to length 1, are projected on the directions
in which the models of a database differ most. The product of two short vectors
is nearly the mean cosine of the same views of two models, which is half of
their view-aligned similarity. The mean of the N vectors is as short and finds
fewer of the true neighbours; `experiments/results/scale.md` compares them.

Notation: B models, N vectors of each, D numbers of a vector; E numbers of a
short vector.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import scipy.linalg

SIZE = 384
"""E at most. Among hundreds of near copies 256 numbers miss two in a hundred of
the first ten, and 512 need twice the memory for one in five hundred."""

BLOCK = 4096  # models read at a time: 25 MiB for N = 12, D = 128
_SAMPLE = 16_384  # models; more do not change the directions visibly


class Features(Protocol):
  """Vectors [B, N, D] of models: an array, or a file that acts like one."""

  @property
  def shape(self) -> tuple[int, ...]:
    """B, N, D."""

  def __len__(self) -> int: ...

  def __getitem__(self, rows: Any, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
  """Makes short vectors.

  Attributes:
    basis: float32 [N, D, E - 1], orthonormal as [N · D, E - 1].
  """

  basis: np.ndarray

  @property
  def size(self) -> int:
    """E, the numbers of a short vector."""
    return self.basis.shape[2] + 1

  def project(self, features: np.ndarray) -> np.ndarray:
    """Makes a short vector of each model.

    Args:
      features: float32 [b, N, D] unit vectors.

    Returns:
      float32 [b, E] unit vectors. The last number makes their length 1, so
      that the nearest by angle are those of the largest product.

    References:
      Bachrach et al., Speeding Up the Xbox Recommender System Using a
      Euclidean Transformation for Inner-Product Spaces, 2014.
    """
    short = np.empty((len(features), self.size), np.float32)
    flat = features.reshape(len(features), -1)
    matrix = self.basis.reshape(flat.shape[1], -1)
    short[:, :-1] = flat @ matrix / np.float32(math.sqrt(features.shape[1]))
    rest = 1 - np.einsum("be,be->b", short[:, :-1], short[:, :-1])
    short[:, -1] = np.sqrt(np.maximum(rest, 0))
    return short

  def project_query(self, vectors: np.ndarray) -> np.ndarray:
    """Projects vectors [N, D], one of each view; returns [1, E]."""
    return self._finish(np.einsum("nd,nde->e", vectors, self.basis)[None])

  def project_each(self, vectors: np.ndarray) -> np.ndarray:
    """Projects vectors [Q, D] of unknown views, each as every view.

    Returns:
      [Q, N, E]; a product with a short vector is nearly the cosine of vector q
      and of the model's view n, but for a common factor.
    """
    return self._finish(np.einsum("qd,nde->qne", vectors, self.basis))

  def _finish(self, short: np.ndarray) -> np.ndarray:
    zeros = np.zeros((*short.shape[:-1], 1), np.float32)
    return np.concatenate([short, zeros], axis=-1).astype(np.float32)


def fit_projection(features: Features, *, size: int = SIZE) -> Projection:
  """Finds the directions in which models differ most.

  Products and not distances are kept, so the mean is not subtracted.

  Args:
    features: [B, N, D] unit vectors.
    size: E at most; it is smaller if N · D + 1 is.
  """
  _, views, numbers = features.shape
  count = min(len(features), _SAMPLE)
  rows = np.unique(np.linspace(0, len(features) - 1, count).astype(np.int64))
  gram = np.zeros((views * numbers,) * 2)
  for start in range(0, len(rows), BLOCK):
    part = features[rows[start : start + BLOCK]]
    part = part.reshape(len(part), -1)
    gram += part.T @ part
  width = min(size - 1, len(gram))
  _, basis = scipy.linalg.eigh(
    gram, subset_by_index=(len(gram) - width, len(gram) - 1)
  )
  basis = np.ascontiguousarray(basis[:, ::-1], np.float32)
  return Projection(basis.reshape(views, numbers, -1))


def iterate_blocks(features: Features) -> Iterator[tuple[slice, np.ndarray]]:
  """Yields the vectors of all models, some at a time."""
  for start in range(0, len(features), BLOCK):
    rows = slice(start, min(start + BLOCK, len(features)))
    yield rows, features[rows]
