import numpy as np
import pytest

from dr3d.locate import zoom
from dr3d.locate.zoom import Part, crop, propose_parts

pytestmark = pytest.mark.fast


def _picture(size=(300, 400)):
  y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
  return np.stack([x / size[1], y / size[0], 0.5 + 0 * x], -1)


@pytest.mark.parametrize("side", [48, 150, 400])
def test_place_is_the_inverse_of_crop(side):
  size = (300, 400)
  truth = np.zeros(size, np.float32)
  truth[100:160, 150:210] = 1
  part = Part(
    left=180 - side // 2, top=130 - side // 2, side=side, view=0, heat=1
  )
  cropped = crop(np.repeat(truth[..., None], 3, -1), part)[..., 0]
  placed = zoom._place(cropped, part, size)
  inside = np.zeros(size, bool)
  inside[
    max(0, part.top) : part.top + side, max(0, part.left) : part.left + side
  ] = True
  expected = (truth > 0.5) & inside
  overlap = (placed & expected).sum() / (placed | expected).sum()
  assert overlap > 0.93


def test_crop_shows_the_place_that_it_names():
  picture = _picture()
  patch = crop(picture, Part(left=100, top=50, side=192, view=0, heat=1))
  np.testing.assert_allclose(patch, picture[50:242, 100:292], atol=1e-5)
  beyond = crop(picture, Part(left=-96, top=0, side=192, view=0, heat=1))
  np.testing.assert_allclose(beyond[:, :90], zoom.BLANK, atol=1e-5)


def test_parts_are_squares_around_hot_regions():
  heat = np.zeros((75, 100), np.float32)
  heat[20:30, 40:60] = 0.8
  heat[60:64, 5:9] = 0.9
  view = np.zeros(heat.shape, int)
  view[20:30, 40:60] = 3
  parts = propose_parts(heat, view, (300, 400))
  assert [part.view for part in parts] == [0, 3]
  wide = parts[1]
  assert wide.side == pytest.approx(zoom.ZOOM_RATIO * 80, abs=4)
  assert wide.left + wide.side / 2 == pytest.approx(200, abs=3)
  assert wide.top + wide.side / 2 == pytest.approx(100, abs=3)


def test_cold_map_proposes_nothing():
  cold = np.full((20, 20), 0.1, np.float32)
  assert propose_parts(cold, cold.astype(int), (80, 80)) == []
