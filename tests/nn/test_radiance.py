"""The networks of radiance fields."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.nn.radiance import (
  Background,
  Foreground,
  NetworkConfig,
  check_network,
  encode,
)

SMALL = NetworkConfig(latent=6, width=8, depth=3, degree=2)
POINTS = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 5, 3)))
CODES = jnp.asarray(np.random.default_rng(1).normal(size=(2, 6)))


def test_encoding_holds_the_point_and_waves_of_doubling_frequency():
  code = np.asarray(encode(jnp.array([1.0, 0.5, 0.0]), degree=2))
  assert code.shape == (15,)
  np.testing.assert_allclose(code[:3], [1, 0.5, 0])
  # sin(π/2 x), sin(π x), then the cosines.
  np.testing.assert_allclose(code[3:6], [1, 0.5**0.5, 0], atol=1e-6)
  np.testing.assert_allclose(code[6:9], [0, 1, 0], atol=1e-6)
  np.testing.assert_allclose(code[9:12], [0, 0.5**0.5, 1], atol=1e-6)


@pytest.mark.parametrize("split", [False, True])
def test_every_part_of_the_code_changes_density_or_colour(split):
  network = Foreground(NetworkConfig(**{**vars(SMALL), "split": split}))
  weights = network.init(jax.random.key(0), POINTS, CODES)

  def total(codes):
    density, color = network.apply(weights, POINTS, codes)
    return jnp.sum(density) + jnp.sum(color**2)

  density, color = network.apply(weights, POINTS, CODES)
  assert density.shape == (2, 5)
  assert color.shape == (2, 5, 3)
  assert (density >= 0).all()
  assert ((color > 0) & (color < 1)).all()
  slope = jax.grad(total)(CODES)
  assert (jnp.abs(slope) > 0).all()


def test_objects_do_not_influence_each_other():
  network = Foreground(SMALL)
  weights = network.init(jax.random.key(0), POINTS, CODES)
  both = network.apply(weights, POINTS, CODES)
  one = network.apply(weights, POINTS[1:], CODES[1:])
  for together, alone in zip(both, one, strict=True):
    np.testing.assert_allclose(together[1:], alone, atol=1e-5)


def test_background_depends_on_direction_and_code():
  network = Background(SMALL)
  weights = network.init(jax.random.key(0), POINTS, CODES)
  color = network.apply(weights, POINTS, CODES)
  assert color.shape == (2, 5, 3)
  assert np.abs(np.diff(color, axis=1)).max() > 1e-4
  other = network.apply(weights, POINTS, CODES + 1)
  assert np.abs(color - other).max() > 1e-4


def test_split_code_that_does_not_divide_raises():
  with pytest.raises(ValueError, match="depth divides, got 7 and 3"):
    check_network(NetworkConfig(latent=7, depth=3, split=True))
