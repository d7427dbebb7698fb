"""Sampled points tell which models are worth a registration."""

import numpy as np
import pytest
import trimesh

from dr3d.data.scan import random_rotation
from dr3d.mesh import make_mesh
from dr3d.mesh.packing import pack_mesh
from dr3d.registration.coarse import (
  compare_samples,
  sample_mesh,
  sample_packed,
)
from dr3d.registration.robust import measure_trimmed
from dr3d.registration.surface import find_pose, make_cloud


def make_angle(*, length=3.0, turn=None):
  """An angle section whose halves differ."""
  one = trimesh.creation.box([length, 1, 0.2])
  two = trimesh.creation.box([length / 2, 0.2, 0.8])
  two.apply_translation([length / 4, 0.4, 0.4])
  both = trimesh.util.concatenate([one, two]).subdivide().subdivide()
  vertices = both.vertices if turn is None else both.vertices @ turn.T
  return vertices, both.faces


@pytest.fixture(scope="module")
def turn():
  return random_rotation(np.random.default_rng(2))


def test_packed_mesh_has_the_points_of_the_mesh():
  mesh = make_mesh(*make_angle())
  np.testing.assert_array_equal(
    sample_packed(pack_mesh(mesh)), sample_mesh(mesh)
  )


def test_turned_model_is_nearer_than_others(turn):
  query = sample_mesh(make_mesh(*make_angle(turn=turn)))
  models = [
    make_mesh(*make_angle()),
    make_mesh(*make_angle(length=1.5)),
    make_mesh(*trimesh_arrays(trimesh.creation.icosphere())),
  ]
  distances = compare_samples(query, [sample_mesh(m) for m in models])
  assert distances.argmin() == 0
  assert distances[0] < 0.5 * distances[1:].min()


def test_distance_of_a_model_does_not_depend_on_the_others():
  rng = np.random.default_rng(4)
  query, *models = rng.normal(size=(21, 80, 3)).astype(np.float32)
  together = compare_samples(query, models)
  alone = [compare_samples(query, [model])[0] for model in models]
  np.testing.assert_allclose(together, alone, rtol=1e-5)
  assert compare_samples(query, []).shape == (0,)


def test_missing_side_and_other_size_leave_the_trimmed_distance_small(turn):
  vertices, faces = make_angle(turn=turn)
  center = vertices[faces].mean(axis=1) @ turn
  scan = make_mesh(vertices, faces[center[:, 0] < 1.2])  # an end is missing
  query, model = make_cloud(scan), make_cloud(make_mesh(*make_angle()))
  pose = find_pose(query, model)
  assert measure_trimmed(query, model, pose) < 0.3 * pose.fit.mean
  other = make_cloud(make_mesh(*make_angle(length=1.5)))
  far = measure_trimmed(query, other, find_pose(query, other))
  assert measure_trimmed(query, model, pose) < 0.5 * far


def trimesh_arrays(body):
  return np.asarray(body.vertices), np.asarray(body.faces)
