"""Votes → a label, and whether it may be relied on."""

import dataclasses

import numpy as np

from dr3d.search.candidate import DECIMALS

TARGET_PRECISION = 0.99
"""Share of the predictions called reliable that are to be right."""

AMBIGUOUS = "ambiguous"
UNKNOWN = "unknown"

_APART = 2.0  # the most that two cosines can differ
_KIN = 3  # models that tell how near those of a label lie to each other
_KIN_WEIGHT = 0.3  # of what they tell, in the nearness of a query


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What the query is, by vote.

  Attributes:
    label: the label with most votes; empty where no vote went to a labelled
      model.
    confidence: its share of the votes of all Q vectors, 0 to 1.
    probability: with which it is right, 0 to 1, if the gallery holds models of
      the query's label at all; see `calibration`.
    accepted: True if there is no reason to reject.
    reject_reason: `"ambiguous"` if the probability is below the target: models
      of another label are nearly as similar; `"unknown"` if models of unknown
      classes come as near; empty otherwise.
  """

  label: str
  confidence: float
  probability: float
  reject_reason: str = ""
  # The default makes FastAPI include the field.
  accepted: bool = dataclasses.field(default=True, init=False)

  def __post_init__(self):
    """Accepts what nothing rejects."""
    object.__setattr__(self, "accepted", not self.reject_reason)


def majority_vote(
  similarity: np.ndarray, labels: np.ndarray
) -> tuple[str, float]:
  """Names the label with most of the votes of a query's vectors.

  Each votes for the model most alike to it, of equal ones the first. Of equal
  labels that with the highest summed likeness wins, then the first by name.

  Args:
    similarity: [B, Q], what each of the query's vectors votes by.
    labels: str [B] of the models; a vote for an empty one is one for none.

  Returns:
    The label, empty where no vote went to one, and its share of the votes.
  """
  ballots: dict[str, list[float]] = {}
  if len(labels):
    # In single precision, or rounding would decide between equal ones.
    nearest = similarity.astype(np.float32, copy=False).argmax(axis=0)
    values = similarity[nearest, np.arange(len(nearest))]
    for label, value in zip(
      labels[nearest].tolist(), values.tolist(), strict=True
    ):
      if label:
        ballots.setdefault(label, []).append(value)
  if not ballots:
    return "", 0.0
  label = min(
    ballots,
    key=lambda name: (
      -len(ballots[name]),
      -round(sum(ballots[name]), DECIMALS),
      name,
    ),
  )
  return label, len(ballots[label]) / similarity.shape[1]


def vote_margin(
  similarity: np.ndarray, labels: np.ndarray, label: str
) -> float:
  """By how much a label is ahead of all others.

  The mean over the query's vectors of how much more alike the most alike model
  with the label is than the most alike one without; below 0 where they would
  rather vote otherwise.

  Args:
    similarity: [B, Q], what each of the query's vectors votes by.
    labels: str [B] of the models, empty where one has none.
    label: one of these; no model has an empty one.

  Returns:
    A difference of cosines; 2, the largest there is, where all models have the
    label, and -2 where none has.
  """
  own = (labels == label) & (label != "")
  if not own.any():
    return -_APART
  if own.all():
    return _APART
  ahead = similarity[own].max(axis=0) - similarity[~own].max(axis=0)
  return round(float(ahead.mean(dtype=np.float64)), DECIMALS)


def find_best(score: np.ndarray, labels: np.ndarray, label: str) -> int:
  """The place of the model with a label that scores highest, the first of some.

  Args:
    score: [B].
    labels: str [B] of the models.
    label: one of these.
  """
  own = np.flatnonzero(labels == label)
  return int(own[score[own].argmax()])


def find_same_class(
  labels: np.ndarray, model: int, searched: np.ndarray
) -> np.ndarray:
  """The models that tell how near a model's like should come to it.

  Args:
    labels: str [B] of the models.
    model: one of them.
    searched: int, ascending, the models that are searched.

  Returns:
    int, ascending: those searched, but for the model, that have its label; all
    of them where there is none.
  """
  others = searched[searched != model]
  kin = others[labels[others] == labels[model]]
  return kin if len(kin) else others


def normalise_by_density(score: float, kin: np.ndarray) -> float:
  """How near a query comes to a model, by the measure of the model's kin.

  Where kindred labels lie as near to each other as the models of one label do
  elsewhere, a score alone does not tell a query whose label is missing.

  Args:
    score: of the model, the most alike to the query of its label.
    kin: what the model itself scores by its kin; see `find_same_class`.

  Returns:
    The score less 0.3 of the mean of the kin's three highest ones; less nothing
    where there is no kin. Less all of it, a part would count as a stranger
    where the models of its label come from one hand and it from another.

  Source:
    After Breunig, Kriegel, Ng, Sander, LOF: Identifying Density-Based Local
    Outliers, 2000, Definition 7, with a difference in the place of the ratio.
    Not in the patent.
  """
  near = np.sort(np.asarray(kin, np.float64))[-_KIN:]
  typical = near.mean() if len(near) else 0.0
  return round(float(score) - _KIN_WEIGHT * float(typical), DECIMALS)
