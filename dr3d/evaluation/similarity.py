"""How similar models are, from the vectors of their views.

Notation: Q queries, B models of the gallery, N unit vectors of each, P parts of
a query (its views).
"""

import dataclasses
from typing import Literal, get_args

import numpy as np

from dr3d.search.similarity import view_aligned

SimilarityKind = Literal[
  "max", "symmetric", "pooled", "aligned", "view_aligned", "vote"
]
KINDS: tuple[SimilarityKind, ...] = get_args(SimilarityKind)


@dataclasses.dataclass(frozen=True, eq=False)
class Similarity:
  """How similar queries and models are; larger is more similar.

  Attributes:
    parts: [Q, P, B], of each part of a query to each model. A part votes for
      the most similar model.
    whole: [Q, B], of each query to each model, which ranks the models.
  """

  parts: np.ndarray
  whole: np.ndarray


def compare_vectors(
  queries: np.ndarray, gallery: np.ndarray, *, kind: SimilarityKind
) -> Similarity:
  """Compares sets of vectors.

  Args:
    queries: float32 [Q, N, D] unit vectors.
    gallery: float32 [B, N, D] unit vectors.
    kind: `"max"`: mean over the query's vectors of the highest cosine to any
      vector of the model; `"symmetric"`: mean of that and of the same with
      query and model exchanged; `"pooled"`: cosine of the sums of the vectors;
      `"aligned"`: mean cosine of the vectors of the same view;
      `"view_aligned"`: the mean of `"max"` and `"aligned"`, as a query of a
      database has it; `"vote"`: as `"max"`, and `add_votes` adds the votes.

  Returns:
    The similarity. A part is a vector of the query, and its similarity to a
    model is the highest cosine to any of the model's vectors, or, if
    view-aligned, that of `search.similarity.view_aligned`.

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
    rated = [view_aligned(each.transpose(1, 2, 0)) for each in cosine]
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
  """Makes models impossible to find.

  Args:
    similarity: of q queries to B models.
    hidden: bool [q, B].

  Returns:
    The similarity, `-inf` for the hidden models.
  """
  return Similarity(
    np.where(hidden[:, None], -np.inf, similarity.parts),
    np.where(hidden, -np.inf, similarity.whole),
  )


def find_nearest(parts: np.ndarray) -> np.ndarray:
  """The model that each part votes for: int [Q, P].

  The first of equally near models. In single precision, as when a database is
  queried; otherwise rounding would decide differently.
  """
  return parts.astype(np.float32).argmax(axis=2)


def add_votes(similarity: Similarity) -> np.ndarray:
  """Ranks by votes, ties by the whole similarity: [Q, B].

  Args:
    similarity: its `whole` is between -1 and 1, or `-inf`.
  """
  nearest = find_nearest(similarity.parts)
  votes = np.zeros(similarity.whole.shape)
  np.add.at(votes, (np.arange(len(votes))[:, None], nearest), 1)
  return votes + similarity.whole / 4  # less than one vote


def _pool(vectors: np.ndarray) -> np.ndarray:
  total = vectors.sum(axis=1)
  length = np.linalg.norm(total, axis=1, keepdims=True)
  return total / np.where(length > 0, length, 1)
