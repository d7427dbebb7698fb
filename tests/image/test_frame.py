import numpy as np
import pytest

from dr3d.image.frame import FILL, Square, cut_square, find_hull, fit_square

pytest.importorskip("cv2")
pytestmark = pytest.mark.fast


def _bar():
  """A bar of 60 x 20 pixels around x = 100.5, y = 80.5 after a half pixel."""
  mask = np.zeros((160, 200), bool)
  mask[70:90, 70:130] = True
  return mask


def test_square_fits_tightly_around_a_bar():
  square = fit_square(find_hull(_bar()))
  assert (square.x, square.y) == pytest.approx((100, 80), abs=0.01)
  assert square.side * FILL == pytest.approx(60, abs=0.01)


@pytest.mark.parametrize("turn", [0, 30, 90, 200])
def test_thing_fills_the_turned_square(turn):
  mask = _bar().astype(np.float32)
  square = fit_square(find_hull(mask > 0), turn=turn)
  cut = cut_square(mask, square, size=100) > 0.5
  rows, columns = (np.flatnonzero(cut.any(axis=axis)) for axis in (1, 0))
  sides = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
  assert max(sides) == pytest.approx(FILL * 100, abs=3)
  for at in (rows, columns):
    assert (at[0] + at[-1]) / 2 == pytest.approx(49.5, abs=1.5)


def test_turn_is_counter_clockwise():
  mask = _bar().astype(np.float32)
  mask[:, 115:] *= 0.5  # the right end is darker
  square = fit_square(find_hull(mask > 0.2), turn=90)
  cut = cut_square(mask, square, size=64)
  # The right end comes to the top.
  assert cut[6, 32] == pytest.approx(0.5, abs=0.01)
  assert cut[58, 32] == pytest.approx(1, abs=0.01)


def test_large_picture_is_averaged_not_sampled():
  stripes = np.tile(np.array([0, 1], np.float32), (400, 200))
  cut = cut_square(stripes, Square(200, 200, 300), size=30)
  assert np.abs(cut - 0.5).max() < 0.2


def test_beyond_the_border_is_its_edge_or_nothing():
  picture, square = np.ones((50, 50), np.float32), Square(0, 25, 40)
  assert cut_square(picture, square, size=32)[16, 2] == 1
  assert cut_square(picture, square, size=32, beyond="empty")[16, 2] == 0


def test_empty_mask_raises():
  with pytest.raises(ValueError, match="without pixels"):
    find_hull(np.zeros((5, 5), bool))
