"""Meshes laid upon others by their pictures: known poses, sizes and orders."""

import dataclasses

import numpy as np
import pytest
import trimesh

from dr3d.data.scan import random_rotation
from dr3d.mesh import make_mesh
from dr3d.registration.image import AlignConfig, align
from dr3d.registration.surface import Fit, Pose, find_pose, make_cloud
from dr3d.search.answer import Match
from dr3d.search.refinement import refine_matches

CONFIG = AlignConfig(size=32, steps=12)
FIT = Fit(0.0, 0.0, False)


def bracket(hole=0.5, length=3.0):
  """An angle of two plates and a box on it: it is not its own mirror image."""
  parts = [
    trimesh.creation.box([length, 2, 0.4]),
    trimesh.creation.box([0.4, 2, 1.6]),
    trimesh.creation.box([hole, 0.6, 1.0]),
  ]
  for part, place in zip(
    parts, [(0, 0, 0), (length / 2, 0, 0.8), (-0.7, 0.6, 0.5)], strict=True
  ):
    part.apply_translation(place)
  whole = trimesh.util.concatenate(parts)
  return np.asarray(whole.vertices), np.asarray(whole.faces)


def turned(vertices, faces, seed=0):
  turn = random_rotation(np.random.default_rng(seed))
  return make_mesh(vertices @ turn.T * 7 + 3, faces)


def small_turn(degrees, axis):
  angle = np.radians(degrees)
  x, y, z = np.asarray(axis) / np.linalg.norm(axis)
  cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
  return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def angle(turn):
  return np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))


@pytest.fixture(scope="module")
def mesh():
  return make_mesh(*bracket())


def test_a_pose_that_is_a_little_off_is_found_by_the_gradient(mesh):
  first = [
    Pose(small_turn(4, axis), np.array(shift), FIT)
    for axis, shift in (
      ((1, 0, 0), (0.03, 0, 0)),
      ((0, 1, 1), (0, -0.02, 0.03)),
      ((1, 2, 3), (0.0, 0.0, 0.0)),
    )
  ]
  found = align(mesh, [mesh] * 3, first, config=CONFIG)
  assert (found.difference < 0.4 * found.first_difference).all()
  for pose, turn, shift in zip(first, found.turn, found.shift, strict=True):
    assert angle(turn) < 0.5 * angle(pose.turn)
    assert np.linalg.norm(shift) < 0.02
  np.testing.assert_allclose(found.scale, 1, atol=0.02)


def test_the_size_is_fitted_unless_it_is_known(mesh):
  smaller = dataclasses.replace(mesh, vertices=0.95 * mesh.vertices)
  pose = Pose(np.eye(3), np.zeros(3), FIT)
  fitted = align(smaller, [mesh] * 3, [pose] * 3, config=CONFIG)
  np.testing.assert_allclose(fitted.scale, 1 / 0.95, atol=0.015)
  known = align(
    smaller, [mesh] * 3, [pose] * 3, scales=[1, 1 / 0.95, 1], config=CONFIG
  )
  np.testing.assert_allclose(known.scale, [1, 1 / 0.95, 1], rtol=1e-6)
  assert known.difference[1] < 0.2 * known.difference[0]


def test_a_pose_that_is_right_stays(mesh):
  pose = Pose(np.eye(3), np.zeros(3), FIT)
  found = align(mesh, [mesh] * 3, [pose] * 3, config=CONFIG)
  np.testing.assert_allclose(found.difference, 0, atol=1e-6)
  np.testing.assert_allclose(found.turn, [np.eye(3)] * 3, atol=1e-6)


def test_near_alike_models_are_put_in_the_order_of_what_is_seen():
  meshes = {
    "long": turned(*bracket(length=3.2), seed=1),
    "wide": turned(*bracket(hole=0.7), seed=2),
    "right": turned(*bracket(), seed=3),
  }
  matches = [
    Match(rank, name, "bracket", 0.9, 0)
    for rank, name in enumerate(["gone", *meshes], start=1)
  ]
  found = refine_matches(
    turned(*bracket(), seed=4), matches, meshes, config=CONFIG
  )
  assert [match.rank for match in found] == [1, 2, 3, 4]
  assert found[0].model == "right"
  assert found[0].difference < 0.3 * found[1].difference
  assert found[0].distance < 0.3 * found[1].distance
  assert (found[3].model, found[3].difference) == ("gone", None)
  fewer = refine_matches(
    turned(*bracket(), seed=4), matches[2:], meshes, config=CONFIG
  )
  assert [match.model for match in fewer] == ["right", "wide"]
  assert refine_matches(meshes["long"], matches[:1], {}) == (matches[0],)


def test_a_matching_pair_of_views_is_one_of_the_poses_tried():
  # Of a ball with a knob, the principal axes leave the turns open.
  ball = trimesh.creation.icosphere(subdivisions=2)
  knob = trimesh.creation.box([0.2, 0.3, 0.4])
  knob.apply_translation([0.5, 0.6, 0.7])
  vertices = np.concatenate([ball.vertices, knob.vertices])
  faces = np.concatenate([ball.faces, knob.faces + len(ball.vertices)])
  one, two = make_mesh(vertices, faces), turned(vertices, faces, seed=5)
  turn = random_rotation(np.random.default_rng(5))
  hint = one.frame @ turn.T @ two.frame.T
  one, two = make_cloud(one), make_cloud(two)
  assert find_pose(two, one, turns=[hint]).fit.mean < 0.05
  assert (
    find_pose(two, one, turns=[hint]).fit.mean <= find_pose(two, one).fit.mean
  )


def test_as_many_poses_as_candidates_are_needed(mesh):
  pose = Pose(np.eye(3), np.zeros(3), FIT)
  with pytest.raises(ValueError, match="got 1 and 2"):
    align(mesh, [mesh, mesh], [pose])
  with pytest.raises(ValueError, match="got 0 and 0"):
    align(mesh, [], [])
  with pytest.raises(ValueError, match="2 scales needed, got 1"):
    align(mesh, [mesh, mesh], [pose, pose], scales=[1.0])
