import numpy as np
import pytest

from dr3d.image import distortion
from dr3d.image.distortion import DISTORTIONS

pytestmark = pytest.mark.fast

GEOMETRIC = {"affine", "tear", "pillar_box", "superpixels"}


def _scene():
  """A two-coloured rectangle on a ramp; the rectangle is the object."""
  y, x = np.mgrid[:64, :80].astype(np.float32)
  image = np.stack([x / 80, y / 64, 0.5 + 0 * x], -1)
  mask = np.zeros((64, 80), np.float32)
  mask[16:48, 20:60] = 1
  image[16:48, 20:40] = 0.9, 0.2, 0.1
  image[16:48, 40:60] = 0.1, 0.3, 0.8
  return image, mask


def _apply(name, seed=0):
  image, mask = _scene()
  return DISTORTIONS[name](image, mask, np.random.default_rng(seed))


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distortion_changes_pixels_and_leaves_its_arguments(name):
  image, mask = _scene()
  kept = image.copy(), mask.copy()
  new, cover = DISTORTIONS[name](image, mask, np.random.default_rng(0))
  np.testing.assert_array_equal(image, kept[0])
  np.testing.assert_array_equal(mask, kept[1])
  assert new.shape == image.shape
  assert cover.shape == mask.shape
  assert new.dtype == cover.dtype == np.float32
  assert new.min() >= 0
  assert new.max() <= 1
  assert np.abs(new - image).max() > 0.02
  again, _ = DISTORTIONS[name](image, mask, np.random.default_rng(0))
  np.testing.assert_array_equal(new, again)


@pytest.mark.parametrize("name", sorted(DISTORTIONS.keys() - GEOMETRIC))
def test_photometric_distortion_keeps_the_mask(name):
  np.testing.assert_array_equal(_apply(name)[1], _scene()[1])


def test_affine_moves_image_and_mask_alike():
  mask = _scene()[1]
  moved, cover = distortion.distort_affine(
    np.repeat(mask[..., None], 3, -1), mask, np.random.default_rng(3)
  )
  np.testing.assert_allclose(moved[8:-8, 8:-8, 0], cover[8:-8, 8:-8], atol=0.02)


def test_warp_by_a_shift_is_the_shifted_picture():
  image, mask = _scene()
  matrix = np.array([[1.0, 0, 5], [0, 1, -3]])
  moved, cover = distortion.warp(image, mask, matrix)
  np.testing.assert_allclose(moved[:-3, 5:], image[3:, :-5], atol=1e-6)
  np.testing.assert_allclose(cover[:-3, 5:], mask[3:, :-5], atol=1e-6)
  assert cover[-3:].sum() == 0


def test_tear_shifts_only_one_part_and_loses_what_leaves():
  image, _ = _scene()
  full = np.ones(image.shape[:2], np.float32)
  new, cover = distortion.distort_tear(image, full, np.random.default_rng(1))
  changed = np.abs(new - image).max((1, 2)) > 0
  first = int(np.argmax(changed))
  assert 16 <= first <= 48
  assert changed[first:].all()
  assert cover[:first].all()
  assert (cover[first:] == 0).any()


@pytest.mark.parametrize("name", ["lens_blur", "motion_blur", "resolution"])
def test_blur_keeps_a_constant_and_weakens_edges(name):
  rng = np.random.default_rng(0)
  mask = _scene()[1]
  flat = np.full((64, 80, 3), 0.4, np.float32)
  np.testing.assert_allclose(
    DISTORTIONS[name](flat, mask, rng)[0], flat, atol=1e-4
  )
  image = _scene()[0]
  steps = [np.abs(np.diff(x, axis=1)).max() for x in (image, _apply(name)[0])]
  assert steps[1] < steps[0]


def test_noise_has_the_stated_size_and_no_bias():
  mask = np.zeros((128, 128), np.float32)
  flat = np.full((128, 128, 3), 0.5, np.float32)
  noise = (
    distortion.distort_noise(flat, mask, np.random.default_rng(0))[0] - 0.5
  )
  assert abs(noise.mean()) < 1e-3
  assert 0.005 <= noise.std() <= (0.05**2 + 0.05**2 / 2) ** 0.5


def test_pillar_box_has_one_colour_and_no_object_below():
  new, cover = _apply("pillar_box", seed=1)
  image, _ = _scene()
  bars = np.abs(new - image).max(-1) > 0
  assert np.ptp(new[bars]) == 0
  assert cover[bars].sum() == 0


def test_transparency_changes_the_object_alone():
  image, mask = _scene()
  new, _ = _apply("transparency")
  np.testing.assert_array_equal(new[mask == 0], image[mask == 0])
  assert np.abs(new[mask == 1] - image[mask == 1]).min() >= 0
  assert np.abs(new - image)[mask == 1].mean() > 0.02


def test_lighting_is_smooth_where_the_picture_is():
  flat = np.full((64, 80, 3), 0.4, np.float32)
  new, _ = distortion.distort_lighting(
    flat, _scene()[1], np.random.default_rng(0)
  )
  assert np.abs(np.diff(new, axis=0)).max() < 0.02


def test_compression_stays_near_the_picture():
  image, _ = _scene()
  assert np.abs(_apply("compression")[0] - image).mean() < 0.05


def test_superpixels_cover_the_object_and_split_its_colours():
  image, mask = _scene()
  labels = distortion.split_superpixels(image, mask)
  np.testing.assert_array_equal(labels > 0, mask > 0.5)
  left, right = labels[30, 21:38], labels[30, 42:59]
  assert not set(left) & set(right)


def test_superpixel_occlusion_removes_at_most_a_third():
  image, mask = _scene()
  for seed in range(8):
    new, cover = _apply("superpixels", seed)
    assert 0.64 <= cover.sum() / mask.sum() <= 1
    np.testing.assert_array_equal(new[mask == 0], image[mask == 0])
