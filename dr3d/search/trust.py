"""Trust: how near a query has to come to a gallery to be relied on.

The votes tell which of the labels fits a query best, not whether any of them
does: of models whose own label is missing many are given another one with
nearly all votes. How near such strangers come depends on the gallery, so the
gallery tells it itself: some of its models are asked for, with all models of
their label left out. A query that is to be relied on has to come nearer than
nine in ten of these: a conformal test of the hypothesis that its label is
missing, with the score of the first match as the measure (Vovk, Gammerman,
Shafer, Algorithmic Learning in a Random World, 2005, ch. 2).

Where labels share a shape no score tells them apart. So the test may not cost
more than one in ten of the answers about fellows: models whose label is there.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from dr3d.search.candidate import rate_models
from dr3d.search.vote import counts, predict

SHARE = 0.1  # of strangers that may pass, and of fellows that may be stopped
COUNT = 64  # models asked for at most

_CHUNK = 1024  # models compared at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
  """What several queries found.

  Attributes:
    confidence: [S] share of the votes of the label that is predicted.
    score: [S] of the first match.
  """

  confidence: np.ndarray
  score: np.ndarray

  def accept(self, threshold: float, floor: float) -> np.ndarray:
    """Which are relied on: bool [S].

    Args:
      threshold: confidence from which votes count.
      floor: score that has to be exceeded.
    """
    return counts(self.confidence, threshold) & (self.score > floor)


@dataclasses.dataclass(frozen=True, eq=False)
class Trust:
  """What models of a gallery find in it.

  Attributes:
    strangers: with all models of their label left out.
    fellows: with only themselves left out, where another has their label.
  """

  strangers: Findings
  fellows: Findings

  def find_floor(self, threshold: float) -> float:
    """The score that an answer has to exceed to be relied on.

    Args:
      threshold: confidence from which votes count.

    Returns:
      The lowest score that at most `SHARE` of the strangers exceed with votes
      that count, but one that all but `SHARE` of the fellows with such votes
      exceed; `-inf` where nobody is to be stopped.
    """
    allowed = int(SHARE * len(self.strangers.score))
    near = self._sort(self.strangers, threshold)[::-1]
    if allowed >= len(near):
      return -np.inf
    fellows = self._sort(self.fellows, threshold)
    if not len(fellows):
      return float(near[allowed])
    bound = np.nextafter(fellows[int(SHARE * len(fellows))], -np.inf)
    return float(min(near[allowed], bound))

  @staticmethod
  def _sort(findings: Findings, threshold: float) -> np.ndarray:
    return np.sort(findings.score[counts(findings.confidence, threshold)])


def choose_models(labels: Sequence[str], *, seed: int = 0) -> np.ndarray:
  """Draws the models that are asked for.

  Args:
    labels: of B models, empty where one has none.
    seed: of the draw.

  Returns:
    int [S], at most `COUNT` models with a label; none where there are no two
    labels.
  """
  known = np.flatnonzero([label != "" for label in labels])
  if len(set(labels) - {""}) < 2:
    return known[:0]
  return np.random.default_rng(seed).permutation(known)[:COUNT]


def have_fellows(models: np.ndarray, labels: Sequence[str]) -> np.ndarray:
  """Which of some models share their label with another one: bool [S]."""
  count = collections.Counter(labels)
  return np.array([count[labels[model]] > 1 for model in models], bool)


def measure_trust(
  features: np.ndarray, labels: Sequence[str], *, kind: str
) -> Trust:
  """Asks a gallery for some of its own models.

  Args:
    features: float32 [B, N, D] unit vectors of the models.
    labels: of the models, empty where one has none.
    kind: of likeness; see `candidate.rate_models`.
  """
  models = choose_models(labels)
  S, B, N, D = len(models), *features.shape
  names = np.array(labels)
  hidden = np.stack(
    [names[models, None] == names, models[:, None] == np.arange(B)]
  )
  queries = features[models]
  nearest = np.zeros((2, S, N), int)
  likeness = np.full((2, S, N), -np.inf, np.float32)
  score = np.full((2, S), -np.inf)
  for start in range(0, B if S else 0, _CHUNK):
    part = features[start : start + _CHUNK]
    cosine = queries.reshape(-1, D) @ part.reshape(-1, D).T
    cosine = cosine.reshape(S, N, len(part), N)
    for i in range(S):
      voted, whole = rate_models(cosine[i].transpose(1, 2, 0), kind=kind)
      for j, hides in enumerate(hidden[:, i, start : start + _CHUNK]):
        seen = np.where(hides[:, None], -np.inf, voted)
        first = seen.argmax(axis=0)
        highest = seen[first, np.arange(N)]
        is_nearer = highest > likeness[j, i]
        nearest[j, i] = np.where(is_nearer, start + first, nearest[j, i])
        likeness[j, i] = np.maximum(highest, likeness[j, i])
        score[j, i] = max(score[j, i], whole[~hides].max(initial=-np.inf))
  confidence = np.array(
    [
      predict([labels[m] for m in models], values, threshold=0).confidence
      for models, values in zip(
        nearest.reshape(-1, N), likeness.reshape(-1, N), strict=True
      )
    ]
  ).reshape(2, S)
  near = have_fellows(models, labels)
  return Trust(
    Findings(confidence[0], score[0]),
    Findings(confidence[1, near], score[1, near]),
  )
