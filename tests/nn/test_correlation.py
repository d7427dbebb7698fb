import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.nn.correlation import (
  correlate,
  correlate_cells,
  correlate_grouped,
  correlate_same,
)


def _pair(seed=0, B=3, V=3, U=2, H=6, W=7, C=4):
  keys = jax.random.split(jax.random.key(seed))
  return (
    jax.random.normal(keys[0], (B, V, U, C)),
    jax.random.normal(keys[1], (B, H, W, C)),
  )


def _loop(kernel, medium):
  """[0043], number by number; the product and both norms."""
  B, V, U, C = kernel.shape
  H, W = medium.shape[1] - V + 1, medium.shape[2] - U + 1
  product, norms = np.zeros((2, B, H, W))
  for b in range(B):
    for y in range(H):
      for x in range(W):
        total = energy = 0.0
        for m in range(V):
          for l in range(U):
            for c in range(C):
              value = float(medium[b, y + m, x + l, c])
              total += float(kernel[b, m, l, c]) * value
              energy += value * value
        product[b, y, x] = total
        norms[b, y, x] = (energy * (kernel[b] ** 2).sum()) ** 0.5
  return product, norms


def test_response_equals_the_loop():
  kernel, medium = (np.asarray(x) for x in _pair(B=2, C=3))
  product, norms = _loop(kernel, medium)
  plain = correlate(kernel, medium, normalized=False)[..., 0]
  cosine = correlate(kernel, medium)[..., 0]
  np.testing.assert_allclose(plain, product, atol=1e-5)
  np.testing.assert_allclose(cosine, product / norms, atol=1e-5)


def test_response_equals_the_grouped_convolution():
  kernel, medium = _pair()
  np.testing.assert_allclose(
    correlate(kernel, medium, normalized=False),
    correlate_grouped(kernel, medium),
    atol=1e-5,
  )


def test_gradient_equals_that_of_the_grouped_convolution():
  kernel, medium = _pair(1)

  def total(response):
    return jnp.sum(jnp.sin(response))

  plain = jax.grad(
    lambda *x: total(correlate(*x, normalized=False)), argnums=(0, 1)
  )(kernel, medium)
  grouped = jax.grad(lambda *x: total(correlate_grouped(*x)), argnums=(0, 1))(
    kernel, medium
  )
  for one, other in zip(plain, grouped, strict=True):
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_scale_of_either_side_does_not_matter_when_normalized():
  kernel, medium = _pair(2)
  np.testing.assert_allclose(
    correlate(kernel, medium), correlate(5 * kernel, 0.1 * medium), atol=1e-5
  )


def test_window_in_the_medium_responds_with_one():
  _, medium = _pair(3)
  response = correlate(medium[:, 1:4, 2:4], medium)[..., 0]
  np.testing.assert_allclose(response[:, 1, 2], 1, atol=1e-5)
  assert float(jnp.max(response)) <= 1 + 1e-5


def test_cell_outside_of_the_window_does_not_count():
  kernel, medium = _pair(4)
  window = jnp.ones(kernel.shape[:3]).at[:, 0].set(0)
  np.testing.assert_allclose(
    correlate(kernel, medium, window=window),
    correlate(kernel[:, 1:], medium[:, 1:]),
    atol=1e-5,
  )


def test_groups_are_responses_of_their_channels():
  kernel, medium = _pair(5)
  both = correlate(kernel, medium, groups=2)
  for g, part in enumerate((slice(0, 2), slice(2, 4))):
    np.testing.assert_allclose(
      both[..., g],
      correlate(kernel[..., part], medium[..., part])[..., 0],
      atol=1e-5,
    )


def test_padding_keeps_the_size_and_the_inner_responses():
  kernel, medium = _pair(6, U=3)
  same = correlate_same(kernel, medium)
  assert same.shape == (3, 6, 7, 1)
  np.testing.assert_allclose(
    same[:, 1:-1, 1:-1], correlate(kernel, medium), atol=1e-5
  )


def test_cells_equal_kernels_of_one_feature():
  _, medium = _pair(7)
  cells = medium[:, 2, :5]
  response = correlate_cells(cells, medium)
  for k in range(5):
    np.testing.assert_allclose(
      response[..., k],
      correlate(cells[:, k, None, None], medium)[..., 0],
      atol=1e-5,
    )


def test_gradient_is_finite_where_all_is_zero():
  zeros = jnp.zeros((1, 3, 3, 2))
  gradient = jax.grad(lambda x: jnp.sum(correlate(x, zeros)))(zeros)
  assert bool(jnp.all(jnp.isfinite(gradient)))


def test_kernel_that_does_not_fit_raises():
  kernel, medium = _pair()
  with pytest.raises(ValueError, match="must fit"):
    correlate(medium, kernel)
  with pytest.raises(ValueError, match="groups must divide 4"):
    correlate(kernel, medium, groups=3)
  with pytest.raises(ValueError, match="odd"):
    correlate_same(kernel, medium)
