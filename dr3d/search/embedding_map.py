"""A flat map of the models: their vectors in two dimensions.

Models that look alike to the network lie near each other, so the map shows how
well it separates the classes. It is a projection: what lies near on the map may
still be far apart, which `share` tells.

`B` models, `N` vectors of each, `D` numbers of a vector.

References:
  WO 2021/178001 [0030] and FIG. 2, the embedding space in a picture.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse.linalg

from dr3d.search.gallery import Gallery

MODELS_MAX = 2000
"""More points would hide each other; the projection then takes a second."""

_DENSE = 64  # smallest side up to which all singular values are found


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingMap:
  """Models on a plane.

  Attributes:
    names: of the P models that are shown.
    labels: of these, empty if one has none.
    points: float64 [P, 2], the farthest coordinate is 1.
    share: of the variance of the vectors that the two axes show, 0 to 1.
    total: B, models of the database that are searched.
  """

  names: tuple[str, ...]
  labels: tuple[str, ...]
  points: np.ndarray
  share: float
  total: int


def make_map(gallery: Gallery, *, largest: int = MODELS_MAX) -> EmbeddingMap:
  """Projects the models of a gallery on their two principal axes.

  A model is the sequence of its N vectors, so that two models are as near as
  their equal views are on average.

  Args:
    gallery: the models.
    largest: models shown; of more, evenly many in the order of their names.
  """
  total = len(gallery.names)
  count = min(total, largest)
  chosen = np.arange(count) * total // max(count, 1)
  points, share = project(gallery.features[chosen].reshape(count, -1))
  return EmbeddingMap(
    _pick(gallery.names, chosen),
    _pick(gallery.labels, chosen),
    points,
    share,
    total,
  )


def project(vectors: np.ndarray) -> tuple[np.ndarray, float]:
  """Projects vectors on their two principal axes.

  Args:
    vectors: float [P, D].

  Returns:
    float64 [P, 2], of which the farthest coordinate is 1, the same on each
    call; and the share of the variance, 1 if there is none.
  """
  centred = np.asarray(vectors, np.float64)
  centred = centred - centred.mean(axis=0, keepdims=True)
  variance = float((centred**2).sum())
  if min(centred.shape) <= _DENSE:
    left, size, right = np.linalg.svd(centred, full_matrices=False)
  else:
    start = np.ones(min(centred.shape))
    left, size, right = scipy.sparse.linalg.svds(centred, k=2, v0=start)
  order = np.argsort(-size)[:2]
  # The sign of an axis is arbitrary: its largest component is positive.
  peak = np.abs(right[order]).argmax(axis=1)
  sign = np.sign(right[order, peak])
  points = np.zeros((len(centred), 2))
  points[:, : len(order)] = left[:, order] * (size[order] * sign)
  shown = float((size[order] ** 2).sum())
  farthest = np.abs(points).max(initial=0.0)
  share = shown / variance if variance > 0 else 1.0
  return points / (farthest or 1.0), min(share, 1.0)


def _pick(texts: Sequence[str], chosen: np.ndarray) -> tuple[str, ...]:
  return tuple(texts[i] for i in chosen)
