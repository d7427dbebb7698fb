"""The random keys of steps."""

import jax

from dr3d.training.key import step_key


def draw(seed, step):
  return jax.random.bits(step_key(seed, step)).item()


def test_key_depends_on_seed_and_step():
  draws = {draw(seed, step) for seed in range(4) for step in range(25)}
  assert len(draws) == 100


def test_key_is_fold_of_step_into_seed():
  # The definition, so that a run of an earlier version resumes unchanged.
  key = jax.random.fold_in(jax.random.key(3), 7)
  assert draw(3, 7) == jax.random.bits(key).item()
