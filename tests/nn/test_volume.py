import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.nn.volume import VoxelEncoder, double, halve


def test_halving_equals_the_convolution():
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], (2, 8, 8, 8, 3))
  kernel = jax.random.normal(keys[1], (4, 4, 4, 3, 5))
  expected = jax.lax.conv_general_dilated(
    x,
    kernel,
    (2, 2, 2),
    [(1, 1)] * 3,
    dimension_numbers=("NXYZC", "XYZIO", "NXYZC"),
    precision="highest",
  )
  np.testing.assert_allclose(halve(x, kernel), expected, atol=1e-4)


def test_doubling_is_the_adjoint_of_halving():
  keys = jax.random.split(jax.random.key(0), 3)
  fine = jax.random.normal(keys[0], (2, 8, 8, 8, 3))
  coarse = jax.random.normal(keys[1], (2, 4, 4, 4, 5))
  kernel = jax.random.normal(keys[2], (4, 4, 4, 3, 5))
  doubled = double(coarse, kernel)
  assert doubled.shape == fine.shape
  one = jnp.sum(halve(fine, kernel) * coarse)
  np.testing.assert_allclose(one, jnp.sum(fine * doubled), rtol=1e-4)


def test_codes_lie_between_0_and_1_and_do_not_depend_on_the_batch():
  encoder = VoxelEncoder((4, 8), 16)
  voxels = jax.random.uniform(jax.random.key(1), (3, 16, 16, 16))
  params = encoder.init(jax.random.key(2), voxels)
  codes = encoder.apply(params, voxels)
  assert codes.shape == (3, 16)
  assert jnp.min(codes) > 0
  assert jnp.max(codes) < 1
  alone = encoder.apply(params, voxels[1:2])
  np.testing.assert_allclose(alone[0], codes[1], atol=1e-6)


def test_voxels_of_another_resolution_raise():
  encoder = VoxelEncoder((4, 8), 16)
  with pytest.raises(ValueError, match="takes 16³ voxels"):
    encoder.init(jax.random.key(0), jnp.zeros((1, 32, 32, 32)))
