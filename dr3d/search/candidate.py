"""Which models may be an answer, and how alike they are to the query.

Notation: B models, N vectors of each; Q vectors of the query, D numbers each; C
candidates.

`"max"` is the likeness of the patent's vote: a model is as alike to a vector
of the query as its nearest vector is, and its score is the mean of these.

`"view_aligned"` knows that vectors are of the same views. The likeness of a
model to vector n of the query is the mean of the highest cosine to any vector
of the model and of that to its vector n, and its score the mean of these over
n. So it trusts the pose by half: in its own axes a model shows view n what its
like shows it, but where axes are undecided, another view shows it. A vector
votes by its own likeness and by a share of the score, since a single picture is
easily mistaken: of held-out training parts that told the label of .91 instead
of .84 as filed, and of .82 instead of .75 as imitated scans.
"""

import dataclasses

import numpy as np

from dr3d.index.vector_index import Index

KINDS = ("view_aligned", "max")
DECIMALS = 6  # of a score: rounding errors do not decide the order

_DEPTH = 16  # neighbours looked up for each match wanted
_DENSE = 1 / 32  # of the vectors: for more, every model is scored
_CHUNK = 4096  # models scored at a time
_SLACK = 1e-4  # more than a cosine is off in single precision
_WHOLE = 0.15  # of the score in what a vector votes by


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
  """Models that are certain to hold the first k and all that are voted for.

  Attributes:
    models: int [C], ascending.
    similarity: float32 [C, Q], what each query vector votes by.
    score: float64 [C].
    every: float32 [A, Q], the likeness of all models that are searched, in
      single precision throughout; None where that was not needed.
  """

  models: np.ndarray
  similarity: np.ndarray
  score: np.ndarray
  every: np.ndarray | None = None

  @property
  def order(self) -> np.ndarray:
    """Places of the models by score, equal ones as they stand: int [C]."""
    return np.argsort(-self.score, kind="stable")


def find_candidates(
  features: np.ndarray,
  stored: np.ndarray,
  index: Index,
  *,
  k: int,
  allowed: np.ndarray,
  kind: str,
) -> Candidates:
  """Finds candidates: of what ScaNN proposes, where that will do, or of all.

  Args:
    features: float32 [Q, D] unit vectors of the query.
    stored: float32 [B, N, D] unit vectors of the models.
    index: over the B·N vectors; row b·N + n is view n of model b.
    k: how many are wanted, at most as many as are allowed.
    allowed: bool [B], which models are searched.
    kind: one of `KINDS`.
  """
  depth = _DEPTH * k
  if index.backend == "scann" and depth <= _DENSE * len(index.vectors):
    hits = index.search(features, depth)
    owner = hits.ids // stored.shape[1]
    models = np.unique(owner[allowed[owner]])
    if len(models) >= k:
      found = _compare(features, stored, models, kind=kind)
      if _are_certain(found, hits.similarity[:, -1], k=k, kind=kind):
        return found
  searched = np.flatnonzero(allowed)
  every, score = rate_stored(features, stored, searched, kind=kind)
  found = _compare(
    features, stored, searched[_screen(every, score, k=k)], kind=kind
  )
  return dataclasses.replace(found, every=every)


def _are_certain(
  found: Candidates, last: np.ndarray, *, k: int, kind: str
) -> bool:
  """Whether no model outside a look-up is among the first k or voted for.

  Such a model has, for each query vector, no cosine above that of the last
  neighbour found, [Q], so it is alike at most as one whose cosines are these.
  """
  count = len(last)
  highest = np.broadcast_to(last.astype(np.float64), (1, count, count))
  reach, limit = rate_models(highest, kind=kind)
  is_first = found.score[found.order[k - 1]] > _round(limit[0])
  # The last neighbour itself may be what is voted for.
  is_voted = found.similarity.max(axis=0) >= reach[0].astype(np.float32)
  return bool(is_first and is_voted.all())


def _screen(similarity: np.ndarray, score: np.ndarray, *, k: int) -> np.ndarray:
  """Leaves out what is neither among the first k nor voted for.

  With room for the errors of single precision.

  Args:
    similarity: float32 [A, Q].
    score: float32 [A].
    k: at most A.

  Returns:
    bool [A], which are left.
  """
  least = np.partition(score, len(score) - k)[len(score) - k]
  voted = (similarity >= similarity.max(axis=0) - _SLACK).any(axis=1)
  return voted | (score >= least - _SLACK)


def _compare(
  features: np.ndarray, stored: np.ndarray, models: np.ndarray, *, kind: str
) -> Candidates:
  """Scores models in float64.

  So equal vectors give equal numbers wherever they stand.
  """
  query = features.astype(np.float64)
  similarity, score = rate_stored(query, stored, models, kind=kind)
  return Candidates(models, similarity, _round(score))


def rate_stored(
  features: np.ndarray, stored: np.ndarray, models: np.ndarray, *, kind: str
) -> tuple[np.ndarray, np.ndarray]:
  """Tells how alike some of the models are to a query.

  Args:
    features: [Q, D] unit vectors of the query, of the precision of the work.
    stored: float32 [B, N, D] unit vectors of the models.
    models: int [C], ascending.
    kind: one of `KINDS`.

  Returns:
    What each of the query's vectors votes by, float32 [C, Q], and the scores
    [C].
  """
  similarity = np.empty((len(models), len(features)), np.float32)
  score = np.empty(len(models), features.dtype)
  for start in range(0, len(models), _CHUNK):
    chunk = slice(start, start + _CHUNK)
    whole = len(models) == len(stored)
    part = stored[chunk if whole else models[chunk]]
    part = part.astype(features.dtype, copy=False)
    cosine = part.reshape(-1, part.shape[2]) @ features.T
    cosine = cosine.reshape(len(part), -1, len(features))
    similarity[chunk], score[chunk] = rate_models(cosine, kind=kind)
  return similarity, score


def rate_models(
  cosine: np.ndarray, *, kind: str
) -> tuple[np.ndarray, np.ndarray]:
  """Tells how alike models are to a query.

  Args:
    cosine: [C, N, Q], of N vectors of C models to Q of the query.
    kind: one of `KINDS`; Q is N for `"view_aligned"`.

  Returns:
    What each of the query's vectors votes by [C, Q], and the scores [C].
  """
  similarity = cosine.max(axis=1)
  if kind == "max":
    return similarity, similarity.mean(axis=1)
  similarity = (similarity + np.einsum("cnn->cn", cosine)) / 2
  score = similarity.mean(axis=1)
  return similarity + _WHOLE * score[:, None], score


def _round(score: np.ndarray) -> np.ndarray:
  return np.round(score, DECIMALS) + 0.0  # no negative zero
