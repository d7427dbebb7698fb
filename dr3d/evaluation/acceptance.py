"""Which predictions are accepted, as `dr3d query` accepts them."""

import numpy as np

from dr3d.evaluation.predictions import Predictions
from dr3d.evaluation.task import MethodResult, RetrievalTask


def accept(
  result: MethodResult, task: RetrievalTask, *, target_precision: float
) -> tuple[np.ndarray, np.ndarray]:
  """Which predictions are accepted, with models of their label and without.

  In a leave-one-out, a query's own observation does not decide about it.

  Args:
    result: of Q queries.
    task: whose result it is.
    target_precision: share of the accepted predictions that are to be right.

  Returns:
    Two of bool [Q]; the second are the false accepts.
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
