"""The locator that ships, on a picture that is made here."""

import numpy as np
import pytest

from dr3d.image import composite
from dr3d.image.background import make_background
from dr3d.locate.instance import box_overlap
from dr3d.locate.locator import Locator, to_image
from dr3d.locate.query import frame_cutout

SIZE = (192, 256)


def _part(side=90):
  """A yellow ring with a blue bar: opaque where it is."""
  y, x = np.mgrid[:side, :side] - side / 2
  radius = np.hypot(x, y)
  ring = (radius < 0.45 * side) & (radius > 0.22 * side)
  bar = (np.abs(y) < 0.1 * side) & (np.abs(x) < 0.45 * side)
  shade = 0.6 + 0.4 * x[..., None] / side
  image = np.where(bar[..., None], [0.1, 0.2, 0.8], [0.95, 0.75, 0.1]) * shade
  alpha = (ring | bar).astype(np.float32)
  return np.concatenate(
    [image * alpha[..., None], alpha[..., None]], -1
  ).astype(np.float32)


def _scene(*, with_part, seed=4):
  image = make_background(np.random.default_rng(seed), SIZE, kind="tiles")
  cover = np.zeros(SIZE, np.float32)
  if with_part:
    part = composite.turn(composite.scale(_part(), 70), 0.4)
    image, cover = composite.paste(image, part, left=140, top=60)
  return np.rint(255 * image).astype(np.uint8), cover


@pytest.fixture(scope="module")
def locator():
  return Locator.load()


@pytest.fixture(scope="module")
def query(locator):
  return locator.prepare(frame_cutout(_part()))


def test_heat_is_highest_on_the_object(locator, query):
  medium, cover = _scene(with_part=True)
  heat = locator.heat_map(query, medium)
  assert heat.shape == SIZE
  assert heat.min() >= 0
  assert heat.max() <= 1
  box = composite.find_box(cover)
  y, x = np.unravel_index(np.argmax(heat), heat.shape)
  assert box[0] <= x < box[0] + box[2]
  assert box[1] <= y < box[1] + box[3]


def test_object_is_found_once_with_box_and_mask(locator, query):
  medium, cover = _scene(with_part=True)
  found = locator.find(query, medium)
  assert len(found) == 1
  assert box_overlap(found[0].box, composite.find_box(cover)) > 0.6
  assert 0 < found[0].score <= 1
  truth = cover > 0.5
  overlap = (found[0].mask & truth).sum() / (found[0].mask | truth).sum()
  assert overlap > 0.4


def test_search_is_find_and_heat_map_together(locator, query):
  medium, _ = _scene(with_part=True)
  found, heat = locator.search(query, medium)
  expected = locator.find(query, medium)
  assert [each.box for each in found] == [each.box for each in expected]
  np.testing.assert_array_equal(heat, locator.heat_map(query, medium))


def test_nothing_is_found_without_the_object(locator, query):
  assert locator.find(query, _scene(with_part=False)[0]) == []


def test_wrong_media_and_queries_raise(locator):
  with pytest.raises(ValueError, match="medium must be uint8"):
    to_image(np.zeros((4, 4, 3), np.float32))
  with pytest.raises(ValueError, match="1 to 32 views"):
    locator.prepare([])
