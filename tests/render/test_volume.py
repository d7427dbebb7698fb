"""Rays and the compositing of samples, against closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.pose import project_points
from dr3d.camera.view import make_views, random_views
from dr3d.render.volume import (
  Rays,
  composite,
  list_pixels,
  make_rays,
  place_samples,
)

SIZE = 32


def test_rays_pass_through_their_pixels():
  views = make_views(random_views(jax.random.key(0), count=3))
  views = dataclasses.replace(
    views,
    offset=jnp.array([[0.1, -0.2], [0, 0], [-0.1, 0.1]]),
    principal=jnp.array([[0.05, -0.1], [0, 0.1], [0, 0]]),
  )
  pixels = list_pixels(SIZE)[::97]
  rays = make_rays(views, pixels, size=SIZE)
  points = rays.origin + 2.5 * rays.direction
  for n in range(3):
    found, _ = project_points(points[n], views, size=SIZE)
    np.testing.assert_allclose(found[n], pixels, atol=1e-3)


def test_chord_of_a_ray_lies_in_the_sphere():
  origin = jnp.array([[0, 0, 3.0], [0, 0.6, 3.0], [0, 1.5, 3.0]])
  rays = Rays(origin, jnp.tile(jnp.array([0, 0, -1.0]), (3, 1)))
  distance, gap = place_samples(rays, count=8)
  np.testing.assert_allclose(gap.sum(-1), [2, 1.6, 0], atol=1e-5)
  points = origin[:2, None] + distance[:2, :, None] * rays.direction[:2, None]
  assert (jnp.linalg.norm(points, axis=-1) < 1).all()


def test_fog_of_constant_density_has_the_alpha_of_beer_and_lambert():
  gap = jnp.full((1, 500), 0.004)
  distance = jnp.cumsum(gap, -1)
  drawn = composite(
    jnp.full((1, 500), 0.7), jnp.ones((1, 500, 3)), distance, gap
  )
  np.testing.assert_allclose(drawn.alpha, 1 - np.exp(-1.4), rtol=1e-4)
  np.testing.assert_allclose(
    drawn.color[0], np.repeat(drawn.alpha, 3), rtol=1e-4
  )
  np.testing.assert_allclose(drawn.weights.sum(-1), drawn.alpha, rtol=1e-4)


def test_opaque_sample_hides_those_behind_it():
  density = jnp.array([0.0, 0, 1e4, 1e4])
  color = jnp.eye(4)[:, :3]
  distance = jnp.arange(1.0, 5)
  drawn = composite(density, color, distance, jnp.ones(4))
  np.testing.assert_allclose(drawn.weights, [0, 0, 1, 0], atol=1e-6)
  np.testing.assert_allclose(drawn.color, [0, 0, 1], atol=1e-6)
  np.testing.assert_allclose(drawn.depth, 3)


def test_thin_fog_keeps_its_digits():
  drawn = composite(
    jnp.full(2, 1e-6), jnp.ones((2, 3)), jnp.arange(2.0), jnp.full(2, 1e-3)
  )
  np.testing.assert_allclose(drawn.alpha, 2e-9, rtol=1e-3)


def test_gradient_of_an_empty_ray_is_finite():
  def alpha(density):
    gap = jnp.zeros(4)
    return composite(density, jnp.ones((4, 3)), jnp.arange(4.0), gap).depth

  assert jnp.isfinite(jax.grad(alpha)(jnp.zeros(4))).all()
