"""Ranks models by neighbours in common, as `dr3d query` does.

Notation: q queries, B models of the gallery, N vectors of each, D numbers.
"""

import numpy as np

from dr3d.search.candidate import DECIMALS
from dr3d.search.reciprocal import (
  COMMON_COUNT,
  rank_by_neighbours,
  rate_neighbours,
)


def rerank_models(
  queries: np.ndarray,
  gallery: np.ndarray,
  total: np.ndarray,
  score: np.ndarray,
) -> np.ndarray:
  """What ranks models when common neighbours count: [q, B].

  Args:
    queries: [q, N, D] unit vectors.
    gallery: [B, N, D], of the same views.
    total: [q, B], what ranks models so far; `-inf` if they are not found.
    score: [q, B], their similarity, by which those that are compared with each
      other are chosen.
  """
  ranked = np.empty(total.shape)
  for row, query in enumerate(queries):
    order = np.argsort(-np.round(score[row], DECIMALS), kind="stable")
    first = order[:COMMON_COUNT]
    first = np.sort(first[np.isfinite(score[row, first])])
    common = np.zeros(len(gallery))
    common[first] = rate_neighbours(query, gallery[first])
    ranked[row] = rank_by_neighbours(total[row], common)
  return ranked
