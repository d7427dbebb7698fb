"""Which predictions are accepted, as `dr3d query` accepts them."""

import numpy as np

from dr3d.evaluation.predictions import Predictions
from dr3d.evaluation.task import MethodResult, RetrievalTask


def accept(
  result: MethodResult, task: RetrievalTask, *, target_precision: float
) -> tuple[np.ndarray, np.ndarray]:
  """Decides which predictions are accepted, with and without right matches.

  In a leave-one-out, a query's own observation does not count in the
  calibration that decides about it.

  Args:
    result: of Q queries.
    task: that the result is of.
    target_precision: share of the accepted predictions that are to be right.

  Returns:
    Two arrays bool [Q]: accepted among all models, and accepted without the
    models of the query's label, which are false accepts.
  """
  own = np.zeros(0, int) if task.own is None else task.own
  asked = np.flatnonzero(np.isin(own, result.calibration.models))
  others = [result.calibration.without(own[i]) for i in asked]

  def decide(predictions: Predictions) -> np.ndarray:
    observations = predictions.observations
    accepted = result.calibration.accept(observations, target_precision)
    for i, calibration in zip(asked, others, strict=True):
      one = observations.pick(np.array([i]))
      accepted[[i]] = calibration.accept(one, target_precision)
    return accepted & (np.array(predictions.labels) != "")

  return decide(result.known), decide(result.unknown)
