"""How alike two models are, from the vectors of their views.

Notation: Q queries, B models of the gallery, N unit vectors of each.
"""

import dataclasses

import numpy as np

from dr3d.search.candidate import rate_models

KINDS = ("max", "symmetric", "pooled", "aligned", "view_aligned", "vote")


@dataclasses.dataclass(frozen=True, eq=False)
class Similarity:
  """Numbers that are larger the more two models are alike.

  Attributes:
    parts: [Q, P, B]: of each of the P parts of a query (its views) to the
      models; each part votes for the most alike.
    whole: [Q, B]: of the models; what ranks them.
  """

  parts: np.ndarray
  whole: np.ndarray


def compare_vectors(
  queries: np.ndarray, gallery: np.ndarray, *, kind: str
) -> Similarity:
  """Compares sets of vectors.

  Args:
    queries: float32 [Q, N, D] unit vectors.
    gallery: float32 [B, N, D] unit vectors.
    kind: `"max"`: mean over the query's vectors of the best cosine to any
      vector of the model; `"symmetric"`: mean of that and of the same with
      query and model exchanged; `"pooled"`: cosine of the sums of the
      vectors; `"aligned"`: mean cosine of the vectors of the same view;
      `"view_aligned"`: mean of `"max"` and `"aligned"`, which trusts the pose
      by half, as `query.find_matches` does; `"vote"`: as `"max"`, to which
      `add_votes` adds the votes.

  Returns:
    The likeness; a part is a vector of the query, and its likeness to a model
    the best cosine to any of the model's vectors, or, where posed, what
    `candidate.rate_models` has it vote by.

  Raises:
    ValueError: the kind is unknown.
  """
  if kind not in KINDS:
    raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
  Q, N, D = queries.shape
  B = len(gallery)
  cosine = queries.reshape(-1, D) @ gallery.reshape(-1, D).T
  cosine = cosine.reshape(Q, N, B, -1)
  if kind == "view_aligned":
    rated = [rate_models(c.transpose(1, 2, 0), kind=kind) for c in cosine]
    return Similarity(
      np.stack([similarity.T for similarity, _ in rated]),
      np.stack([score for _, score in rated]),
    )
  parts = cosine.max(axis=3)
  if kind == "pooled":
    whole = _pool(queries) @ _pool(gallery).T
  elif kind == "aligned":
    whole = np.einsum("qnbn->qb", cosine) / N
  else:
    whole = parts.mean(axis=1)
    if kind == "symmetric":
      whole = (whole + cosine.max(axis=1).mean(axis=2)) / 2
  return Similarity(parts, whole)


def hide(similarity: Similarity, hidden: np.ndarray) -> Similarity:
  """Models that are not to be found, bool [q, B], are alike to nothing."""
  return Similarity(
    np.where(hidden[:, None], -np.inf, similarity.parts),
    np.where(hidden, -np.inf, similarity.whole),
  )


def find_nearest(parts: np.ndarray) -> np.ndarray:
  """The model that each part votes for: int [Q, P].

  Of equally near models the first, as in `dr3d query`; in single precision as
  there, or rounding would decide otherwise here.
  """
  return parts.astype(np.float32).argmax(axis=2)


def add_votes(similarity: Similarity) -> np.ndarray:
  """Ranks by votes, equal ones by the whole likeness: [Q, B].

  Args:
    similarity: of which `whole` is between -1 and 1, or `-inf`.
  """
  nearest = find_nearest(similarity.parts)
  votes = np.zeros(similarity.whole.shape)
  np.add.at(votes, (np.arange(len(votes))[:, None], nearest), 1)
  return votes + similarity.whole / 4  # less than a vote


def _pool(vectors: np.ndarray) -> np.ndarray:
  total = vectors.sum(axis=1)
  length = np.linalg.norm(total, axis=1, keepdims=True)
  return total / np.where(length > 0, length, 1)
