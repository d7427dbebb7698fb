import numpy as np
import pytest

from dr3d.locate.dataset import ExpandedSet
from dr3d.locate.instance import Instance, make_instance
from dr3d.locate.self_tuning import (
  CONFIDENT,
  choose_views,
  extract_cutouts,
  is_whole,
)

pytestmark = pytest.mark.fast

BOX = (20, 10, 30, 40)


class _Finder:
  """Stands in for a locator that is sure of one box."""

  def __init__(self):
    self.thresholds = []

  def prepare(self, query):
    return len(query)

  def find(self, query, medium, *, threshold):
    self.thresholds.append(threshold)
    x, y, w, h = BOX
    mask = np.zeros(medium.shape[:2], bool)
    mask[y : y + h, x : x + w] = True
    return [make_instance(mask, 0.95, 0)]


@pytest.fixture
def data(tmp_path):
  data = ExpandedSet(tmp_path)
  cutout = np.ones((30, 30, 4), np.float32)
  for name in ("a", "b"):
    data.add_cutouts([cutout] * 6, model=name, category=f"of {name}")
  return data


def test_cutouts_of_pictures_join_the_originals(data):
  picture = np.full((80, 90, 3), 51, np.uint8)
  finder = _Finder()
  result = extract_cutouts(finder, data, [picture] * 2, [("a", "b"), ("a",)])
  assert (result.pictures, result.cutouts) == (2, 3)
  assert finder.thresholds == [CONFIDENT] * 3
  added = [each for each in data.by_model["a"] if each.source == "extracted"]
  assert len(added) == 2
  assert added[0].category == "of a"
  cutout = data.read_cutout(added[0].file)
  assert cutout.shape == (BOX[3], BOX[2], 4)
  np.testing.assert_allclose(cutout[..., :3], 0.2, atol=0.01)
  assert len(data.by_model["a"]) == 8


def test_extracted_cutouts_do_not_ask_for_further_ones(data):
  data.add_cutouts(
    [np.ones((30, 30, 4), np.float32)],
    model="a",
    category="of a",
    source="extracted",
  )
  assert {each.source for each in choose_views(data.by_model["a"], 10)} == (
    {"render"}
  )


@pytest.mark.parametrize(
  ("box", "whole"),
  [
    ((5, 5, 40, 40), True),
    ((0, 5, 40, 40), False),
    ((5, 5, 95, 40), False),
    ((5, 5, 12, 12), False),
  ],
)
def test_cut_off_and_small_instances_are_not_whole(box, whole):
  instance = Instance(box, np.zeros((80, 100), bool), 1.0)
  assert is_whole(instance, (80, 100)) == whole
