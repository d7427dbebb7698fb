"""Measures of ranked lists, from a matrix of similarity.

Notation: Q queries, B models of the gallery, M models in a ranked list, R of
them relevant to its query. `hits` is bool [Q, M]: whether the model at a rank
is relevant. Every list holds all models of the gallery but the query itself, so
R is the number of its hits. Each measure is one number in [0, 1] for each
query; 1 is best.

Source: P. Shilane, P. Min, M. Kazhdan, T. Funkhouser, The Princeton Shape
Benchmark (Shape Modeling International 2004), section 5.
"""

import numpy as np

FIRST = 32  # models that the E-measure counts: a page of results in the paper
RECALLS = np.arange(1, 21) / 20

_DECIMALS = 6  # of a similarity, so that rounding errors do not decide ranks


def rank_models(
  similarity: np.ndarray,
  relevant: np.ndarray,
  *,
  excluded: np.ndarray | None = None,
) -> np.ndarray:
  """Sorts the models for each query, the most similar first.

  Similarity counts to six decimals. Of equally similar models those that are
  not relevant come first, then the order of the gallery decides: a tie never
  flatters, so a method that finds all models equally similar is the worst.

  Args:
    similarity: [Q, B]; `-inf` for models that were not found.
    relevant: bool [Q, B].
    excluded: int [Q], a model that is left out of each list, such as the
      query itself; None for none.

  Returns:
    int [Q, M]: models; M is B, or B - 1 if one is left out.

  Raises:
    ValueError: the shapes do not match, or a similarity is NaN.
  """
  similarity = np.asarray(similarity)
  if similarity.ndim != 2 or similarity.shape != np.shape(relevant):
    raise ValueError(
      "similarity and relevant must be [Q, B], got shapes"
      f" {similarity.shape} and {np.shape(relevant)}."
    )
  if np.isnan(similarity).any():
    query, model = np.argwhere(np.isnan(similarity))[0]
    raise ValueError(f"similarity[{query}, {model}] is NaN.")
  outside = np.zeros(similarity.shape, bool)
  if excluded is not None:
    np.put_along_axis(outside, np.asarray(excluded)[:, None], True, axis=1)
  # Stable, so that models of equal keys stay in the order of the gallery.
  order = np.lexsort(
    (relevant, -np.round(similarity, _DECIMALS), outside), axis=-1
  )
  return order if excluded is None else order[:, :-1]


def take_hits(relevant: np.ndarray, order: np.ndarray) -> np.ndarray:
  """Relevance in the order of the lists.

  Args:
    relevant: bool [Q, B].
    order: int [Q, M], from `rank_models`.

  Returns:
    bool [Q, M].
  """
  return np.take_along_axis(relevant, order, axis=1)


def nearest_neighbour(hits: np.ndarray) -> np.ndarray:
  """Whether the first model is relevant: NN, float [Q]."""
  return _check(hits)[:, 0].astype(np.float64)


def tier(hits: np.ndarray, *, tiers: int) -> np.ndarray:
  """Recall within the first `tiers · R` models, float [Q].

  One tier is FT, two are ST. In a leave-one-out R is one less than the size of
  the query's class.
  """
  hits = _check(hits)
  count = hits.sum(axis=1)
  inside = np.arange(hits.shape[1]) < tiers * count[:, None]
  return (hits & inside).sum(axis=1) / count


def e_measure(hits: np.ndarray, *, first: int = FIRST) -> np.ndarray:
  """Harmonic mean of precision and recall in the first models: E, float [Q].

  `E = 2 / (1/P + 1/R)`; zero if there is no hit. If there are fewer than
  `first` models, the precision is that of all.
  """
  hits = _check(hits)
  found = hits[:, :first].sum(axis=1)
  # 2 / (1/P + 1/R) with P = found / shown and R = found / count.
  shown = min(first, hits.shape[1])
  return 2 * found / (shown + hits.sum(axis=1))


def discounted_gain(hits: np.ndarray) -> np.ndarray:
  """Discounted cumulative gain of the whole list: DCG, float [Q].

  A hit at rank 1 counts 1, one at rank i counts 1 / log₂ i; the sum is divided
  by that of a list with all hits in front.
  """
  hits = _check(hits)
  place = np.arange(1, hits.shape[1] + 1)
  gain = 1 / np.log2(np.maximum(place, 2))
  best = np.cumsum(gain)[hits.sum(axis=1) - 1]
  return hits @ gain / best


def average_precision(hits: np.ndarray) -> np.ndarray:
  """Mean over the hits of the precision at their ranks: AP, float [Q].

  Its mean over queries is mAP. The precision is not interpolated.
  """
  precision, is_hit = _hit_precision(_check(hits))
  return precision.sum(axis=1, where=is_hit) / is_hit.sum(axis=1)


def recall_precision(
  hits: np.ndarray, *, recalls: np.ndarray = RECALLS
) -> np.ndarray:
  """Precision at the first rank with a recall: float [Q, len(recalls)].

  Args:
    hits: bool [Q, M].
    recalls: above 0, at most 1.
  """
  precision, is_hit = _hit_precision(_check(hits))
  count = is_hit.sum(axis=1, keepdims=True)
  # Subtracts more than a rounding error, so that 0.6 of 5 is 3 and not 4.
  place = np.ceil(np.asarray(recalls) * count - 1e-9).astype(int) - 1
  return np.take_along_axis(precision, np.maximum(place, 0), axis=1)


def _hit_precision(hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Precision at the k-th hit, and whether there is one, each [Q, max R]."""
  count = hits.sum(axis=1)
  most = int(count.max())
  place = np.argsort(~hits, axis=1, kind="stable")[:, :most] + 1
  k = np.arange(1, most + 1)
  return k / place, k <= count[:, None]


def _check(hits: np.ndarray) -> np.ndarray:
  hits = np.asarray(hits)
  if hits.ndim != 2 or hits.dtype != bool or not len(hits):
    raise ValueError(
      f"hits must be bool [Q, M], Q > 0, got {hits.dtype} {hits.shape}."
    )
  empty = np.flatnonzero(~hits.any(axis=1))
  if len(empty):
    raise ValueError(
      f"each list must hold a relevant model, query {empty[0]} has none."
    )
  return hits


def measure(hits: np.ndarray) -> dict[str, np.ndarray]:
  """All measures by their names, float [Q] each."""
  return {
    "NN": nearest_neighbour(hits),
    "FT": tier(hits, tiers=1),
    "ST": tier(hits, tiers=2),
    "E": e_measure(hits),
    "DCG": discounted_gain(hits),
    "mAP": average_precision(hits),
  }
