"""Answers that are relied on and wrong, by name."""

import dataclasses

import numpy as np

from dr3d.evaluation.acceptance import accept
from dr3d.evaluation.task import MethodResult, RetrievalTask
from dr3d.search.geometric_score import find_distance


@dataclasses.dataclass(frozen=True)
class FalseAccept:
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


def find_false_accepts(
  result: MethodResult, task: RetrievalTask, *, threshold: float
) -> list[FalseAccept]:
  """Lists what is relied on and wrong, in the order of the queries.

  Args:
    result: of Q queries.
    task: whose outcome it is.
    threshold: share of the accepted answers that are to be right.
  """
  known = result.known
  accepted, _ = accept(result, task, threshold=threshold)
  distance = find_distance(known.closeness)
  return [
    FalseAccept(
      task.queries[i],
      task.query_labels[i],
      known.predictions[i],
      task.models[known.models[i]],
      float(distance[i]) if np.isfinite(distance[i]) else None,
    )
    for i in np.flatnonzero(accepted & ~known.findings.right)
  ]
