import numpy as np
import pytest

from dr3d.error import PictureError
from dr3d.image.mask import find_mask

pytest.importorskip("cv2")
pytestmark = pytest.mark.fast


def _draw(height=200, width=240, *, contrast, box=(80, 60, 70, 90)):
  """A box on paper that grows darker to the right, with noise."""
  rng = np.random.default_rng(0)
  paper = np.linspace(190, 120, width)[:, None] * [1, 1.02, 0.97]
  picture = np.broadcast_to(paper, (height, width, 3)).copy()
  x, y, w, h = box
  thing = np.zeros((height, width), bool)
  thing[y : y + h, x : x + w] = True
  picture[thing] += contrast
  picture += rng.normal(0, 2, picture.shape)
  alpha = np.full((height, width, 1), 255)
  whole = np.concatenate([np.clip(picture, 0, 255), alpha], axis=-1)
  return whole.astype(np.uint8), thing


def _iou(a, b):
  return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("contrast", [(60, -60, -80), (35, 35, 35)])
def test_thing_on_shaded_paper_is_found(contrast):
  # The light changes twice as much over the paper as from paper to thing.
  picture, thing = _draw(contrast=contrast)
  mask = find_mask(picture)
  assert mask.source == "border"
  assert _iou(mask.pixels, thing) > 0.93
  assert mask.box == pytest.approx((80, 60, 70, 90), abs=3)


def test_box_chooses_one_of_two_things():
  picture, thing = _draw(contrast=(60, -60, -80))
  other, second = _draw(contrast=(-80, 60, 0), box=(170, 20, 50, 50))
  picture[second] = other[second]
  mask = find_mask(picture, box=(160, 10, 70, 72))
  assert mask.source == "box"
  assert _iou(mask.pixels, second) > 0.9
  assert not (mask.pixels & thing).any()


def test_small_thing_is_looked_at_again_larger():
  picture, thing = _draw(
    900, 1200, contrast=(60, -60, -80), box=(500, 400, 90, 60)
  )
  assert _iou(find_mask(picture).pixels, thing) > 0.93


def test_alpha_is_the_mask():
  picture, thing = _draw(contrast=(0, 0, 0))
  picture[..., 3] = 255 * thing
  mask = find_mask(picture)
  assert mask.source == "alpha"
  assert (mask.pixels == thing).all()


def test_empty_paper_is_refused():
  picture = np.full((80, 80, 4), 200, np.uint8)
  picture[..., 3] = 255
  with pytest.raises(PictureError, match=r"nothing stands out .* of a\.jpg"):
    find_mask(picture, name="a.jpg")


def test_box_outside_of_the_picture_is_refused():
  picture, _ = _draw(contrast=(60, -60, -80))
  with pytest.raises(PictureError, match="240 x 200 pixels"):
    find_mask(picture, box=(500, 10, 30, 30))


def test_same_picture_gives_the_same_mask():
  picture, _ = _draw(contrast=(20, 20, 20))
  assert (find_mask(picture).pixels == find_mask(picture).pixels).all()
