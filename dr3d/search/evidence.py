"""What the candidates of a query say about its label.

The one place where votes become evidence: for a query of a database, for the
calibration of a database, and for every method of an evaluation.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from dr3d.search.candidate import Candidates
from dr3d.search.geometric_score import add_geometric_score, compare_labels
from dr3d.search.vote import (
  MAX_MARGIN,
  find_best,
  find_same_class,
  majority_vote,
  normalise_by_density,
  vote_margin,
)

ScorePairs = Callable[[int, np.ndarray], np.ndarray]
"""A model and C others → scores [C] of the model as a query among them."""


@dataclasses.dataclass(frozen=True)
class Evidence:
  """How sure a predicted label is.

  Attributes:
    label: by majority vote, empty if no vote went to a labelled model.
    confidence: its share of the votes, 0 to 1.
    margin: how far it leads; see `vote.vote_margin`. The geometric score of
      registered models is added.
    rejection_score: how near the query comes to the label's best model; see
      `vote.normalise_by_density`. The geometric score is added likewise.
    model: the best model with the label, geometry included; -1 if none.
    geometric: geometric score of that model, 0 if it was not registered.
  """

  label: str
  confidence: float
  margin: float
  rejection_score: float
  model: int
  geometric: float


NO_EVIDENCE = Evidence("", 0.0, -MAX_MARGIN, 0.0, -1, 0.0)


def weigh(
  candidates: Candidates,
  labels: np.ndarray,
  score_pairs: ScorePairs,
  *,
  geometric: np.ndarray | None = None,
  neighbours: int = 1,
) -> Evidence:
  """Predicts a label from the candidates, and measures how sure it is.

  Args:
    candidates: C models.
    labels: str [C] of these, empty if one has none.
    score_pairs: compares models with each other as queries are compared.
    geometric: [C] geometric scores; 0 for models that were not registered.
    neighbours: models that a vector votes for; see `vote.find_voted`.
  """
  label, confidence = majority_vote(
    candidates.similarity, labels, neighbours=neighbours
  )
  if not label:
    return NO_EVIDENCE
  if geometric is None:
    geometric = np.zeros(len(labels))
  support = compare_labels(geometric, labels, label)
  nearest = find_best(candidates.score, labels, label)
  same_class = candidates.models[find_same_class(labels, nearest)]
  rejection_score = normalise_by_density(
    candidates.score[nearest],
    score_pairs(int(candidates.models[nearest]), same_class),
  )
  best = find_best(
    add_geometric_score(candidates.score, geometric), labels, label
  )
  return Evidence(
    label,
    confidence,
    vote_margin(candidates, labels, label) + support,
    rejection_score + support,
    int(candidates.models[best]),
    float(geometric[best]),
  )
