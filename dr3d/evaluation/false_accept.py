"""Accepted predictions that are wrong, by name."""

import dataclasses

import numpy as np

from dr3d.evaluation.acceptance import accept
from dr3d.evaluation.task import MethodResult, RetrievalTask
from dr3d.search.geometric_score import find_distance


@dataclasses.dataclass(frozen=True)
class FalseAccept:
  """A query whose prediction is accepted and wrong.

  Attributes:
    query: its name.
    label: its label.
    prediction: the label that was predicted.
    model: the best match with that label.
    distance: mean distance of its surface from the query's at equal size, in
      radii of the smallest enclosing sphere; None if it was not registered.
  """

  query: str
  label: str
  prediction: str
  model: str
  distance: float | None


def find_false_accepts(
  result: MethodResult, task: RetrievalTask, *, target_precision: float
) -> list[FalseAccept]:
  """Lists the false accepts, in the order of the queries.

  Args:
    result: of Q queries.
    task: that the result is of.
    target_precision: share of the accepted predictions that are to be right.
  """
  accepted, _ = accept(result, task, target_precision=target_precision)
  found = []
  for i in np.flatnonzero(accepted & ~result.known.right):
    evidence = result.known.evidence[i]
    distance = float(find_distance(evidence.geometric))
    found.append(
      FalseAccept(
        task.queries[i],
        task.query_labels[i],
        evidence.label,
        task.models[evidence.model],
        distance if np.isfinite(distance) else None,
      )
    )
  return found
