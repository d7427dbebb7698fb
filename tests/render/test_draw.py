"""The call without a budget, against the call with an ample one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dr3d
from dr3d.render import draw

AMPLE = dr3d.Budget(pairs=1024, blocks=128)
VIEWS = dr3d.make_views(dr3d.ring_views(2), colored=False)
TETRAHEDRON = dr3d.make_mesh(
  np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]),
  np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)
TRIANGLES = dr3d.stack_meshes([TETRAHEDRON], face_count=4)


@pytest.fixture(scope="module")
def square():
  images, usage = dr3d.render(TRIANGLES, VIEWS, size=32, budget=AMPLE)
  assert AMPLE.holds(usage)
  return np.asarray(images)


def test_call_without_budget_equals_the_one_with_ample_budget(square):
  images = dr3d.render(TRIANGLES, VIEWS, size=32)
  np.testing.assert_allclose(images, square, atol=1e-6)
  assert square[..., 3].max() > 0.99


def test_budget_that_is_too_small_grows_until_the_image_is_complete(
  square, monkeypatch
):
  small = dr3d.Budget(pairs=1, blocks=1)

  def fit(*args):
    return small

  monkeypatch.setattr(draw, "_budgets", {})
  monkeypatch.setattr(draw, "_fit", fit)
  _, usage = dr3d.render(TRIANGLES, VIEWS, size=32, budget=small)
  assert not small.holds(usage)
  images = dr3d.render(TRIANGLES, VIEWS, size=32)
  np.testing.assert_allclose(images, square, atol=1e-6)
  (held,) = draw._budgets.values()
  assert held.holds(usage)


def test_wide_image_is_the_square_one_with_more_at_its_sides(square):
  images = dr3d.render(TRIANGLES, VIEWS, size=(32, 48))
  assert images.shape == (1, 2, 32, 48, 4)
  np.testing.assert_allclose(images[..., 8:40, :], square, atol=1e-5)


def test_one_mesh_has_no_axis_of_models(square):
  # Viewpoints alone get the cameras and the light of VIEWS.
  images = dr3d.render(TETRAHEDRON, dr3d.ring_views(2), size=32)
  np.testing.assert_allclose(images, square[0], atol=1e-5)


def test_background_shows_where_alpha_is_below_one(square):
  color = np.array([0.2, 0.4, 0.6])
  images = np.asarray(dr3d.render(TRIANGLES, VIEWS, size=32, background=color))
  alpha = square[..., 3:]
  expected = square[..., :3] + (1 - alpha) * color
  np.testing.assert_allclose(images[..., :3], expected, atol=1e-5)
  np.testing.assert_array_equal(images[..., 3], 1)


def test_gradient_without_budget_equals_finite_differences():
  def loss(scale):
    corners = scale * jnp.asarray(TRIANGLES.corners)
    triangles = dr3d.Triangles(corners, TRIANGLES.normals)
    return jnp.mean(dr3d.render(triangles, VIEWS, size=32)[..., 3])

  step = 1e-2
  slope = (loss(0.8 + step) - loss(0.8 - step)) / (2 * step)
  assert slope > 0.1
  np.testing.assert_allclose(jax.grad(loss)(0.8), slope, rtol=0.02)


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap])
def test_traced_call_without_budget_raises_and_says_what_to_do(transform):
  def call(sigma):
    return dr3d.render(TRIANGLES, VIEWS, size=32, sigma=sigma)

  with pytest.raises(ValueError, match=r"dr3d.fit_budget"):
    transform(call)(jnp.array([0.7])[0 if transform is jax.jit else ...])


@pytest.mark.parametrize(
  ("shape", "options", "match"),
  [
    ([], {}, "at least one mesh"),
    (TRIANGLES, {"size": (0, 4)}, "at least 1 pixel"),
    (TRIANGLES, {"framing": "x"}, "framing must be one of"),
  ],
)
def test_bad_arguments_raise(shape, options, match):
  with pytest.raises(ValueError, match=match):
    dr3d.render(shape, VIEWS, **options)
