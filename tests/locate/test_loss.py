import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.locate import loss


def _mask(size=12, side=6):
  y = np.zeros((1, size, size), np.float32)
  y[:, 3 : 3 + side, 3 : 3 + side] = 1
  return jnp.asarray(y)


def _loop(d, y, high, low):
  """[0061] (b), pixel by pixel."""
  total = np.zeros(d.shape)
  for index in np.ndindex(*d.shape):
    on = max(high[index] - d[index], 0) ** 2
    off = max(d[index] - low[index], 0) ** 2
    total[index] = y[index] * on + (1 - y[index]) * off
  return total


def test_double_margin_equals_the_loop():
  rng = np.random.default_rng(0)
  d, y, high = rng.random((3, 2, 4, 5))
  low = high - 0.2
  limits = loss.Thresholds(jnp.asarray(high), jnp.asarray(low))
  np.testing.assert_allclose(
    loss.double_margin_loss(jnp.asarray(d), jnp.asarray(y), limits),
    _loop(d, y, high, low),
    atol=1e-6,
  )


def test_value_between_the_thresholds_costs_nothing():
  y = _mask()
  limits = loss.make_thresholds(y)
  for heat in (limits.high * y + limits.low * (1 - y), y):
    assert float(loss.double_margin_loss(heat, y, limits).max()) < 1e-12
  flipped = loss.double_margin_loss(1 - y, y, limits)
  assert float(flipped.min()) > 0.2


def test_thresholds_relax_at_the_border_only():
  limits = loss.make_thresholds(_mask())
  assert bool(jnp.all(limits.high > limits.low))
  assert limits.high[0, 0, 0] == pytest.approx(loss.HIGH)
  assert limits.low[0, 0, 0] == pytest.approx(loss.LOW)
  assert limits.high[0, 5, 5] == pytest.approx(loss.HIGH)
  assert limits.high[0, 3, 5] == pytest.approx(0.55)
  assert limits.low[0, 2, 5] == pytest.approx(0.45)


def test_balance_gives_object_and_rest_equal_parts():
  y = _mask()
  weight = loss.balance(y)
  on = float((weight * y).sum())
  off = float((weight * (1 - y)).sum())
  assert on == pytest.approx(off)
  assert on + off == pytest.approx(y.size)
  assert bool(jnp.all(loss.balance(jnp.zeros((1, 4, 4))) == 1))


def test_gradient_equals_finite_differences():
  y = _mask(6, 2)
  limits = loss.make_thresholds(y)
  d = jax.random.uniform(jax.random.key(0), y.shape)

  def total(d):
    return loss.double_margin_loss(d, y, limits).sum()

  step = 1e-3
  gradient = jax.grad(total)(d)
  for index in ((0, 0, 0), (0, 3, 3), (0, 4, 4)):
    change = jnp.zeros_like(d).at[index].set(step)
    slope = (total(d + change) - total(d - change)) / (2 * step)
    assert float(gradient[index]) == pytest.approx(float(slope), abs=2e-3)


def test_squared_loss_is_the_squared_difference():
  assert float(loss.squared_loss(jnp.array(0.3), jnp.array(1.0))) == (
    pytest.approx(0.49)
  )
