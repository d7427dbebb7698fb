import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.shapes import make_model

from dr3d.error import Dr3dError
from dr3d.shape.config import GeneratorConfig
from dr3d.shape.generator import (
  gradient_penalty,
  sample_codes,
  train_generator,
)
from dr3d.training.loop import LoopConfig


def test_penalty_of_a_linear_critic_is_that_of_its_slope():
  slope = jnp.float32([3, 0, 4])  # of norm 5
  real, fake = jnp.ones((6, 3)), jnp.zeros((6, 3))
  found = gradient_penalty(lambda x: x @ slope, real, fake, jax.random.key(0))
  assert found == pytest.approx(16)


def test_each_pair_has_its_own_point_between():
  # ‖∇‖ of Σx² is 2‖x‖, so the penalty of a pair tells its ε.
  real, fake = jnp.ones((500, 1)), jnp.zeros((500, 1))
  found = gradient_penalty(
    lambda x: jnp.sum(x**2, -1), real, fake, jax.random.key(1)
  )
  # ∫ (2ε - 1)² dε = 1/3; one ε for all would give another number.
  assert found == pytest.approx(1 / 3, abs=0.04)


def test_generator_learns_where_codes_lie(tmp_path):
  rng = np.random.default_rng(0)
  codes = np.float32(rng.choice([0.15, 0.85], (200, 1)) * np.ones((1, 8)))
  model = dataclasses.replace(make_model(), codes=codes)
  config = GeneratorConfig(
    widths=(32, 32), noise=1.0, rate=2e-3, loop=LoopConfig(steps=150)
  )
  with pytest.raises(Dr3dError, match="no generator"):
    sample_codes(model, 4, seed=0)
  trained = train_generator(
    model, config=config, workdir=tmp_path, progress=False
  )
  made = sample_codes(trained, 200, seed=0)
  assert made.shape == (200, 8)
  assert ((made > 0) & (made < 1)).all()
  # The numbers of a real code are equal, and there are two kinds of codes.
  assert np.std(made, axis=1).mean() < 0.2
  assert np.std(made.mean(axis=1)) > 0.15
