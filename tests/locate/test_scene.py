import numpy as np
import pytest

from dr3d.locate import scene as scene_lib
from dr3d.locate.scene import compose_scene

pytestmark = pytest.mark.fast

GREY = np.full((96, 96, 3), 0.5, np.float32)


def _disc(color, side=60):
  y, x = np.mgrid[:side, :side] - side / 2
  alpha = (np.hypot(x, y) < side / 2 - 2).astype(np.float32)
  return np.concatenate(
    [alpha[..., None] * np.array(color, np.float32), alpha[..., None]], -1
  )


def _compose(seed, targets, clutter, **options):
  rng = np.random.default_rng(seed)
  return compose_scene(
    rng, targets, clutter, size=(96, 96), background=GREY.copy(), **options
  )


def test_mask_covers_the_visible_target_and_nothing_else():
  for seed in range(10):
    scene = _compose(
      seed, [_disc((1, 0, 0))], [_disc((0, 1, 0))] * 3, distorted=False
    )
    red = (scene.image[..., 0] > 180) & (scene.image[..., 1] < 80)
    shown = scene.mask > 0
    assert np.mean(red & ~shown) < 0.01
    # A soft shadow may darken the target, but no green lies on it.
    green = (scene.image[..., 1] > 150) & (scene.image[..., 0] < 80)
    assert np.mean(green & shown) < 0.01


def test_boxes_and_occlusion_agree_with_the_mask():
  for seed in range(10):
    scene = _compose(
      seed, [_disc((1, 0, 0))] * 2, [_disc((0, 1, 0))] * 2, distorted=False
    )
    for i, (x, y, w, h) in enumerate(scene.boxes, start=1):
      rows, columns = np.nonzero(scene.mask == i)
      assert x <= columns.min() <= columns.max() < x + w
      assert y <= rows.min() <= rows.max() < y + h
      assert 0 <= scene.occlusions[i - 1] <= 1 - scene_lib.VISIBLE_LEAST + 0.01


def test_scene_without_target_has_no_instance():
  scene = _compose(0, [], [_disc((0, 1, 0))] * 3)
  assert scene.boxes == ()
  assert not scene.mask.any()


def test_same_seed_gives_the_same_scene():
  first, again, other = (
    _compose(seed, [_disc((1, 0, 0))], [_disc((0, 1, 0))]) for seed in (3, 3, 4)
  )
  np.testing.assert_array_equal(first.image, again.image)
  assert np.abs(first.image.astype(int) - other.image).max() > 20


def test_distortions_are_named_and_applied():
  names = set()
  for seed in range(150):
    names |= set(_compose(seed, [_disc((1, 0, 0))], []).distortions)
  assert names == set(scene_lib.PICTURE_DISTORTIONS)
