import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.geometry import norm


def loop_distance(first, second):
  out = np.zeros((len(first), len(second)))
  for i in range(len(first)):
    for j in range(len(second)):
      out[i, j] = sum((first[i] - second[j]) ** 2)
  return out


def test_examples_are_true():
  assert doctest.testmod(norm).failed == 0


def test_norm_is_the_norm_and_its_gradient_the_unit_vector():
  vectors = jnp.array([[3.0, 4.0], [-1e-6, 0.0]])
  np.testing.assert_allclose(norm.safe_norm(vectors), [5.0, 1e-6])
  slope = jax.grad(lambda x: norm.safe_norm(x).sum())(vectors)
  np.testing.assert_allclose(slope, [[0.6, 0.8], [-1.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("function", [norm.safe_norm, norm.to_unit])
def test_zero_vector_has_a_finite_gradient(function):
  value, slope = jax.value_and_grad(lambda x: function(x).sum())(jnp.zeros(4))
  assert value == 0
  assert np.isfinite(slope).all()


def test_vector_too_short_to_square_counts_as_zero():
  tiny = jnp.full(4, 1e-30)
  slope = jax.grad(lambda x: norm.safe_norm(x))(tiny)
  assert np.isfinite(slope).all()
  assert np.isfinite(norm.to_unit(tiny)).all()


def test_squared_distances_equal_a_loop():
  rng = np.random.default_rng(0)
  first, second = rng.normal(size=(5, 7)), rng.normal(size=(3, 7))
  got = jax.jit(norm.squared_distance)(jnp.float32(first), jnp.float32(second))
  np.testing.assert_allclose(got, loop_distance(first, second), rtol=1e-5)


def test_distance_of_near_vectors_is_exact_where_expansion_fails():
  rng = np.random.default_rng(1)
  first = rng.normal(size=(6, 128))
  first /= np.linalg.norm(first, axis=1, keepdims=True)
  second = first + 1e-4 * rng.normal(size=first.shape) / np.sqrt(128)
  first, second = np.float32(first), np.float32(second)
  true = ((first.astype(float) - second.astype(float)) ** 2).sum(1)  # 1e-8
  got = np.diag(norm.squared_distance(first, second))
  np.testing.assert_allclose(got, true, rtol=1e-5)
  expansion = (first**2).sum(1) + (second**2).sum(1)
  expansion = expansion - 2 * (first * second).sum(1)
  assert np.abs(expansion / true - 1).max() > 0.5


def test_equal_vectors_are_exactly_zero_apart():
  vectors = jax.random.normal(jax.random.key(0), (4, 33))
  assert (jnp.diag(norm.squared_distance(vectors, vectors)) == 0).all()


@pytest.mark.usefixtures("x64")
def test_distance_gradient_equals_autodiff_of_the_definition():
  rng = np.random.default_rng(2)
  first, second = (
    jnp.array(rng.normal(size=(4, 3))),
    jnp.array(rng.normal(size=(5, 3))),
  )
  weight = jnp.array(rng.normal(size=(4, 5)))

  def plain(first, second):
    return jnp.sum((first[:, None] - second[None]) ** 2, -1)

  def slopes(function):
    return jax.grad(
      lambda x, y: jnp.sum(weight * jnp.sin(function(x, y))), argnums=(0, 1)
    )(first, second)

  for got, true in zip(
    slopes(norm.squared_distance), slopes(plain), strict=True
  ):
    np.testing.assert_allclose(got, true, rtol=1e-12, atol=1e-12)

  def twice(function):  # a set against itself, as the losses use it
    return jax.grad(lambda x: jnp.sum(weight[:, :4] * function(x, x)))(first)

  np.testing.assert_allclose(
    twice(norm.squared_distance), twice(plain), rtol=1e-12, atol=1e-12
  )


def test_distance_gradient_survives_a_tight_cluster_far_from_zero():
  rng = np.random.default_rng(3)
  near = np.float32(100 + 1e-3 * rng.normal(size=(8, 16)))
  slope = jax.grad(lambda x: norm.squared_distance(x, x).sum())(jnp.array(near))
  wide = near.astype(float)
  true = 4 * (len(wide) * wide - wide.sum(0))
  np.testing.assert_allclose(slope, true, atol=1e-5 * np.abs(true).max())


def test_distances_pass_through_vmap():
  vectors = jax.random.normal(jax.random.key(1), (3, 4, 5))
  got = jax.vmap(norm.squared_distance)(vectors, vectors)
  assert got.shape == (3, 4, 4)
  slope = jax.vmap(
    jax.grad(lambda x: jnp.sqrt(1 + norm.squared_distance(x, x)).sum())
  )(vectors)
  np.testing.assert_allclose(
    slope[1],
    jax.grad(lambda x: jnp.sqrt(1 + norm.squared_distance(x, x)).sum())(
      vectors[1]
    ),
    rtol=1e-5,
    atol=1e-6,
  )


def test_vectors_of_different_length_raise():
  with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
    norm.squared_distance(jnp.zeros((2, 3)), jnp.zeros((2, 4)))
