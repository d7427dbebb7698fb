"""Vectors as triples, and combinations of arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.geometry.vector import combine, cross, dot, unit

pytestmark = pytest.mark.usefixtures("x64")


def make_vectors(seed, *, count=2):
  rng = np.random.default_rng(seed)
  return [tuple(jnp.array(rng.normal(size=(3, 4, 5)))) for _ in range(count)]


def test_products_are_those_of_numpy():
  a, b = make_vectors(0)
  rows = [np.stack(v, axis=-1) for v in (a, b)]
  np.testing.assert_allclose(dot(a, b), np.sum(rows[0] * rows[1], axis=-1))
  np.testing.assert_allclose(np.stack(cross(a, b), -1), np.cross(*rows))
  length = np.linalg.norm(rows[0], axis=-1, keepdims=True)
  np.testing.assert_allclose(np.stack(unit(a), -1), rows[0] / length)


def test_zero_vector_stays_zero_and_has_a_finite_gradient():
  def total(x):
    return sum(map(jnp.sum, unit((x, 0 * x, jnp.array([0.0, 2.0])))))

  value, slope = jax.value_and_grad(total)(jnp.zeros(2))
  assert value == 1
  np.testing.assert_array_equal(slope, [0, 0.5])


@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (4, 5)])
def test_combinations_and_their_gradients_are_those_of_einsum(shape):
  rng = np.random.default_rng(1)
  matrix = jnp.array(rng.normal(size=(4, 2, 3)))
  parts = tuple(jnp.array(rng.normal(size=(3, *shape))))
  weights = rng.normal(size=(2, *shape))

  def total(matrix, parts, form):
    return jnp.sum(jnp.stack(form(matrix, parts)) * weights)

  def literal(matrix, parts):
    return jnp.einsum("nqj,j...nf->q...nf", matrix, jnp.stack(parts))

  got, slopes = jax.value_and_grad(total, (0, 1))(matrix, parts, combine)
  value, expected = jax.value_and_grad(total, (0, 1))(matrix, parts, literal)
  np.testing.assert_allclose(got, value, rtol=1e-12)
  for a, b in zip(*map(jax.tree.leaves, (slopes, expected)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
