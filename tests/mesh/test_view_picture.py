import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from dr3d.mesh import make_mesh
from dr3d.mesh.view_picture import draw_view

pytestmark = pytest.mark.fast

FRONT = np.array([1.0, 0, 0, 0])  # w first


def _turn(matrix):
  return Rotation.from_matrix(matrix).as_quat(scalar_first=True)


def _make(body):
  return make_mesh(body.vertices, body.faces)


def test_ball_is_a_disc_that_fills_the_picture_and_is_brightest_at_the_light():
  image = draw_view(
    _make(trimesh.creation.icosphere(3)), FRONT, distance=3, size=64
  )
  alpha = image[..., 3]
  assert alpha.mean() == pytest.approx(np.pi / 4 * 0.96**2, abs=0.01)
  y, x = np.unravel_index(image[..., 0].argmax(), alpha.shape)
  assert x > 34  # the light comes from the right above
  assert y < 30
  assert (image[..., 0] <= alpha + 1e-6).all()


def test_near_face_hides_the_far_one_from_both_sides():
  # Two squares face each other; the one behind is larger.
  near = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) * 0.5
  far = near * (1.6, 1.6, -1)
  faces = np.array([[0, 1, 2], [0, 2, 3]])
  tilted = far.copy()
  tilted[:2, 2] -= 0.5  # so that the far one is darker
  mesh = make_mesh(
    np.concatenate([near, tilted]), np.concatenate([faces, faces + 4])
  )
  back = Rotation.from_euler("y", 180, degrees=True).as_matrix()
  front = mesh.frame.T  # undoes the principal pose
  one = draw_view(mesh, _turn(front), distance=4, size=64)
  other = draw_view(mesh, _turn(back @ front), distance=4, size=64)
  middle = one[24:40, 24:40, 0]
  assert np.ptp(middle) < 1e-5  # one flat face
  assert abs(one[32, 32, 0] - one[32, 3, 0]) > 0.01  # beside it the far one
  assert np.ptp(other[8:56, 8:56, 0]) < 1e-5  # which now hides the near one


def test_near_end_of_a_bar_is_larger_and_more_so_from_near():
  bar = _make(trimesh.creation.box((1, 1, 4)))
  turn = Rotation.from_euler("x", 60, degrees=True).as_matrix() @ bar.frame.T

  def ratio(distance):
    alpha = (
      draw_view(bar, _turn(turn), distance=distance, size=96)[..., 3] > 0.5
    )
    wide = alpha.sum(axis=1)[alpha.any(axis=1)]
    n = len(wide) // 4
    one, other = wide[:n].max(), wide[-n:].max()
    return max(one, other) / min(one, other)

  assert ratio(2) > ratio(6) > 1


def test_camera_within_the_mesh_is_an_error():
  with pytest.raises(ValueError, match="more than 1 radius, got 1"):
    draw_view(_make(trimesh.creation.box()), FRONT, distance=1, size=8)
