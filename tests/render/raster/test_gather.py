"""Rows of a table: the gradient of taking them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.render.raster.gather import RUN, add_rows, add_sorted_rows, take_rows


@pytest.mark.parametrize("rows", [1, 3, 500])
@pytest.mark.parametrize("count", [1, RUN, 5 * RUN + 7])
def test_sums_by_runs_are_the_sums(rows, count):
  rng = np.random.default_rng(rows + count)
  index = jnp.array(rng.integers(0, rows, count))
  values = jnp.array(rng.integers(-9, 9, (count, 2)), jnp.float32)
  expected = np.zeros((rows, 2))
  np.add.at(expected, np.asarray(index), np.asarray(values))
  # Whole numbers, so that the order of the sums does not show.
  for add in (add_rows, add_sorted_rows):
    np.testing.assert_array_equal(add(index, values, count=rows), expected)


def test_gradient_is_that_of_indexing():
  rng = np.random.default_rng(0)
  table = jnp.array(rng.standard_normal((7, 3)))
  index = jnp.array(rng.integers(0, 7, 200))
  weights = jnp.array(rng.standard_normal((200, 3)))
  plain = jax.grad(lambda t: jnp.sum(weights * jnp.sin(t[index])))(table)
  ours = jax.grad(lambda t: jnp.sum(weights * jnp.sin(take_rows(t, index))))
  np.testing.assert_allclose(ours(table), plain, rtol=1e-5, atol=1e-5)
