"""Viewpoints: rotations, fixed sets, and what is allowed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dr3d.camera import view
from dr3d.camera.view import (
  dodecahedron_views,
  look_from,
  make_views,
  project,
  random_views,
  ring_views,
  rotation_matrix,
  sphere_views,
  view_directions,
)


def random_unit(seed, *shape):
  x = np.random.default_rng(seed).normal(size=shape)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def smallest_angle(quaternions):
  z = np.asarray(view_directions(jnp.float32(quaternions)), float)
  cosine = np.clip(z @ z.T, -1, 1) - 3 * np.eye(len(z))
  return np.degrees(np.arccos(np.clip(cosine.max(), -1, 1)))


# ----- rotations -------------------------------------------------------------


def test_matrices_equal_those_of_scipy():
  q = random_unit(0, 5, 7, 4)
  got = rotation_matrix(jnp.float32(3 * q))  # of any length
  true = Rotation.from_quat(q.reshape(-1, 4), scalar_first=True).as_matrix()
  np.testing.assert_allclose(got.reshape(-1, 3, 3), true, atol=1e-6)


def test_quaternion_and_its_negative_are_one_rotation():
  q = jnp.float32(random_unit(1, 6, 4))
  np.testing.assert_array_equal(rotation_matrix(-q), rotation_matrix(q))


def test_zero_quaternion_is_the_identity_with_a_finite_gradient():
  zero = jnp.zeros((2, 4))
  np.testing.assert_array_equal(rotation_matrix(zero)[1], np.eye(3))
  slope = jax.jacobian(rotation_matrix)(zero)
  assert np.isfinite(slope).all()


def test_view_direction_points_from_object_to_camera():
  # Turned by q, the direction lies on the axis from the object to the camera.
  q = random_unit(2, 9, 4)
  got = np.asarray(view_directions(jnp.float32(q)), float)
  turned = Rotation.from_quat(q, scalar_first=True).apply(got)
  np.testing.assert_allclose(turned, np.tile([0, 0, 1], (9, 1)), atol=1e-6)


def test_looking_from_a_direction_puts_it_on_the_optical_axis():
  # With the poles, where the up vector changes.
  poles = [[0, 0, 1], [0, 0, -1], [1e-3, 0, 1], [0, 0.2, -1.0]]
  towards = np.concatenate([2.5 * random_unit(3, 20, 3), poles])
  q = look_from(towards)
  np.testing.assert_allclose(np.linalg.norm(q, axis=-1), 1, rtol=1e-12)
  unit = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
  turned = Rotation.from_quat(q, scalar_first=True).apply(unit)
  np.testing.assert_allclose(turned, np.tile([0, 0, 1], (24, 1)), atol=1e-12)


def test_z_axis_of_the_object_points_up_in_the_image():
  towards = random_unit(4, 20, 3)
  towards = towards[np.abs(towards[:, 2]) < 0.98]
  q = Rotation.from_quat(look_from(towards), scalar_first=True)
  up = q.apply([0, 0, 1])
  np.testing.assert_allclose(up[:, 0], 0, atol=1e-12)
  assert (up[:, 1] > 0).all()


# ----- fixed sets ------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 6, 12, 100])
def test_views_are_spread_over_the_sphere(count):
  q = sphere_views(count)
  assert q.shape == (count, 4)
  np.testing.assert_allclose(np.linalg.norm(q, axis=-1), 1, rtol=1e-12)
  if count > 1:
    # A cap for each: equal areas would have this angle, if caps could tile.
    even = np.degrees(2 * np.arccos(1 - 2 / count))
    assert smallest_angle(q) > 0.6 * even
    assert smallest_angle(q) <= 1.05 * even or count == 2


def test_views_of_a_ring_stand_at_one_elevation_and_equal_turns():
  q = ring_views(8, elevation=0.4)
  z = np.asarray(view_directions(jnp.float32(q)), float)
  np.testing.assert_allclose(z[:, 2], np.sin(0.4), atol=1e-6)
  turn = np.sort(np.arctan2(z[:, 1], z[:, 0]))
  np.testing.assert_allclose(np.diff(turn), np.pi / 4, atol=1e-5)


def test_corners_of_a_dodecahedron_are_41_81_degrees_apart():
  q = dodecahedron_views()
  assert q.shape == (20, 4)
  np.testing.assert_allclose(smallest_angle(q), 41.8103, atol=1e-2)


def test_random_views_are_uniform_over_all_rotations():
  q = np.asarray(random_views(jax.random.key(0), count=4000), float)
  np.testing.assert_allclose(np.linalg.norm(q, axis=-1), 1, rtol=1e-5)
  # Uniform unit quaternions have the second moment I / 4.
  np.testing.assert_allclose(q.T @ q / 4000, np.eye(4) / 4, atol=0.02)


# ----- what is allowed -------------------------------------------------------


def make_wild(seed, scale):
  views = make_views(random_unit(seed, 5, 4))
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: jnp.float32(x + scale * rng.normal(size=x.shape)), views
  )


def assert_allowed(views):
  def within(x, bounds):
    assert bounds[0] <= x.min()
    assert x.max() <= bounds[1]

  bounds = [np.float32(x) for x in view.DISTANCE_RANGE]
  within(views.distance, bounds)
  within(views.fov, [np.float32(x) for x in view.FOV_RANGE])
  within(views.light.ambient, [np.float32(x) for x in view.AMBIENT_RANGE])
  within(views.light.intensity, [np.float32(x) for x in view.INTENSITY_RANGE])
  mean = views.light.intensity.mean((1, 2))
  assert mean.min() >= view.LEAST_INTENSITY * (1 - 1e-5)
  material = views.material
  within(material.diffuse, [np.float32(x) for x in view.DIFFUSE_RANGE])
  within(material.specular, [np.float32(x) for x in view.SPECULAR_RANGE])
  within(material.shininess, [np.float32(x) for x in view.SHININESS_RANGE])
  for unit in (views.quaternion, views.light.direction):
    np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_projection_keeps_every_range_and_is_idempotent(scale):
  views = jax.jit(project)(make_wild(int(scale * 100), scale))
  assert_allowed(views)
  jax.tree.map(
    lambda once, twice: np.testing.assert_allclose(twice, once, rtol=1e-6),
    views,
    project(views),
  )


def test_views_within_bounds_do_not_change():
  views = make_views(random_unit(6, 5, 4))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(y, x, rtol=1e-6),
    views,
    project(views),
  )


def test_too_dark_lights_are_raised():
  views = make_views(random_unit(7, 3, 4))
  dark = dataclasses.replace(views.light, intensity=jnp.zeros((3, 3, 3)))
  lit = project(dataclasses.replace(views, light=dark)).light.intensity
  np.testing.assert_allclose(lit, view.LEAST_INTENSITY, rtol=1e-6)


def test_field_of_view_just_holds_the_unit_sphere():
  for distance in (1.5, 3.0, 10.0):
    views = make_views(sphere_views(2), distance=distance)
    ratio = float(views.fov[0]) / (2 * np.arcsin(1 / distance))
    assert 1 < ratio < 1.05


def test_coloured_lights_shine_from_three_sides_and_white_from_one():
  views = make_views(sphere_views(4))
  assert views.count == 4
  assert views.light.direction.shape == (4, 3, 3)
  assert (jnp.count_nonzero(views.light.intensity, axis=-1) == 1).all()
  white = make_views(sphere_views(4), colored=False)
  assert white.light.direction.shape == (4, 1, 3)
  assert (white.light.intensity == white.light.intensity[..., :1]).all()


# ----- messages --------------------------------------------------------------


def test_invalid_argument_raises_with_its_value():
  with pytest.raises(ValueError, match=r"\[N, 4\], got \(3, 3\)"):
    make_views(np.ones((3, 3)))
  with pytest.raises(ValueError, match=r"more than 1 radius, got 1"):
    make_views(np.ones((3, 4)), distance=1.0)
  with pytest.raises(ValueError, match=r"\[\.\.\., 4\], got \(2, 3\)"):
    rotation_matrix(jnp.ones((2, 3)))
  with pytest.raises(ValueError, match=r"\[N, 3\], got \(3,\)"):
    look_from(np.ones(3))
  with pytest.raises(ValueError, match="at least 1, got 0"):
    sphere_views(0)
  with pytest.raises(ValueError, match="at least 1, got 0"):
    ring_views(0)
