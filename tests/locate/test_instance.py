import numpy as np
import pytest

from dr3d.locate import highlight
from dr3d.locate.instance import (
  Instance,
  box_overlap,
  drop_repeated,
  make_instance,
  refine_heat,
  split_components,
)

pytestmark = pytest.mark.fast


def _mask(x, y, w, h, size=(40, 60)):
  mask = np.zeros(size, bool)
  mask[y : y + h, x : x + w] = True
  return mask


def test_components_come_hottest_first_and_specks_are_left_out():
  heat = np.zeros((20, 20), np.float32)
  heat[2:6, 2:6], heat[10:14, 10:14], heat[18, 18] = 0.6, 0.9, 1
  regions = split_components(heat)
  assert [int(region.sum()) for region in regions] == [16, 16]
  assert regions[0][11, 11]


def test_repeated_instance_is_kept_once():
  best = make_instance(_mask(5, 5, 10, 10), 0.9, 0)
  same = make_instance(_mask(6, 5, 9, 10), 0.8, 0)
  other = make_instance(_mask(30, 20, 10, 10), 0.5, 1)
  assert drop_repeated([other, same, best]) == [best, other]


def test_box_overlap_of_known_boxes():
  assert box_overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
  assert box_overlap((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
  assert box_overlap((0, 0, 2, 2), (5, 5, 2, 2)) == 0


def test_empty_mask_is_no_instance():
  assert make_instance(np.zeros((4, 4), bool), 1, 0) is None


def test_refined_border_moves_to_the_edge_of_the_picture():
  image = np.full((60, 60, 3), 0.1, np.float32)
  image[20:40, 20:40] = 0.9
  truth = image[..., 0] > 0.5
  y, x = np.mgrid[:60, :60]
  coarse = 1 / (1 + np.exp(0.35 * (np.hypot(x - 30.5, y - 29) - 11)))

  def overlap(heat):
    mask = heat > 0.5
    return (mask & truth).sum() / (mask | truth).sum()

  assert overlap(refine_heat(coarse.astype(np.float32), image)) > (
    overlap(coarse) + 0.03
  )


def test_highlight_keeps_the_object_and_dims_the_rest():
  medium = np.random.default_rng(0).integers(
    100, 255, (40, 60, 3), dtype=np.uint8
  )
  mask = _mask(20, 10, 20, 20)
  lit = highlight.highlight(medium, [Instance((20, 10, 20, 20), mask, 1.0)])
  np.testing.assert_array_equal(lit[14:26, 24:36], medium[14:26, 24:36])
  assert lit[0, 0].max() < medium[0, 0].min()
  assert highlight.highlight(medium, []).max() < 80


def test_heat_picture_is_brighter_where_it_is_hot():
  medium = np.full((10, 10, 3), 128, np.uint8)
  heat = np.zeros((10, 10), np.float32)
  heat[5:] = 1
  picture = highlight.draw_heat(medium, heat)
  assert picture[8].mean() > picture[1].mean() + 50
