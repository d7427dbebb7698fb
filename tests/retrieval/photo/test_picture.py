import numpy as np
import pytest

pytest.importorskip("cv2")

from dr3d.image.frame import FILL
from dr3d.retrieval.photo.picture import light, make_photograph, spoil_mask

pytestmark = pytest.mark.fast

SIZE = 64


@pytest.fixture(name="ball")
def _ball():
  """Normals, depth and alpha of a ball."""
  y, x = (np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2) / (SIZE / 2 * 0.6)
  square = x * x + y * y
  inside = square < 1
  z = np.sqrt(np.maximum(1 - square, 0))
  normal = np.stack([x, -y, z], axis=-1) * inside[..., None]
  return (
    np.rint(127 * normal.clip(-1, 1)).astype(np.int8),
    np.rint(127 * z * inside).astype(np.int8),
    255 * inside.astype(np.uint8),
  )


def test_photograph_fills_its_square_and_is_black_outside(ball):
  for seed in range(20):
    both = make_photograph(*ball, np.random.default_rng(seed))
    grey, mask = both[..., 0], both[..., 1]
    assert both.shape == (SIZE, SIZE, 2)
    assert both.min() >= 0
    assert both.max() <= 1
    assert (grey <= mask + 1e-6).all()
    solid = mask > 0.5
    sides = [np.flatnonzero(solid.any(axis=axis)) for axis in (0, 1)]
    longest = max(side[-1] - side[0] + 1 for side in sides)
    assert longest == pytest.approx(FILL * SIZE, abs=5)


def test_photographs_differ_and_the_seed_decides(ball):
  one, same, other = (
    make_photograph(*ball, np.random.default_rng(seed)) for seed in (1, 1, 2)
  )
  assert (one == same).all()
  assert np.abs(one - other).mean() > 0.01


def test_masks_are_nearly_but_not_exactly_right(ball):
  true = (ball[2] > 0).astype(np.float32)
  scores = []
  for seed in range(40):
    found = spoil_mask(true, np.random.default_rng(seed)) > 0.5
    both = (found & (true > 0)).sum()
    scores.append(both / (found | (true > 0)).sum())
  assert np.median(scores) > 0.85
  assert min(scores) > 0.4
  assert max(scores) < 1


def test_hollow_is_darker_than_the_same_surface_without_it(ball):
  normal = np.zeros((SIZE, SIZE, 3), np.float32)
  normal[..., 2] = 1
  flat = np.zeros((SIZE, SIZE), np.int8)
  hollow = flat.copy()
  hollow[24:40, 24:40] = -60
  darker = 0
  for seed in range(10):
    plain = light(normal, flat, np.random.default_rng(seed))
    deep = light(normal, hollow, np.random.default_rng(seed))
    darker += deep[32, 32] < plain[32, 32] - 1e-4
    assert deep[0, 0] == pytest.approx(plain[0, 0], abs=1e-3)
  assert darker >= 9
