import doctest
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dr3d.retrieval import guard
from dr3d.retrieval.guard import (
  coverage_guard,
  measure_spread,
  smallest_view_angle,
  variance_floor,
  view_repulsion,
)

# Compiled once for each shape: faster than operation by operation.
repel = jax.jit(view_repulsion, static_argnames="angle")
smallest = jax.jit(smallest_view_angle)
spread = jax.jit(measure_spread)
floor_penalty = jax.jit(variance_floor, static_argnames="floor")
cover = jax.jit(coverage_guard, static_argnames=("low", "high"))


def random_unit(seed, *shape):
  z = np.random.default_rng(seed).normal(size=shape)
  return z / np.linalg.norm(z, axis=-1, keepdims=True)


def turn_about_x(*angles):
  return jnp.array([[math.cos(a / 2), math.sin(a / 2), 0, 0] for a in angles])


def test_docstring_examples_hold():
  assert doctest.testmod(guard).failed == 0


# ----- collapse --------------------------------------------------------------


def test_spread_equals_mean_over_pairs():
  features = random_unit(0, 3, 4, 5)
  images = features.reshape(12, 5)
  pairs = [
    sum((images[i] - images[j]) ** 2) for i in range(12) for j in range(i)
  ]
  got = spread(jnp.float32(features))
  np.testing.assert_allclose(got, np.mean(pairs), rtol=1e-5)


def test_spread_of_equal_features_and_of_one_image_is_zero():
  assert spread(jnp.full((4, 3, 16), 0.25)) == 0
  assert spread(jnp.ones((1, 1, 16))) == 0
  almost = random_unit(1, 16) + 1e-5 * random_unit(2, 12, 16)
  np.testing.assert_allclose(spread(jnp.float32(almost)), 2e-10, rtol=0.3)


def test_variance_floor_is_hinge_of_each_deviation():
  features = 0.3 * random_unit(3, 4, 5, 8) * np.linspace(0.1, 3, 8)
  images = features.reshape(-1, 8)
  terms = []
  for d in range(8):
    mean = sum(images[:, d]) / 20
    deviation = math.sqrt(sum((images[:, d] - mean) ** 2) / 20)
    terms.append(max(0.0, 1 - deviation / 0.1))
  assert 0 < np.count_nonzero(terms) < 8
  got = floor_penalty(jnp.float32(features), floor=0.1)
  np.testing.assert_allclose(got, np.mean(terms), rtol=1e-4)


def test_uniform_directions_have_no_variance_penalty():
  features = jnp.float32(random_unit(4, 40, 12, 32))
  assert floor_penalty(features) == 0


@jax.jit
def normalised_floor(raw):
  return floor_penalty(raw / jnp.linalg.norm(raw, axis=-1, keepdims=True))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-7])
def test_step_on_variance_floor_near_collapse_separates_images(size):
  raw = jnp.array(random_unit(5, 16) + size * random_unit(6, 4, 3, 16))
  slope = jax.grad(normalised_floor)(raw)
  before, after = spread(raw), spread(raw - 1e-2 * slope)
  assert after > 1.01 * before
  assert normalised_floor(raw - 1e-2 * slope) < normalised_floor(raw)


def test_variance_floor_gradient_keeps_size_near_collapse():
  def force(size):
    raw = random_unit(5, 16) + size * random_unit(6, 4, 3, 16)
    return np.linalg.norm(jax.grad(normalised_floor)(jnp.float32(raw)))

  assert force(2e-3) > 0.3 * force(2e-2)


def test_exact_collapse_gives_finite_gradient():
  for features in (jnp.full((4, 3, 16), 0.25), jnp.zeros((4, 3, 16))):
    value, slope = jax.value_and_grad(floor_penalty)(features)
    np.testing.assert_allclose(value, 0.999, rtol=1e-5)
    assert (slope == 0).all()


@pytest.mark.usefixtures("x64")
def test_variance_floor_gradient_equals_central_differences():
  features = jnp.array(0.02 * random_unit(7, 3, 4, 5))
  way = jnp.array(random_unit(8, 3, 4, 5))
  slope = jnp.vdot(jax.grad(floor_penalty)(features), way)
  up, down = (floor_penalty(features + s * 1e-6 * way) for s in (1, -1))
  np.testing.assert_allclose(slope, (up - down) / 2e-6, rtol=1e-6)


# ----- views -----------------------------------------------------------------


def test_smallest_angle_is_that_of_nearest_pair():
  q = turn_about_x(0.0, 1.0, 1.3, 3.0)
  np.testing.assert_allclose(smallest(q), 0.3, rtol=1e-5)
  np.testing.assert_allclose(smallest(q[:1]), math.pi, rtol=1e-6)
  assert smallest(turn_about_x(1.0, 1.0)) == 0


