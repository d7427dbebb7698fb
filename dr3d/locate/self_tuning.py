"""The self-tuning loop: a trained locator cuts objects out of new pictures.

What it finds with confidence becomes cut-outs of the set, beside the originals;
new scenes are composed with them, and training continues from the weights.

References:
  US 2018/0260664 [0025, 0071]; the dotted arrow of FIG. 10.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dr3d.image.composite import cut_out
from dr3d.locate.dataset import CutoutRecord, ExpandedSet
from dr3d.locate.instance import Instance
from dr3d.locate.locator import Locator
from dr3d.locate.query import frame_cutout

CONFIDENT = 0.9  # probability of an instance that is cut out
LEAST_SIDE = 24  # pixels of its box: a smaller cut-out teaches blur
BORDER = 1  # pixels of the picture's border that a box must not touch


@dataclasses.dataclass(frozen=True)
class Extraction:
  """What a round of extraction did.

  Attributes:
    pictures: that were searched.
    cutouts: that were added.
  """

  pictures: int
  cutouts: int


def extract_cutouts(
  locator: Locator,
  data: ExpandedSet,
  pictures: Iterable[np.ndarray],
  models: Sequence[Sequence[str]],
  *,
  views: int = 4,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> Extraction:
  """Adds cut-outs of known models that unlabelled pictures show.

  Args:
    locator: a trained one.
    data: gets the cut-outs, with the source `"extracted"`.
    pictures: uint8 `[H, W, 3]` each.
    models: names of the models to ask each picture for.
    views: cut-outs of a model that ask together.
    progress: called with the pictures done and all.
  """
  queries = {}
  added = done = 0
  for picture, names in zip(pictures, models, strict=True):
    for name in names:
      if name not in queries:
        records = choose_views(data.by_model[name], views)
        queries[name] = locator.prepare(
          [frame_cutout(data.read_cutout(each.file)) for each in records]
        )
      found = locator.find(queries[name], picture, threshold=CONFIDENT)
      whole = [each for each in found if is_whole(each, picture.shape[:2])]
      cutouts = [
        cut_out(
          picture.astype(np.float32) / 255, instance.mask.astype(np.float32)
        )
        for instance in whole
      ]
      if cutouts:
        category = data.by_model[name][0].category
        data.add_cutouts(
          cutouts, model=name, category=category, source="extracted"
        )
        added += len(cutouts)
    done += 1
    progress(done, len(models))
  return Extraction(done, added)


def choose_views(
  records: Sequence[CutoutRecord], count: int
) -> list[CutoutRecord]:
  """The first cut-outs of a model that no network has made."""
  own = [each for each in records if each.source != "extracted"]
  return (own or list(records))[:count]


def is_whole(instance: Instance, size: tuple[int, int]) -> bool:
  """Whether an instance is large enough and not cut off by the border."""
  x, y, width, height = instance.box
  return (
    max(width, height) >= LEAST_SIDE
    and min(x, y) >= BORDER
    and x + width <= size[1] - BORDER
    and y + height <= size[0] - BORDER
  )
