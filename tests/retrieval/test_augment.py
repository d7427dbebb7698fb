"""Random changes of a model: their size, and what they must not change."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.mesh import make_mesh
from dr3d.render.triangle import stack_meshes
from dr3d.retrieval.augment import (
  AugmentConfig,
  augment,
  in_hole,
  random_field,
  residual_rotation,
)

CONFIG = AugmentConfig()
STILL = AugmentConfig(
  flip=0.0, swap=0.0, tilt=0.0, noise=0.0, roughness=0.0, hole_count=1,
  hole_radius=0.0,
)  # fmt: skip
BOX = np.array([[x, y, z] for x in (0, 3) for y in (0, 2) for z in (0, 1.0)])
FACES = np.array(
  [
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
    [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
  ]
)  # fmt: skip


@functools.partial(jax.jit, static_argnames=("config", "count"))
def turns(moments, *, config, count=2000, seed=0):
  keys = jax.random.split(jax.random.key(seed), count)
  turn = functools.partial(residual_rotation, config=config)
  return jax.vmap(lambda key: turn(jnp.float32(moments), key))(keys)


@functools.partial(jax.jit, static_argnames="config")
def change(triangles, moments, key, *, config):
  return augment(triangles, moments, key, config=config)


def make_boxes(count=4, face_count=32):
  """Padded boxes, and their moments."""
  mesh = make_mesh(BOX, FACES)
  triangles = stack_meshes(
    [mesh] * count, face_count=face_count, pose="principal"
  )
  return triangles, np.stack([mesh.moments] * count)


def area(corners):
  u = corners[..., 1, :] - corners[..., 0, :]
  v = corners[..., 2, :] - corners[..., 0, :]
  return np.linalg.norm(np.cross(u, v), axis=-1) / 2


# ----- rotations -------------------------------------------------------------


def test_residual_rotations_are_rotations():
  for moments in [(0.5, 0.3, 0.1), (0.3, 0.3, 0.1), (0.2, 0.2, 0.2)]:
    R = np.asarray(turns(moments, config=CONFIG), float)
    eye = np.broadcast_to(np.eye(3), R.shape)
    np.testing.assert_allclose(R @ R.swapaxes(1, 2), eye, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-5)


def test_axes_of_distinct_moments_keep_order_up_to_signs_and_tilt():
  config = dataclasses.replace(CONFIG, flip=1.0, swap=1.0)
  R = np.asarray(turns((0.6, 0.3, 0.1), config=config), float)
  cosine = R[:, range(3), range(3)]
  off = np.degrees(np.arccos(np.clip(np.abs(cosine), 0, 1)))
  # Two of the three tilts move each axis: its angle is Rayleigh distributed.
  median = np.degrees(config.tilt) * np.sqrt(2 * np.log(2))
  np.testing.assert_allclose(np.median(off), median, rtol=0.1)
  assert off.max() < 6 * median
  seen, count = np.unique(np.sign(cosine), axis=0, return_counts=True)
  assert [tuple(signs) for signs in seen] == [
    (-1, -1, 1), (-1, 1, -1), (1, -1, -1), (1, 1, 1)
  ]  # fmt: skip
  assert count.min() > 400


def test_axes_of_nearly_equal_moments_are_exchanged():
  config = dataclasses.replace(CONFIG, flip=0.0, tilt=0.0)
  for moments, axis in [((0.4, 0.39, 0.1), 2), ((0.6, 0.2, 0.199), 0)]:
    R = np.asarray(turns(moments, config=config), float)
    np.testing.assert_allclose(R[:, axis, axis], 1, atol=1e-6)
    swapped = np.abs(R[:, 1, 1]) < 1e-6
    np.testing.assert_allclose(swapped.mean(), config.swap, atol=0.03)
    np.testing.assert_allclose(
      R[~swapped], np.broadcast_to(np.eye(3), R[~swapped].shape), atol=1e-6
    )


# ----- the surface -----------------------------------------------------------


def test_random_field_has_deviation_one_and_is_smooth():
  points = jax.random.normal(jax.random.key(0), (2000, 3))
  keys = jax.random.split(jax.random.key(1), 8)
  field = jax.jit(
    lambda p: jax.vmap(lambda key: random_field(p, key, 12.0))(keys)
  )
  values = np.asarray(field(points))
  np.testing.assert_allclose(values.std((1, 2)), 1, atol=0.3)
  np.testing.assert_allclose(values.mean((0, 1)), 0, atol=0.1)
  near = np.asarray(field(points + 1e-4))
  assert np.abs(near - values).max() < 0.05


def test_coincident_corners_move_together():
  triangles, moments = make_boxes()
  config = dataclasses.replace(CONFIG, noise=0.05, hole_radius=0.0)
  moved = change(triangles, moments, jax.random.key(2), config=config)
  assert np.abs(moved.corners - triangles.corners).max() > 0.01
  for before, after in zip(triangles.corners, moved.corners, strict=True):
    places, index = np.unique(
      before.reshape(-1, 3), axis=0, return_inverse=True
    )
    for place in range(len(places)):
      together = np.asarray(after).reshape(-1, 3)[index.ravel() == place]
      np.testing.assert_allclose(np.ptp(together, axis=0), 0, atol=1e-6)


def test_augmentation_of_strength_zero_changes_nothing():
  triangles, moments = make_boxes()
  moved = change(triangles, moments, jax.random.key(3), config=STILL)
  np.testing.assert_allclose(moved.corners, triangles.corners, atol=1e-6)
  np.testing.assert_allclose(moved.normals, triangles.normals, atol=1e-6)


def test_normals_stay_unit_vectors_and_rotate_with_surface():
  triangles, moments = make_boxes()
  config = dataclasses.replace(STILL, tilt=1.0)
  moved = change(triangles, moments, jax.random.key(4), config=config)
  u = np.cross(
    moved.corners[:, :12, 1] - moved.corners[:, :12, 0],
    moved.corners[:, :12, 2] - moved.corners[:, :12, 0],
  )
  u /= np.linalg.norm(u, axis=-1, keepdims=True)
  np.testing.assert_allclose(moved.normals[:, :12, 0], u, atol=1e-5)
  rough = change(triangles, moments, jax.random.key(4), config=CONFIG)
  length = np.linalg.norm(rough.normals[:, :12], axis=-1)
  np.testing.assert_allclose(length, 1, rtol=1e-5)


def test_padding_keeps_area_zero_and_models_get_different_draws():
  triangles, moments = make_boxes()
  moved = change(triangles, moments, jax.random.key(5), config=CONFIG)
  np.testing.assert_allclose(
    area(np.asarray(moved.corners))[:, 12:], 0, atol=1e-9
  )
  assert np.abs(moved.corners[0] - moved.corners[1]).max() > 0.01


# ----- holes -----------------------------------------------------------------


def make_strip(faces=300, padding=700):
  """Small triangles along a line, then padding."""
  place = np.linspace(2, 4, faces)[:, None, None] * np.array([1.0, 0, 0])
  small = 1e-3 * np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
  return jnp.float32(np.concatenate([place + small, np.zeros((padding, 3, 3))]))


@pytest.mark.parametrize("padding", [0, 700])
def test_half_of_models_have_holes_at_real_faces(padding):
  corners = make_strip(padding=padding)
  config = dataclasses.replace(CONFIG, hole_count=1, hole_radius=0.2)
  keys = jax.random.split(jax.random.key(0), 400)
  cut = jax.jit(jax.vmap(lambda key: in_hole(corners, key, config=config)))
  holes = np.asarray(cut(keys))[:, :300]
  np.testing.assert_allclose(holes.any(1).mean(), 0.5, atol=0.1)
  # Each hole is an interval of length 2·radius, radius uniform up to 0.2.
  width = holes.sum(1)[holes.any(1)] * 2 / 300
  assert width.max() <= 0.41
  np.testing.assert_allclose(width.mean(), 0.2, atol=0.04)
  assert (np.abs(np.diff(holes.astype(int))).sum(1) <= 2).all()
  np.testing.assert_allclose(holes.mean(0)[20:-20], holes.mean(), atol=0.05)


def test_holes_only_remove_faces():
  triangles, moments = make_boxes()
  config = dataclasses.replace(STILL, hole_radius=3.0)
  moved = change(triangles, moments, jax.random.key(7), config=config)
  kept = area(np.asarray(moved.corners)) > 0
  assert 0 < kept.sum() < 4 * 12
  np.testing.assert_allclose(
    np.asarray(moved.corners)[kept], triangles.corners[kept], atol=1e-6
  )
