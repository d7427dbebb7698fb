"""How similar models are to a query, from the cosines of their vectors.

Notation: C models, N vectors (views) of each; Q vectors of the query, D numbers
each. A similarity has two parts: what each vector of the query votes by [C, Q],
and the score of each model [C], by which models are ranked. Q is replaced by
the number of photographs P if the vectors are those of photographs.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from dr3d.index.projection import Features

Rate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Cosines [C, N, Q] → what the query's vectors vote by [C, Q], scores [C]."""

SimilarityName = Literal["view_aligned", "max", "photograph"]

TURNS = 8
"""Vectors of a photograph: it is turned in its plane, by 45 degrees each."""

_CHUNK = 4096  # models scored at a time: 25 MiB of cosines for N = Q = 12
# Share of the whole model's score in what a single vector votes by. A single
# image is easily mistaken: with this share .91 instead of .84 of held-out
# training parts got the right label, and .82 instead of .75 as simulated scans.
_SHARE_OF_SCORE = 0.15


def max_over_views(cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The nearest vector of a model counts: the vote of the patent.

  Args:
    cosine: [C, N, Q].

  Returns:
    Similarities [C, Q] and scores [C], their means.

  References:
    WO 2021/178001 [0032].
  """
  similarity = cosine.max(axis=1)
  return similarity, similarity.mean(axis=1)


def view_aligned(cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Half the nearest vector, half the vector of the same view.

  Meshes are rendered in their principal axes, so view n of a query shows what
  view n of its like shows. Where the axes are undecided, another view shows it.

  Args:
    cosine: [C, N, N]; vector n of the query is of view n.

  Returns:
    Similarities [C, N] and scores [C].

  References:
    Not in the patent.
  """
  similarity = (cosine.max(axis=1) + np.einsum("cnn->cn", cosine)) / 2
  score = similarity.mean(axis=1)
  return similarity + _SHARE_OF_SCORE * score[:, None], score


def max_over_turns(cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The nearest vector of a model to any turn of a photograph counts.

  Args:
    cosine: [C, N, P · TURNS], the turns of each of P photographs in a row.

  Returns:
    Similarities [C, P] and scores [C], their means.
  """
  C, _, Q = cosine.shape
  similarity = cosine.max(axis=1).reshape(C, Q // TURNS, TURNS).max(axis=2)
  return similarity, similarity.mean(axis=1)


SIMILARITIES: dict[str, Rate] = {
  "view_aligned": view_aligned,
  "max": max_over_views,
  "photograph": max_over_turns,
}


def rate_models(
  vectors: np.ndarray,
  stored: Features,
  models: np.ndarray | None,
  rate: Rate,
) -> tuple[np.ndarray, np.ndarray]:
  """Rates stored models against a query.

  Args:
    vectors: [Q, D] unit vectors; their precision is that of the computation.
    stored: float32 [B, N, D] unit vectors of all models.
    models: int [C], the models to rate; all B if None, without a copy.
    rate: see `Rate`.

  Returns:
    Similarities float32 [C, Q], or [C, P], and scores [C].
  """
  count = len(stored) if models is None else len(models)
  empty = np.empty((0, stored.shape[1], len(vectors)), np.float32)
  similarity = np.empty((count, rate(empty)[0].shape[1]), np.float32)
  score = np.empty(count, vectors.dtype)
  for start in range(0, count, _CHUNK):
    chunk = slice(start, start + _CHUNK)
    part = stored[chunk if models is None else models[chunk]]
    part = part.astype(vectors.dtype, copy=False)
    cosine = part.reshape(-1, part.shape[2]) @ vectors.T
    cosine = cosine.reshape(len(part), -1, len(vectors))
    similarity[chunk], score[chunk] = rate(cosine)
  return similarity, score
