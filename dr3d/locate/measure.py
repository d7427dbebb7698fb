"""How well a locator finds what is known to be there.

`H W` pixels.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dr3d.locate.instance import box_overlap, drop_repeated, make_instance
from dr3d.locate.locator import Locator
from dr3d.locate.network import QueryFeatures
from dr3d.locate.presence import Calibration
from dr3d.locate.zoom import Candidate

Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Score:
  """One picture asked for one object.

  Attributes:
    present: whether the picture shows it.
    pointed: whether the hottest pixel of the best candidate is on the object,
      whatever its probability.
    overlap: IoU of all that was found and all that is there; 0 if nothing was
      found.
    boxed: whether the best instance has a box with an IoU of at least 0.5.
    recall: share of the instances that a found box covers likewise.
    found: number of instances that were found.
  """

  present: bool
  pointed: bool
  overlap: float
  boxed: bool
  recall: float
  found: int


def score_candidates(
  candidates: Sequence[Candidate],
  mask: np.ndarray,
  boxes: Sequence[Box],
  calibration: Calibration,
) -> Score:
  """Compares candidates with the truth.

  Args:
    candidates: of a picture, from `Locator.list_candidates`.
    mask: `[H, W]`, above 0 where the object is visible.
    boxes: of its instances.
    calibration: decides what is found.
  """
  rates = [float(calibration.rate(c.evidence[None])[0]) for c in candidates]
  found = drop_repeated(
    [
      one
      for candidate, rate in zip(candidates, rates, strict=True)
      if rate >= calibration.threshold
      and (one := make_instance(candidate.mask, rate, candidate.view))
    ]
  )
  pointed = False
  if candidates:
    y, x = candidates[int(np.argmax(rates))].peak
    inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
    pointed = inside and bool(mask[y, x] > 0)
  overlaps = np.array(
    [[box_overlap(one.box, box) for box in boxes] for one in found]
  ).reshape(len(found), len(boxes))
  covered = overlaps.max(axis=0) >= 0.5 if len(found) else np.zeros(len(boxes))
  return Score(
    present=bool(len(boxes)),
    pointed=pointed,
    overlap=measure_overlap([one.mask for one in found], mask > 0),
    boxed=bool(len(found) and len(boxes) and overlaps[0].max() >= 0.5),
    recall=float(covered.mean()) if len(boxes) else 0.0,
    found=len(found),
  )


def measure_overlap(masks: Sequence[np.ndarray], truth: np.ndarray) -> float:
  """IoU of the union of masks with a mask, both bool `[H, W]`."""
  union = np.zeros(truth.shape, bool)
  for mask in masks:
    union |= mask
  either = np.count_nonzero(union | truth)
  return np.count_nonzero(union & truth) / either if either else 1.0


def label_candidates(
  locator: Locator, query: QueryFeatures, medium: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Evidence of each candidate, and whether it is the object.

  Args:
    locator: the locator.
    query: the query's features.
    medium: uint8 `[H, W, 3]`.
    mask: `[H, W]`, the number of the instance, 0 elsewhere.

  Returns:
    `[N, E]` and bool `[N]`: a mask that overlaps an instance by an IoU of at
    least one third.
  """
  candidates = locator.list_candidates(query, medium)
  right = []
  for candidate in candidates:
    overlaps = [
      measure_overlap([candidate.mask], mask == number)
      for number in np.unique(mask[mask > 0])
    ]
    right.append(max(overlaps, default=0.0) >= 1 / 3)
  evidence = [candidate.evidence for candidate in candidates]
  return np.array(evidence), np.array(right, bool)


def summarize(scores: Sequence[Score]) -> dict[str, float]:
  """Means over pictures with the object, and false alarms over the others."""
  shown = [score for score in scores if score.present]
  absent = [score for score in scores if not score.present]
  means = {
    "pointing": np.mean([score.pointed for score in shown]),
    "mask IoU": np.mean([score.overlap for score in shown]),
    "box": np.mean([score.boxed for score in shown]),
    "recall": np.mean([score.recall for score in shown]),
    "missed": np.mean([score.found == 0 for score in shown]),
  }
  result = (
    {name: float(value) for name, value in means.items()} if shown else {}
  )
  if absent:
    result["false alarms"] = float(np.mean([s.found > 0 for s in absent]))
  return result
