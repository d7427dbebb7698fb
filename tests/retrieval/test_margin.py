import doctest
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.retrieval import margin as margin_module
from dr3d.retrieval.margin import Margin, expand_margin, make_margin, view_angle


def random_quaternions(seed, *shape):
  q = np.random.default_rng(seed).normal(size=(*shape, 4))
  return q / np.linalg.norm(q, axis=-1, keepdims=True)


def rotation_matrix(q):
  """By the rotation of three axes, v' = v + 2w(u×v) + 2u×(u×v)."""
  w, u = q[0], q[1:]
  columns = []
  for v in np.eye(3):
    turned = np.cross(u, v)
    columns.append(v + 2 * w * turned + 2 * np.cross(u, turned))
  return np.array(columns).T


def trace_angle(q, p):
  relative = rotation_matrix(q) @ rotation_matrix(p).T
  return math.acos(np.clip((np.trace(relative) - 1) / 2, -1, 1))


def test_docstring_examples_hold():
  assert doctest.testmod(margin_module).failed == 0


def test_view_angle_is_angle_of_relative_rotation():
  first, second = random_quaternions(0, 20), random_quaternions(1, 20)
  got = jax.jit(view_angle)(jnp.float32(first), jnp.float32(second))
  true = [trace_angle(q, p) for q, p in zip(first, second, strict=True)]
  np.testing.assert_allclose(got, true, atol=2e-6)


@pytest.mark.usefixtures("x64")
def test_view_angle_equals_printed_arc_cosine_away_from_one():
  first, second = random_quaternions(2, 50), random_quaternions(3, 50)
  printed = 2 * np.arccos(np.abs((first * second).sum(-1)))
  np.testing.assert_allclose(view_angle(first, second), printed, rtol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-4, 1e-3, 0.1, 1.0, 3.0, math.pi])
def test_rotation_about_axis_has_its_angle_in_float32(angle):
  start = np.array([0.5, 0.5, 0.5, 0.5])
  w, z = math.cos(angle / 2), math.sin(angle / 2)
  # The Hamilton product of `start` with a rotation about z, written out.
  turned = 0.5 * np.array([w - z, w + z, w - z, w + z])
  got = view_angle(jnp.float32(start), jnp.float32(turned))
  np.testing.assert_allclose(got, angle, atol=6e-7)


def test_quaternion_and_its_negative_are_one_view():
  q, p = jnp.float32(random_quaternions(4, 2, 10))
  np.testing.assert_array_equal(view_angle(q, p), view_angle(-q, p))
  np.testing.assert_array_equal(view_angle(q, -q), np.zeros(10))


def test_view_angle_ignores_length_order_and_common_rotation():
  q, p = jnp.float32(random_quaternions(5, 2, 10))
  angle = view_angle(q, p)
  np.testing.assert_allclose(view_angle(3 * q, 0.2 * p), angle, atol=2e-6)
  np.testing.assert_array_equal(view_angle(p, q), angle)
  # (w, x, y, z) times i from the left: (−x, w, −z, y).
  q, p = (
    jnp.stack([-v[:, 1], v[:, 0], -v[:, 3], v[:, 2]], axis=1) for v in (q, p)
  )
  np.testing.assert_allclose(view_angle(q, p), angle, atol=2e-6)


UNIT = [0.5, 0.5, 0.5, 0.5]
ABOVE = [0.50000006, 0.50000006, 0.50000006, 0.5]  # |q·q| just above 1


@pytest.mark.parametrize(
  ("first", "second", "angle"),
  [
    (UNIT, UNIT, 0),
    (UNIT, [-0.5, -0.5, -0.5, -0.5], 0),
    (ABOVE, ABOVE, 0),
    (ABOVE, UNIT, 0),
    (UNIT, [0.5, 0.5, -0.5, -0.5], math.pi),
    ([0, 0, 0, 0], UNIT, math.pi),
    ([0, 0, 0, 0], [0, 0, 0, 0], 0),
  ],
)
def test_singular_pairs_give_value_and_finite_gradient(first, second, angle):
  first, second = jnp.float32(first), jnp.float32(second)
  np.testing.assert_allclose(view_angle(first, second), angle, atol=1e-6)
  for mode in (jax.jacrev, jax.jacfwd):
    slopes = jax.jit(mode(view_angle, argnums=(0, 1)))(first, second)
    assert np.isfinite(slopes).all()


@pytest.mark.usefixtures("x64")
def test_view_angle_gradient_equals_central_differences():
  q, p = jnp.array(random_quaternions(6, 2))
  step = 1e-6
  slope = jax.grad(view_angle)(q, p)
  for k, unit in enumerate(np.eye(4)):
    up, down = view_angle(q + step * unit, p), view_angle(q - step * unit, p)
    np.testing.assert_allclose(slope[k], (up - down) / (2 * step), atol=1e-8)


def test_unit_margin_is_affine_in_angle():
  q = jnp.float32(random_quaternions(7, 5))
  margin = make_margin(q)
  for i in range(5):
    for j in range(5):
      true = 0.05 + 0.9 * trace_angle(q[i], q[j]) / math.pi
      np.testing.assert_allclose(margin.within[i, j], true, atol=1e-3)
  assert margin.between == 1.5


def test_patent_margin_is_angle_and_constant_above_pi():
  q = jnp.float32(random_quaternions(8, 5))
  margin = make_margin(q, kind="patent")
  np.testing.assert_array_equal(margin.within, view_angle(q[:, None], q[None]))
  assert margin.between > math.pi
  assert make_margin(q, kind="patent", between=7.0).between == 7.0


def test_margin_gives_viewpoints_no_gradient():
  q = jnp.float32(random_quaternions(9, 4))
  for kind in ("unit", "patent"):
    slope = jax.jit(
      jax.grad(lambda q, kind=kind: make_margin(q, kind=kind).within.sum())
    )(q)
    assert (slope == 0).all()


def test_each_model_may_have_its_own_views():
  q = jnp.float32(random_quaternions(10, 3, 4))
  together = make_margin(q).within
  assert together.shape == (3, 4, 4)
  for b in range(3):
    np.testing.assert_allclose(together[b], make_margin(q[b]).within)


@pytest.mark.parametrize("own", [False, True])
def test_expanded_margin_is_within_on_blocks_and_between_elsewhere(own):
  within = np.random.default_rng(0).uniform(size=(3, 2, 2) if own else (2, 2))
  got = expand_margin(Margin(jnp.array(within), 1.5), models=3, views=2)
  for b in range(3):
    for i in range(2):
      for c in range(3):
        for j in range(2):
          block = within[b] if own else within
          true = block[i, j] if b == c else 1.5
          np.testing.assert_allclose(got[2 * b + i, 2 * c + j], true)


def test_invalid_argument_raises_with_its_value():
  q = jnp.eye(4)
  with pytest.raises(ValueError, match=r"\(4, 3\)"):
    make_margin(q[:, :3])
  with pytest.raises(ValueError, match=r"\(3,\)"):
    view_angle(q, q[0, :3])
  with pytest.raises(ValueError, match="'patents'"):
    make_margin(q, kind="patents")
  with pytest.raises(ValueError, match=r"above pi .* got 3.0"):
    make_margin(q, kind="patent", between=3.0)
  with pytest.raises(ValueError, match=r"B = 2 .* N = 3 .* \(4, 4\)"):
    expand_margin(make_margin(q), models=2, views=3)