def test_repulsion_equals_loop_over_pairs_of_directions():
  q = random_unit(10, 7, 4)
  z = Rotation.from_quat(q, scalar_first=True).inv().apply([0, 0, 1])
  limit = 2 * math.sin(0.5)
  total = sum(
    max(0.0, 1 - math.dist(z[i], z[j]) / limit) ** 2
    for i in range(7)
    for j in range(7)
    if i != j
  )
  got = repel(jnp.float32(q), angle=1.0)
  assert total > 0
  np.testing.assert_allclose(got, total / 7, rtol=1e-4)


def test_repulsion_rises_with_proximity_and_is_zero_beyond_its_angle():
  values = [repel(turn_about_x(1.0, 1.0 + a)) for a in (0.3, 0.2, 0.1)]
  assert 0 == values[0] < values[1] < values[2] < 1
  np.testing.assert_allclose(repel(turn_about_x(1.0, 1.0)), 1)


def test_step_on_repulsion_separates_two_views_and_keeps_the_third():
  q = turn_about_x(0.0, 0.01, 2.0)
  slope = jax.grad(repel)(q)
  assert (slope[2] == 0).all()
  moved = q - 1e-3 * slope
  assert smallest(moved) > 0.02


def test_views_rotated_about_their_direction_count_as_equal():
  q = Rotation.from_quat(random_unit(14, 4), scalar_first=True)
  roll = Rotation.from_rotvec([0, 0, 0.8])  # about the camera's axis
  pair = [r.as_quat(scalar_first=True) for r in (q, roll * q)]
  np.testing.assert_allclose(repel(jnp.float32(pair)), 1, rtol=1e-5)


def test_order_and_sign_of_quaternions_do_not_matter():
  q = jnp.float32(random_unit(11, 6, 4))
  value = repel(q, angle=1.5)
  assert value > 0
  order = jnp.array([3, 1, 5, 0, 4, 2])
  np.testing.assert_allclose(repel(-q[order], angle=1.5), value, rtol=1e-6)


@pytest.mark.parametrize(
  "q",
  [
    np.ones((4, 4)),  # equal
    np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]),  # one view, two signs
    np.zeros((3, 4)),
    np.array([[0.0, 0, 0, 0], [1.0, 0, 0, 0]]),
    np.array([[1.0, 0, 0, 0], [1.0, 1e-8, 0, 0]]),
    np.array([[0, 1.0, 0, 0]]),
  ],
)
@pytest.mark.parametrize("function", [repel, smallest])
def test_coincident_or_zero_quaternions_give_finite_values_and_gradients(
  function, q
):
  value, slope = jax.value_and_grad(function)(jnp.float32(q))
  assert 0 <= value <= max(len(q) - 1, math.pi)
  assert np.isfinite(slope).all()


@pytest.mark.usefixtures("x64")
def test_repulsion_gradient_equals_central_differences():
  q, way = jnp.array(random_unit(12, 5, 4)), jnp.array(random_unit(13, 5, 4))
  slope = jnp.vdot(jax.grad(lambda q: repel(q, angle=2.0))(q), way)
  up, down = (repel(q + s * 1e-6 * way, angle=2.0) for s in (1, -1))
  np.testing.assert_allclose(slope, (up - down) / 2e-6, rtol=1e-6)


# ----- coverage --------------------------------------------------------------


def test_coverage_guard_is_zero_in_range_and_at_most_one_outside():
  mean = jnp.array([[0.0, 0.05, 0.1], [0.5, 0.8, 1.0]])
  alpha = jnp.broadcast_to(mean[..., None, None], (2, 3, 4, 6))
  got = cover(alpha, low=0.1, high=0.6)
  np.testing.assert_allclose(
    got, [[1, 0.25, 0], [0, 0.25, 1]], rtol=1e-5, atol=1e-6
  )


def test_coverage_guard_gradient_enlarges_small_object_and_shrinks_large_one():
  alpha = jnp.stack([jnp.zeros((4, 4)), jnp.ones((4, 4))])
  slope = jax.grad(lambda a: coverage_guard(a).sum())(alpha)
  assert (slope[0] < 0).all()
  assert (slope[1] > 0).all()
  assert np.isfinite(slope).all()


# ----- messages --------------------------------------------------------------


def test_invalid_argument_raises_with_its_value():
  with pytest.raises(ValueError, match="above 0, got 0"):
    variance_floor(jnp.ones((3, 4)), floor=0.0)
  with pytest.raises(ValueError, match=r"\[\.\.\., D\], got \(\)"):
    measure_spread(jnp.array(1.0))
  with pytest.raises(ValueError, match=r"\[N, 4\], got \(3, 3\)"):
    view_repulsion(jnp.ones((3, 3)))
  with pytest.raises(ValueError, match=r"\(0, pi\), got 4"):
    view_repulsion(jnp.ones((3, 4)), angle=4.0)
  with pytest.raises(ValueError, match=r"\[\.\.\., H, W\], got \(4,\)"):
    coverage_guard(jnp.ones(4))
  with pytest.raises(ValueError, match=r"got 0.5 and 0.4"):
    coverage_guard(jnp.ones((4, 4)), low=0.5, high=0.4)
