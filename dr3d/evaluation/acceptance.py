"""Which answers are relied on, as `dr3d query` does."""

import numpy as np

from dr3d.evaluation.predictions import Replies
from dr3d.evaluation.task import Outcome, Trial


def accept(
  outcome: Outcome, trial: Trial, *, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
  """Which answers are relied on, with models of their label and without.

  In a leave-one-out, what a query itself found does not decide over it.

  Args:
    outcome: of Q queries.
    trial: whose outcome it is.
    threshold: share of the accepted answers that are to be right.

  Returns:
    Two of bool [Q].
  """
  own = np.zeros(0, int) if trial.own is None else trial.own
  among = np.flatnonzero(np.isin(own, outcome.trust.models))
  others = [outcome.trust.without(own[i]) for i in among]

  def decide(replies: Replies) -> np.ndarray:
    accepted = outcome.trust.accept(replies.findings, threshold)
    for i, trust in zip(among, others, strict=True):
      one = replies.findings.pick(np.array([i]))
      accepted[[i]] = trust.accept(one, threshold)
    return accepted & (np.array(replies.predictions) != "")

  return decide(outcome.known), decide(outcome.strange)
