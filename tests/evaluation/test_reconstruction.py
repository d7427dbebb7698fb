import numpy as np
import pytest
import trimesh

from dr3d.evaluation.reconstruction import (
  chamfer_distance,
  light_field_distance,
  score_occupancy,
  score_surface,
)

pytestmark = pytest.mark.fast


def test_occupancy_scores_are_those_counted_voxel_by_voxel():
  rng = np.random.default_rng(0)
  predicted, true = rng.random((5, 5, 5)), rng.random((5, 5, 5)) > 0.6
  tp = fp = fn = 0
  for p, t in zip(predicted.flat, true.flat, strict=True):
    tp += p > 0.5 and t
    fp += p > 0.5 and not t
    fn += p <= 0.5 and t
  score = score_occupancy(predicted, true)
  assert score.precision == pytest.approx(tp / (tp + fp))
  assert score.recall == pytest.approx(tp / (tp + fn))
  assert score.iou == pytest.approx(tp / (tp + fp + fn))
  p, r = score.precision, score.recall
  assert score.f1 == pytest.approx(2 * p * r / (p + r))
  assert score.squared_error == pytest.approx(
    sum((p - t) ** 2 for p, t in zip(predicted.flat, true.flat, strict=True))
    / 125
  )


def test_empty_occupancies_agree_and_an_empty_prediction_finds_nothing():
  empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
  assert score_occupancy(empty, empty).iou == 1
  assert score_occupancy(empty, full).recall == 0
  with pytest.raises(ValueError, match="one shape"):
    score_occupancy(empty, full[0])


def test_surface_scores_equal_sums_over_all_pairs():
  rng = np.random.default_rng(1)
  p, q = rng.normal(size=(40, 3)), rng.normal(size=(30, 3))
  n, m = rng.normal(size=(40, 3)), rng.normal(size=(30, 3))
  n /= np.linalg.norm(n, axis=1, keepdims=True)
  m /= np.linalg.norm(m, axis=1, keepdims=True)
  square = ((p[:, None] - q[None]) ** 2).sum(-1)
  cosine = n @ m.T
  there, here = square.argmin(1), square.argmin(0)
  pairs = cosine[np.arange(40), there], cosine[here, np.arange(30)]
  score = score_surface(p, n, q, m)
  expected = square.min(1).mean() + square.min(0).mean()
  assert score.chamfer == pytest.approx(expected)
  assert chamfer_distance(q, p) == pytest.approx(expected)
  assert score.normal == pytest.approx(
    np.mean([np.mean(1 - each) for each in pairs])
  )
  assert score.normal_unsigned == pytest.approx(
    np.mean([np.mean(1 - np.abs(each)) for each in pairs])
  )


def test_chamfer_of_concentric_spheres_is_twice_the_squared_gap():
  ball = trimesh.creation.icosphere(4).vertices
  assert chamfer_distance(ball, 1.1 * ball) == pytest.approx(0.02, rel=1e-3)


def test_turned_normals_count_unless_unsigned():
  ball = trimesh.creation.icosphere(2)
  p, n = ball.vertices, ball.vertex_normals
  score = score_surface(p, n, p, -n)
  assert (score.chamfer, score.normal) == (0, pytest.approx(2))
  assert score.normal_unsigned == pytest.approx(0, abs=1e-9)


def test_light_field_distance_is_least_over_fields_and_turns():
  from dr3d.descriptor.dodecahedron import find_turns

  rng = np.random.default_rng(2)
  a, b = rng.random((2, 1, 10, 10, 45)).astype(np.float32)
  turns = np.asarray(find_turns()).reshape(60, -1)
  assert turns.shape == (60, 10)
  expected = min(
    np.abs(x - y[turn]).sum() for x in a[0] for y in b[0] for turn in turns
  )
  found = light_field_distance(a, b)
  assert found.shape == (1, 1)
  assert found[0, 0] == pytest.approx(expected, rel=1e-4)
  assert light_field_distance(a, a)[0, 0] == pytest.approx(0, abs=1e-3)
