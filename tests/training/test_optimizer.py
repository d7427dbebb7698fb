"""Learning rates and running means."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dr3d.training.optimizer import clip_gradient, schedule_rate, update_mean


@pytest.mark.parametrize(
  ("steps", "warm_up"), [(5, 1), (100, 10), (600, 50), (9000, 50)]
)
def test_rate_rises_to_peak_and_falls_to_a_hundredth(steps, warm_up):
  rate = schedule_rate(0.2, steps=steps)
  rates = [float(rate(step)) for step in range(steps + 1)]
  np.testing.assert_allclose(rates[0], 0.02, rtol=1e-6)
  assert np.argmax(rates) == warm_up
  np.testing.assert_allclose(max(rates), 0.2, rtol=1e-6)
  np.testing.assert_allclose(rates[-1], 0.002, rtol=1e-6)


def test_run_of_one_step_has_finite_rate():
  assert np.isfinite(float(schedule_rate(0.2, steps=1)(0)))


def test_long_gradient_is_clipped_and_short_one_is_not():
  optimizer = clip_gradient(optax.sgd(1.0))
  state = optimizer.init(jnp.zeros(2))
  for gradient, step in (([3.0, 4.0], [-0.6, -0.8]), ([0.3, 0], [-0.3, 0])):
    update, _ = optimizer.update(jnp.array(gradient), state)
    np.testing.assert_allclose(update, step, rtol=1e-6)


def test_mean_follows_its_recursion_and_forgets_the_start():
  expected, mean = 100.0, jnp.array(100.0)
  for step in range(1, 60):
    decay = min(0.9, (1 + step) / (10 + step))
    expected = decay * expected + (1 - decay) * step
    mean = update_mean(
      mean, jnp.array(float(step)), step=jnp.array(step), decay=0.9
    )
  np.testing.assert_allclose(mean, expected, rtol=1e-5)
  assert abs(expected - 59) < 15
