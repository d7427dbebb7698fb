"""Cameras from landmarks: exact, noisy and degenerate sets."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dr3d.camera.bundle import fit_points
from dr3d.camera.landmark import fit_cameras
from dr3d.camera.matrix import to_opencv
from dr3d.camera.pose import project_points
from dr3d.camera.view import make_views

SIZE = 64
K = 12
POINTS = np.float32(
  [
    [-0.4, -0.4, 0], [0.4, -0.4, 0], [0.4, 0.4, 0], [-0.4, 0.4, 0.7],
    [0.4, 0.4, 0.7], [0, -0.3, -0.5],
  ]
)  # fmt: skip


@pytest.fixture(scope="module")
def cameras():
  """Random cameras with shifts, and the exact landmarks."""
  rng = np.random.default_rng(0)
  views = make_views(
    Rotation.random(K, random_state=1).as_quat(scalar_first=True),
    colored=False,
  )
  views = dataclasses.replace(
    views,
    distance=np.float32(rng.uniform(2.5, 4, K)),
    offset=np.float32(rng.uniform(-0.1, 0.1, (K, 2))),
  )
  pixels, _ = project_points(POINTS, views, size=SIZE)
  return views, np.asarray(pixels) - 0.5  # OpenCV's pixel centres


def angles(found, true):
  cosine = np.abs((np.asarray(found) * np.asarray(true)).sum(-1))
  return np.degrees(2 * np.arccos(cosine.clip(0, 1)))


def test_exact_landmarks_give_the_cameras(cameras):
  views, pixels = cameras
  k = to_opencv(views, size=SIZE).intrinsics
  fit = fit_cameras(pixels, POINTS, k, size=SIZE)
  assert angles(fit.views.quaternion, views.quaternion).max() < 0.1
  np.testing.assert_allclose(fit.views.distance, views.distance, rtol=2e-3)
  np.testing.assert_allclose(fit.views.offset, views.offset, atol=2e-3)
  assert fit.error.max() < 1e-2


def test_focal_length_is_found_from_landmarks_in_space(cameras):
  views, pixels = cameras
  k = np.array(to_opencv(views, size=SIZE).intrinsics)
  wrong = k.copy()
  wrong[:, [0, 1], [0, 1]] *= 1.15
  fit = fit_cameras(pixels, POINTS, wrong, size=SIZE, fit_focal=True)
  np.testing.assert_allclose(fit.focal, k[:, 0, 0], rtol=0.02)


def test_error_grows_with_the_noise(cameras):
  views, pixels = cameras
  k = to_opencv(views, size=SIZE).intrinsics
  span = np.ptp(pixels, axis=1).max(axis=1)[:, None, None]
  noise = np.random.default_rng(2).normal(size=pixels.shape) * span
  found = [
    fit_cameras(pixels + share * noise, POINTS, k, size=SIZE)
    for share in (0.003, 0.03)
  ]
  small, large = (
    np.median(angles(fit.views.quaternion, views.quaternion)) for fit in found
  )
  assert small < 1.5
  assert small < large < 15
  # Some of the noise is fitted: the residual is below it.
  assert found[1].error.mean() < 0.03 * np.sqrt(2) * span.mean()


def test_points_and_cameras_are_found_by_turns(cameras):
  views, pixels = cameras
  views = dataclasses.replace(views, offset=None)
  pixels = np.asarray(project_points(POINTS, views, size=SIZE)[0]) - 0.5
  k = to_opencv(views, size=SIZE).intrinsics
  fit = fit_points(pixels, k, size=SIZE)
  assert fit.error.max() < 0.2
  found, true = fit.points, POINTS - POINTS.mean(axis=0)
  scale = np.linalg.norm(true) / np.linalg.norm(found)
  _, rest = Rotation.align_vectors(true, found * scale)
  # Up to rotation and scale, and not mirrored.
  assert rest < 0.05 * np.linalg.norm(true)


@pytest.mark.parametrize(
  ("points", "message"),
  [
    (POINTS[:3], "needs 4 landmarks, got 3"),
    (np.linspace(0, 1, 6)[:, None] * POINTS[1:2], "on one line"),
    (np.tile(POINTS[:1], (6, 1)), "in one place"),
    (np.full((6, 3), np.nan), "finite"),
  ],
)
def test_degenerate_points_raise(cameras, points, message):
  _, pixels = cameras
  with pytest.raises(ValueError, match=message):
    fit_cameras(pixels[:, : len(points)], points, np.eye(3), size=SIZE)


def test_landmarks_of_a_picture_on_a_line_raise(cameras):
  _, pixels = cameras
  pixels = pixels.copy()
  pixels[3] = np.arange(6)[:, None] * np.array([2.0, 1.0])
  with pytest.raises(ValueError, match=r"picture 3 lie .* on one line"):
    fit_cameras(pixels, POINTS, np.eye(3), size=SIZE)


def test_flat_points_do_not_give_a_focal_length(cameras):
  _, pixels = cameras
  flat = POINTS * np.float32([1, 1, 0])
  with pytest.raises(ValueError, match="focal length"):
    fit_cameras(pixels, flat, np.eye(3), size=SIZE, fit_focal=True)
