"""Heat maps to instances: components, boxes, masks at the picture's resolution.

`H W` pixels.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from dr3d.image.composite import find_box

HEAT_LEAST = 0.5  # heat of a pixel on the object
SEED_LEAST = 0.25  # of a component that is looked at more closely
CELLS_LEAST = 4  # of a component
OVERLAP_MOST = 0.5  # of the smaller of two masks, or they are one instance
GUIDE_RADIUS = 6  # pixels of the picture that is filtered
GUIDE_EPSILON = 1e-3  # variance of grey that counts as an edge


@dataclasses.dataclass(frozen=True, eq=False)
class Instance:
  """An object that was found.

  Attributes:
    box: x, y, width, height in pixels of the medium.
    mask: bool `[H, W]`.
    score: probability that it is the object of the query.
    view: index of the query's view that it resembles most.
  """

  box: tuple[int, int, int, int]
  mask: np.ndarray
  score: float
  view: int = 0


def split_components(
  heat: np.ndarray, *, least: float = SEED_LEAST
) -> list[np.ndarray]:
  """Connected regions of a map, the hottest first.

  Args:
    heat: `[h, w]` in [0, 1].
    least: heat of a region.

  Returns:
    bool `[h, w]` each.
  """
  count, labels = cv2.connectedComponents((heat > least).astype(np.uint8))
  regions = [labels == i for i in range(1, count)]
  regions = [each for each in regions if each.sum() >= CELLS_LEAST]
  return sorted(regions, key=lambda each: -float(heat[each].max()))


def refine_heat(heat: np.ndarray, image: np.ndarray) -> np.ndarray:
  """Moves the borders of a map to edges of the picture: a guided filter.

  Args:
    heat: float32 `[H, W]`, scaled up from a coarser grid.
    image: float32 `[H, W, 3]`.

  Returns:
    float32 `[H, W]` in [0, 1].

  References:
    He, Sun and Tang, Guided Image Filtering, ECCV 2010; of grey images.
  """
  guide = image.mean(axis=-1)
  side = 2 * GUIDE_RADIUS + 1

  def mean(x: np.ndarray) -> np.ndarray:
    return cv2.boxFilter(x, -1, (side, side))

  mean_guide, mean_heat = mean(guide), mean(heat)
  covariance = mean(guide * heat) - mean_guide * mean_heat
  variance = mean(guide * guide) - mean_guide**2
  a = covariance / (variance + GUIDE_EPSILON)
  b = mean_heat - a * mean_guide
  return np.clip(mean(a) * guide + mean(b), 0, 1)


def drop_repeated(instances: Sequence[Instance]) -> list[Instance]:
  """Keeps the best of instances that share most of a mask.

  Args:
    instances: in any order.

  Returns:
    Those that remain, best first.
  """
  kept: list[Instance] = []
  for each in sorted(instances, key=lambda instance: -instance.score):
    if all(_overlap(each, other) <= OVERLAP_MOST for other in kept):
      kept.append(each)
  return kept


def box_overlap(one: Sequence[float], other: Sequence[float]) -> float:
  """Intersection over union of two boxes x, y, width, height."""
  sides = [
    min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i])
    for i in (0, 1)
  ]
  shared = max(0.0, sides[0]) * max(0.0, sides[1])
  return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def make_instance(mask: np.ndarray, score: float, view: int) -> Instance | None:
  """An instance of a mask bool `[H, W]`; None if it is empty."""
  box = find_box(mask)
  return None if box is None else Instance(box, mask, score, view)


def _overlap(one: Instance, other: Instance) -> float:
  if box_overlap(one.box, other.box) == 0:
    return 0.0
  shared = np.count_nonzero(one.mask & other.mask)
  return shared / min(one.mask.sum(), other.mask.sum())
