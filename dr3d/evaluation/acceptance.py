"""Which answers are relied on, as `dr3d query` does."""

import numpy as np

from dr3d.evaluation.predictions import Predictions
from dr3d.evaluation.task import MethodResult, RetrievalTask


def accept(
  result: MethodResult, task: RetrievalTask, *, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
  """Which answers are relied on, with models of their label and without.

  In a leave-one-out, what a query itself found does not decide over it.

  Args:
    result: of Q queries.
    task: whose outcome it is.
    threshold: share of the accepted answers that are to be right.

  Returns:
    Two of bool [Q].
  """
  own = np.zeros(0, int) if task.own is None else task.own
  among = np.flatnonzero(np.isin(own, result.calibration.models))
  others = [result.calibration.without(own[i]) for i in among]

  def decide(replies: Predictions) -> np.ndarray:
    accepted = result.calibration.accept(replies.findings, threshold)
    for i, calibration in zip(among, others, strict=True):
      one = replies.findings.pick(np.array([i]))
      accepted[[i]] = calibration.accept(one, threshold)
    return accepted & (np.array(replies.predictions) != "")

  return decide(result.known), decide(result.strange)
