import numpy as np
import pytest

from dr3d.image import composite

pytestmark = pytest.mark.fast


def _cutout(h=10, w=6):
  cutout = np.zeros((h + 4, w + 4, 4), np.float32)
  cutout[2:-2, 2:-2] = 0.8, 0.2, 0.1, 1
  return cutout


def test_paste_follows_the_over_operator():
  image = np.full((20, 20, 3), 0.5, np.float32)
  cutout = np.zeros((4, 4, 4), np.float32)
  cutout[..., :3], cutout[..., 3] = 0.25 * np.array([1, 0, 0]), 0.25
  new, cover = composite.paste(image, cutout, left=3, top=5)
  np.testing.assert_allclose(new[5, 3], [0.625, 0.375, 0.375])
  np.testing.assert_allclose(new[0, 0], 0.5)
  assert cover.sum() == pytest.approx(4)
  assert image.min() == 0.5


def test_paste_beyond_the_border_is_cut():
  image = np.zeros((8, 8, 3), np.float32)
  for left, top in ((-3, -2), (6, 7), (-100, 0)):
    new, cover = composite.paste(image, _cutout(), left=left, top=top)
    whole = np.zeros((300, 300), np.float32)
    whole[150 + top : 164 + top, 150 + left : 160 + left] = _cutout()[..., 3]
    np.testing.assert_array_equal(cover, whole[150:158, 150:158])
    np.testing.assert_array_equal(new.any(-1), cover > 0)


def test_trim_and_box_find_the_opaque_part():
  assert composite.find_box(_cutout()[..., 3]) == (2, 2, 6, 10)
  assert composite.trim(_cutout()).shape == (10, 6, 4)
  assert composite.find_box(np.zeros((3, 3))) is None
  with pytest.raises(ValueError, match="opaque"):
    composite.trim(np.zeros((3, 3, 4), np.float32))


def test_scale_keeps_the_colour_of_premultiplied_edges():
  small = composite.scale(_cutout(40, 24), 11)
  assert max(small.shape[:2]) == 11
  inside = small[..., 3] > 0.05
  straight = small[inside][:, :3] / small[inside][:, 3:]
  np.testing.assert_allclose(
    straight, [[0.8, 0.2, 0.1]] * len(straight), atol=1e-3
  )


def test_quarter_turn_swaps_the_sides():
  turned = composite.turn(composite.trim(_cutout(20, 10)), np.pi / 2)
  assert abs(turned.shape[0] - 10) <= 1
  assert abs(turned.shape[1] - 20) <= 1


def test_pixels_round_trip():
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (9, 9, 4), dtype=np.uint8)
  pixels[..., 3] |= 128
  again = composite.to_pixels(composite.to_cutout(pixels))
  assert np.abs(again.astype(int) - pixels).max() <= 1


def test_cut_out_keeps_the_object_only():
  image = np.full((12, 12, 3), 0.6, np.float32)
  mask = np.zeros((12, 12), np.float32)
  mask[3:7, 2:10] = 1
  cutout = composite.cut_out(image, mask)
  assert cutout.shape == (4, 8, 4)
  np.testing.assert_allclose(cutout[0, 0], [0.6, 0.6, 0.6, 1])


def test_shadow_darkens_only_and_somewhere():
  image = np.full((40, 40, 3), 0.5, np.float32)
  cover = np.zeros((40, 40), np.float32)
  cover[10:30, 10:30] = 1
  new = composite.cast_shadow(image, cover, np.random.default_rng(0))
  assert new.max() <= 0.5
  assert new.min() < 0.48
