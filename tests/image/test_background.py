import numpy as np
import pytest

from dr3d.image.background import KINDS, make_background, make_noise

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("kind", KINDS)
def test_background_is_an_image_that_its_seed_decides(kind):
  images = [
    make_background(np.random.default_rng(seed), (40, 64), kind=kind)
    for seed in (1, 1, 2)
  ]
  assert images[0].shape == (40, 64, 3)
  assert images[0].dtype == np.float32
  assert images[0].min() >= 0
  assert images[0].max() <= 1
  np.testing.assert_array_equal(images[0], images[1])
  assert np.abs(images[0] - images[2]).max() > 0.05
  assert images[0].std() > 0.01


def test_noise_spans_zero_to_one():
  noise = make_noise(np.random.default_rng(0), (33, 20), cells=3)
  assert noise.min() == 0
  assert noise.max() == pytest.approx(1)


def test_unknown_kind_and_empty_size_raise():
  rng = np.random.default_rng(0)
  with pytest.raises(ValueError, match="kind must be one of gradient"):
    make_background(rng, (8, 8), kind="sea")
  with pytest.raises(ValueError, match="positive"):
    make_background(rng, (0, 8))
