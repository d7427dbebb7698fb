import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.nn.resnet import PictureEncoder


def test_code_keeps_the_place_of_an_object():
  encoder = PictureEncoder((4, 4), 8)
  picture = jnp.zeros((2, 16, 16)).at[0, 2:6, 2:6].set(1.0)
  picture = picture.at[1, 10:14, 10:14].set(1.0)
  params = encoder.init(jax.random.key(0), picture)
  codes = encoder.apply(params, picture)
  assert codes.shape == (2, 8)
  assert ((codes > 0) & (codes < 1)).all()
  # A pooled network would give both pictures nearly one code.
  assert np.abs(codes[0] - codes[1]).max() > 0.02


def test_sides_that_cannot_be_halved_raise():
  encoder = PictureEncoder((4, 4), 8)
  with pytest.raises(ValueError, match="multiples of 8"):
    encoder.init(jax.random.key(0), jnp.zeros((1, 20, 20)))
