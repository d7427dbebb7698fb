"""Votes → a label, and how far it leads.

Notation: C candidates, Q vectors of the query.
"""

import numpy as np

from dr3d.search.candidate import DECIMALS, Candidates

MAX_MARGIN = 2.0  # the most that two cosines can differ

_NEIGHBOURS = 3  # of the found model's class, that tell how dense the class is
# Share of that density in the rejection score. With all of it, a part would
# count as unknown if the models of its class come from one maker and it from
# another.
_DENSITY_WEIGHT = 0.3


def find_voted(similarity: np.ndarray, neighbours: int = 1) -> np.ndarray:
  """The models that each vector of a query votes for.

  Args:
    similarity: [C, Q], what each of the query's vectors votes by.
    neighbours: K, the most similar models that a vector votes for; all if there
      are fewer.

  Returns:
    int [K, Q], indices of models, the most similar first and the first of equal
    ones.

  Raises:
    ValueError: neighbours is below 1.
  """
  if neighbours < 1:
    raise ValueError(f"neighbours must be at least 1, got {neighbours}")
  # In single precision, or rounding would decide between equal ones.
  similarity = similarity.astype(np.float32, copy=False)
  if neighbours == 1 and len(similarity):
    return similarity.argmax(axis=0)[None]
  return np.argsort(-similarity, axis=0, kind="stable")[:neighbours]


def count_votes(similarity: np.ndarray, neighbours: int = 1) -> np.ndarray:
  """How many votes each model gets: int [C]; see `find_voted`."""
  voted = find_voted(similarity, neighbours)
  return np.bincount(voted.reshape(-1), minlength=len(similarity))


def majority_vote(
  similarity: np.ndarray, labels: np.ndarray, *, neighbours: int = 1
) -> tuple[str, float]:
  """The label with most votes of a query's vectors.

  Each vector votes for the labels of the models most similar to it. Of labels
  with equal votes the highest summed similarity wins, then the first by name.

  Args:
    similarity: [C, Q], what each of the query's vectors votes by.
    labels: str [C] of the models; a vote for an empty one counts for no label.
    neighbours: models that a vector votes for.

  Returns:
    The label, empty if no vote went to one, and its share of the votes.

  References:
    WO 2021/178001 [0032]: the neighbours of each vector, classes counted.
  """
  votes: dict[str, list[float]] = {}
  total = 0
  if len(labels):
    voted = find_voted(similarity, neighbours)
    total = voted.size
    values = np.take_along_axis(similarity, voted, axis=0)
    for label, value in zip(
      labels[voted].T.reshape(-1).tolist(),
      values.T.reshape(-1).tolist(),
      strict=True,
    ):
      if label:
        votes.setdefault(label, []).append(value)
  if not votes:
    return "", 0.0
  label = min(
    votes,
    key=lambda name: (
      -len(votes[name]),
      -round(sum(votes[name]), DECIMALS),
      name,
    ),
  )
  return label, len(votes[label]) / total


def vote_model(
  similarity: np.ndarray, *, neighbours: int = 1
) -> tuple[int, float]:
  """The model that a query's vectors name most, if none has a label.

  Of models with equal votes the highest summed similarity wins, then the first.

  Args:
    similarity: [C, Q], C at least 1.
    neighbours: see `find_voted`.

  Returns:
    Its index, and its share of the query's vectors.

  References:
    WO 2021/178001 [0032]: the model named most often is the prediction.
  """
  votes = count_votes(similarity, neighbours)
  total = np.round(similarity.sum(axis=1, dtype=np.float64), DECIMALS)
  best = int(np.lexsort((-total, -votes))[0])
  return best, int(votes[best]) / similarity.shape[1]


def vote_margin(
  candidates: Candidates, labels: np.ndarray, label: str
) -> float:
  """How far a label leads the others.

  The mean over the query's vectors of the difference between the most similar
  candidate with the label and the most similar one without. It is below 0 if
  the vectors would rather vote for another label.

  Args:
    candidates: of the query. If all of them have the label but other models may
      exist, their rivals are at most as similar as the least similar candidate.
    labels: str [C] of the candidates, empty if one has none.
    label: one of these; an empty label belongs to no model.

  Returns:
    A difference of cosines; 2, the largest there is, if all models have the
    label, and -2 if none has.
  """
  own = (labels == label) & (label != "")
  if not own.any():
    return -MAX_MARGIN
  if not own.all():
    rival = candidates.similarity[~own].max(axis=0)
  elif candidates.is_complete:
    return MAX_MARGIN
  else:
    rival = candidates.similarity.min(axis=0)
  margin = candidates.similarity[own].max(axis=0) - rival
  return round(float(margin.mean(dtype=np.float64)), DECIMALS)


def find_best(score: np.ndarray, labels: np.ndarray, label: str) -> int:
  """Index of the model with a label that scores highest, the first of equals.

  Args:
    score: [C].
    labels: str [C] of the models.
    label: one of these.
  """
  own = np.flatnonzero(labels == label)
  return int(own[score[own].argmax()])


def find_same_class(labels: np.ndarray, index: int) -> np.ndarray:
  """Candidates that tell how dense the class of one of them is.

  Args:
    labels: str [C] of the candidates.
    index: of one of them.

  Returns:
    int, ascending: the others with its label; all others if there is none.
  """
  others = np.arange(len(labels)) != index
  same = others & (labels == labels[index])
  return np.flatnonzero(same if same.any() else others)


def normalise_by_density(score: float, neighbours: np.ndarray) -> float:
  """How near a query comes to a model, measured by the model's neighbours.

  Where related classes lie as near to each other as the models of one class do
  elsewhere, a score alone does not reveal a query of an unknown class.

  Args:
    score: of the model, the most similar to the query of its label.
    neighbours: scores of the model against those of `find_same_class`.

  Returns:
    The score minus 0.3 of the mean of the three highest neighbours; the score
    itself if there are none.

  References:
    After Breunig, Kriegel, Ng, Sander, LOF: Identifying Density-Based Local
    Outliers, 2000, Definition 7, with a difference instead of the ratio. Not in
    the patent.
  """
  near = np.sort(np.asarray(neighbours, np.float64))[-_NEIGHBOURS:]
  density = near.mean() if len(near) else 0.0
  return round(float(score) - _DENSITY_WEIGHT * float(density), DECIMALS)
