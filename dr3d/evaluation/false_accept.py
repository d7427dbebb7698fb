"""Answers that are relied on and wrong, by name."""

import dataclasses

import numpy as np

from dr3d.evaluation.acceptance import accept
from dr3d.evaluation.task import Outcome, Trial
from dr3d.search.geometric_score import find_distance


@dataclasses.dataclass(frozen=True)
class Mistake:
  """A query whose answer is relied on and wrong.

  Attributes:
    query: its name.
    label: its label.
    prediction: the label that it was given.
    model: of those with that label the one that comes first.
    distance: of its surface from that of the query, both at one size, mean, in
      radii of the smallest enclosing sphere; None where it was not laid upon
      the query.
  """

  query: str
  label: str
  prediction: str
  model: str
  distance: float | None


def find_mistakes(
  outcome: Outcome, trial: Trial, *, threshold: float
) -> list[Mistake]:
  """Lists what is relied on and wrong, in the order of the queries.

  Args:
    outcome: of Q queries.
    trial: whose outcome it is.
    threshold: share of the accepted answers that are to be right.
  """
  known = outcome.known
  accepted, _ = accept(outcome, trial, threshold=threshold)
  distance = find_distance(known.closeness)
  return [
    Mistake(
      trial.queries[i],
      trial.query_labels[i],
      known.predictions[i],
      trial.models[known.models[i]],
      float(distance[i]) if np.isfinite(distance[i]) else None,
    )
    for i in np.flatnonzero(accepted & ~known.findings.right)
  ]
