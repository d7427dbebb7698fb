"""The distance of two surfaces is measured where they are known to differ."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from dr3d.mesh import build_mesh
from dr3d.registration.deviation import measure_deviation

pytestmark = pytest.mark.fast


def make(body, *, move=False):
  body = body.copy()
  if move:
    place = np.eye(4)
    place[:3, :3] = Rotation.from_rotvec([1, 2, 0.5]).as_matrix()
    place[:3, 3] = 5, 3, 1
    body.apply_transform(place)
  vertices = np.asarray(body.vertices, np.float64)
  return build_mesh(vertices, np.asarray(body.faces), None, "body")


def make_box(*sides):
  return trimesh.creation.box(sides)


def make_bracket(mirror=1):
  """Three unequal arms: it differs from its mirror image."""
  arms = [make_box(40, 6, 6), make_box(6, 24, 6), make_box(6, 6, 14)]
  places = [(20, 0, 0), (0, 12, 0), (40, 0, 7 * mirror)]
  for arm, place in zip(arms, places, strict=True):
    arm.apply_translation(place)
  return trimesh.util.concatenate(arms)


def test_same_surface_in_another_pose_has_no_deviation():
  box = make_box(40, 25, 4)
  found = measure_deviation(make(box, move=True), make(box))
  assert found.distances.max() < 1e-3
  assert found.scale == 1
  assert not found.mirrored


def test_thicker_plate_deviates_by_half_the_difference():
  found = measure_deviation(
    make(make_box(40, 25, 5), move=True), make(make_box(40, 25, 4))
  )
  # Its two large faces each lie 0.5 mm outside; in the middle of its narrow
  # sides it touches the other.
  assert found.far == pytest.approx(0.5, abs=0.03)
  assert found.mean == pytest.approx(0.42, abs=0.05)
  assert found.distances.max() < 0.6
  assert found.vertices[:, 2].max() == pytest.approx(2.5, abs=0.03)


def test_other_size_is_drawn_at_that_of_the_model():
  box = make_box(40, 25, 4)
  large = box.copy().apply_scale(3)
  found = measure_deviation(make(large, move=True), make(box))
  assert found.scale == pytest.approx(1 / 3, rel=1e-4)
  assert found.distances.max() < 1e-3


def test_mirror_image_is_laid_on_with_its_faces_outside():
  found = measure_deviation(
    make(make_bracket(-1), move=True), make(make_bracket())
  )
  assert found.mirrored
  assert found.far < 0.05
  laid = trimesh.Trimesh(found.vertices, found.faces, process=False)
  assert laid.volume > 0
