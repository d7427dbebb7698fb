"""Neighbours in common: which candidates belong together with a query.

A model of the query's class may look less like it than one of another class.
But it shares its nearest neighbours with the query. So the first candidates are
compared with each other, and those gain that have neighbours in common with the
query (Z. Zhong, L. Zheng, D. Cao, S. Li, Re-ranking person re-identification
with k-reciprocal encoding, CVPR 2017). Sets are not widened here as they are
there.

Neighbours are sought among the candidates of each query, and nothing of them is
stored. So they are those of the models that are searched, whatever was added,
removed or filtered, and the cost does not depend on the size of a database.

The constants were chosen on the train split of the parts, see
`experiments/results/ablation.md`. Not in the patent.

Notation: C candidates, N vectors (views) of each, D numbers of a vector.
"""

import numpy as np

from dr3d.search.candidate import CANDIDATES, DECIMALS

COMMON_COUNT = CANDIDATES
"""Candidates of the highest score that are compared with each other."""

NEIGHBOURS = 15
"""Nearest models of a model. Two that are neighbours of each other count."""

AVERAGED = 4
"""Nearest models, itself included, whose neighbours are averaged."""

TEMPERATURE = 0.3
"""Cosines by which a neighbour counts e times less."""

KEPT = 5
"""First models that stay before all others, in their order."""

WEIGHT = 2.0
"""Cosines that a model gains which has all neighbours in common."""


def rate_neighbours(
  query: np.ndarray,
  models: np.ndarray,
  *,
  neighbours: int = NEIGHBOURS,
  averaged: int = AVERAGED,
  temperature: float = TEMPERATURE,
) -> np.ndarray:
  """How many neighbours candidates have in common with a query.

  Args:
    query: [N, D] unit vectors, vector n of view n.
    models: [C, N, D] unit vectors of candidates, of the same views.
    neighbours: see `NEIGHBOURS`, as for the following.
    averaged: see `AVERAGED`.
    temperature: see `TEMPERATURE`.

  Returns:
    float64 [C], 0 for no common neighbour to 1 for the same ones.
  """
  stacked = np.concatenate([query[None], models]).astype(np.float64)
  flat = stacked.reshape(len(stacked), -1)
  cosine = np.round(flat @ flat.T / len(query), DECIMALS)
  weight = _weigh(cosine, neighbours, averaged, temperature)
  common = np.minimum(weight[0], weight[1:]).sum(axis=1)
  return np.round(common / (2 - common), DECIMALS)


def rank_by_neighbours(
  total: np.ndarray, common: np.ndarray, *, weight: float | None = None
) -> np.ndarray:
  """Raises models that have neighbours in common with the query.

  The first ones stay and keep their order: which of them is the very part,
  their own similarity and surface tell better than their neighbours. Simulated
  scans of 40 parts had theirs among the first five for .975 so, and for .950 if
  only the first one was kept; average precision was .668 and .669.

  Args:
    total: [C], what ranks models so far; `-inf` for models that are not found.
    common: [C], see `rate_neighbours`; 0 for models that were not compared.
    weight: cosines that a model gains which has all neighbours in common;
      `WEIGHT` if None.

  Returns:
    What ranks them now, [C]; the first ones that are level stay level.
  """
  raised = total + (WEIGHT if weight is None else weight) * common
  found = np.isfinite(total)
  if found.any():
    last = np.sort(total[found])[-KEPT:].min()
    kept = found & (total >= last)
    top = raised.max(where=found, initial=-np.inf)
    raised[kept] = total[kept] - last + top + 1.0
  return np.round(raised, DECIMALS)


def _weigh(
  cosine: np.ndarray, neighbours: int, averaged: int, temperature: float
) -> np.ndarray:
  """How much each model counts as a neighbour of each: rows of sum 1.

  Args:
    cosine: [M, M] of models; a model is its own nearest neighbour.
    neighbours: see `NEIGHBOURS`, as for the following.
    averaged: see `AVERAGED`.
    temperature: see `TEMPERATURE`.
  """
  count = len(cosine)
  rank = min(neighbours, count - 1)
  last = np.sort(cosine, axis=1)[:, count - 1 - rank]
  is_near = cosine >= last[:, None]
  weight = np.exp((cosine - 1) / temperature) * (is_near & is_near.T)
  weight /= weight.sum(axis=1, keepdims=True)
  first = np.argsort(-cosine, axis=1, kind="stable")[:, :averaged]
  return weight[first].mean(axis=1)
