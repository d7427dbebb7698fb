import numpy as np
import pytest

from dr3d.locate.palette import compare_palettes, measure_palette

pytestmark = pytest.mark.fast

ALL = np.ones((20, 20), np.float32)


def _flat(color):
  return np.broadcast_to(np.array(color, np.float32), (20, 20, 3)).copy()


def test_palette_sums_to_one_and_an_empty_one_to_zero():
  assert measure_palette(_flat((0.8, 0.2, 0.1)), ALL).sum() == pytest.approx(1)
  assert measure_palette(_flat((1, 0, 0)), 0 * ALL).sum() == 0


def test_equal_colours_overlap_and_others_do_not():
  red = measure_palette(_flat((0.8, 0.2, 0.1)), ALL)
  blue = measure_palette(_flat((0.1, 0.2, 0.8)), ALL)
  assert compare_palettes(red, red)[0] == pytest.approx(1)
  assert compare_palettes(red, blue)[0] < 0.05


def test_shadow_changes_lightness_and_keeps_the_hue():
  red = measure_palette(_flat((0.8, 0.2, 0.1)), ALL)
  dark = measure_palette(_flat((0.45, 0.1, 0.05)), ALL)
  whole, hue, *_ = compare_palettes(red, dark)
  assert hue > whole
  assert hue > 0.5


def test_grey_query_is_not_colourful():
  grey = measure_palette(_flat((0.6, 0.6, 0.6)), ALL)
  red = measure_palette(_flat((0.8, 0.2, 0.1)), ALL)
  assert compare_palettes(grey, red)[2] < 0.05
  assert compare_palettes(red, grey)[2] > 0.9
