"""Cameras of OpenCV and OpenGL, against projections by their own formulas."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dr3d.camera.matrix import from_opencv, from_opengl, to_opencv, to_opengl
from dr3d.camera.pose import project_points
from dr3d.camera.view import make_views
from dr3d.render.layer import render_hard
from dr3d.render.raster import Budget
from dr3d.render.shading import flat_normals
from dr3d.render.triangle import Triangles

pytestmark = pytest.mark.usefixtures("x64")

SIZE = 48
CAMERAS = ["perspective", "orthographic"]


def make_random_views(seed, *, count=4):
  """Views that differ in everything, with points before them."""
  rng = np.random.default_rng(seed)
  views = make_views(rng.normal(size=(count, 4)))
  views = dataclasses.replace(
    views,
    distance=rng.uniform(1.5, 4, count),
    fov=rng.uniform(0.3, 1.4, count),
    offset=rng.uniform(-0.5, 0.5, (count, 2)),
    principal=rng.uniform(-0.2, 0.2, (count, 2)),
  )
  views = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), views)
  return views, rng.uniform(-0.5, 0.5, (30, 3))


def assert_same_cameras(got, views):
  points = np.random.default_rng(99).uniform(-0.5, 0.5, (9, 3))
  for camera in CAMERAS:
    a, b = (
      project_points(points, v, size=SIZE, camera=camera) for v in (got, views)
    )
    np.testing.assert_allclose(a[0], b[0], atol=1e-9)
    np.testing.assert_allclose(a[1], b[1], atol=1e-12)


# ----- OpenCV ----------------------------------------------------------------


def project_opencv(points, rotation, translation, intrinsics):
  """As the page of calib3d: x' = X/Z, u = fx x' + cx."""
  x, y, z = (points @ rotation.T + translation).T
  u = intrinsics[0, 0] * (x / z) + intrinsics[0, 2]
  v = intrinsics[1, 1] * (y / z) + intrinsics[1, 2]
  return np.stack([u, v], axis=-1), z


def test_opencv_sees_points_half_a_pixel_up_and_left_of_dr3d():
  views, points = make_random_views(0)
  camera = to_opencv(views, size=SIZE)
  pixels, depth = project_points(points, views, size=SIZE)
  for n in range(views.count):
    u, z = project_opencv(
      points,
      np.asarray(camera.rotation[n]),
      np.asarray(camera.translation[n]),
      np.asarray(camera.intrinsics[n]),
    )
    np.testing.assert_allclose(u + 0.5, pixels[n], atol=1e-9)
    np.testing.assert_allclose(z, depth[n], atol=1e-12)
    rotation = Rotation.from_matrix(camera.rotation[n])
    np.testing.assert_allclose(
      rotation.as_matrix(), camera.rotation[n], atol=1e-12
    )


def test_opencv_round_trip_keeps_cameras():
  views, _ = make_random_views(1)
  camera = to_opencv(views, size=SIZE)
  got = from_opencv(
    camera.rotation, camera.translation, camera.intrinsics, size=SIZE
  )
  for name in ("distance", "fov", "offset", "principal"):
    np.testing.assert_allclose(
      getattr(got, name), getattr(views, name), atol=1e-12
    )
  assert_same_cameras(got, views)
  again = to_opencv(got, size=SIZE)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), again, camera
  )


def test_dr3d_draws_the_pixels_to_which_opencv_projects():
  # The plane 2 before the camera, cut out where OpenCV has pixels 10 to 19 in x
  # and 5 to 7 in y: from half a pixel before to half a pixel after centres.
  rotation = Rotation.from_rotvec([0.5, -1.2, 0.3]).as_matrix()
  translation = np.array([0.1, -0.2, 2.2])
  k = np.array([[60.0, 0, 22.3], [0, 60.0, 25.1], [0, 0, 1]])
  corners = [
    np.linalg.solve(k, [u, v, 1]) * 2.0
    for u, v in [(9.5, 4.5), (19.5, 4.5), (19.5, 7.5), (9.5, 7.5)]
  ]
  a, b, c, d = (rotation.T @ (p - translation) for p in corners)
  corners = jnp.array([[[a, b, c], [a, c, d]]])
  # A hair inside, so that rounding does not decide.
  corners = corners.mean((1, 2)) + (corners - corners.mean((1, 2))) * 0.9999
  views = from_opencv(rotation[None], translation[None], k, size=SIZE)
  draw = functools.partial(
    render_hard, size=SIZE, budget=Budget(pairs=512, blocks=64)
  )
  model = Triangles(corners, flat_normals(corners))
  image = jax.jit(draw)(model, views).image
  expected = np.zeros((SIZE, SIZE))
  expected[5:8, 10:20] = 1
  np.testing.assert_array_equal(image[0, 0, ..., 3], expected)


# ----- OpenGL ----------------------------------------------------------------


def project_opengl(points, view, projection, size):
  """Clip space, division by w, and a viewport of size × size at (0, 0)."""
  clip = np.c_[points, np.ones(len(points))] @ (projection @ view).T
  ndc = clip[:, :3] / clip[:, 3:]
  window = (ndc[:, :2] + 1) / 2 * size
  # Windows count rows from the bottom.
  return np.stack([window[:, 0], size - window[:, 1]], -1), ndc, clip


@pytest.mark.parametrize("camera", CAMERAS)
def test_opengl_sees_points_where_dr3d_does(camera):
  views, points = make_random_views(2)
  view, projection = to_opengl(views, near=0.2, far=7.0, camera=camera)
  pixels, depth = project_points(points, views, size=SIZE, camera=camera)
  for n in range(views.count):
    window, _, clip = project_opengl(
      points, np.asarray(view[n]), np.asarray(projection[n]), SIZE
    )
    np.testing.assert_allclose(window, pixels[n], atol=1e-9)
    eye = np.asarray(view[n]) @ np.append(points[0], 1)
    np.testing.assert_allclose(-eye[2], depth[n, 0], atol=1e-12)
    w = depth[n] if camera == "perspective" else 1
    np.testing.assert_allclose(clip[:, 3], w, atol=1e-12)


@pytest.mark.parametrize("camera", CAMERAS)
def test_clip_space_ends_at_planes_and_image_border(camera):
  views, _ = make_random_views(3, count=1)
  near, far = 0.3, 5.0
  view, projection = (
    np.asarray(m[0])
    for m in to_opengl(views, near=near, far=far, camera=camera)
  )
  for depth, expected in ((near, -1), (far, 1)):
    place = np.linalg.solve(view, [0.1, 0.2, -depth, 1])[:3]
    _, ndc, _ = project_opengl(place[None], view, projection, SIZE)
    np.testing.assert_allclose(ndc[0, 2], expected, atol=1e-12)
  # The corner of the picture at the lower left is (-1, -1).
  rays = [np.linalg.solve(projection @ view, [-1, -1, z, 1]) for z in (-1, 1)]
  for ray in rays:
    pixel, _ = project_points(
      ray[None, :3] / ray[3], views, size=SIZE, camera=camera
    )
    np.testing.assert_allclose(pixel[0, 0], [0, SIZE], atol=1e-9)


def test_plain_view_has_the_matrix_of_the_textbook():
  views = make_views(np.array([[1.0, 0, 0, 0]]), distance=3.0)
  fov = jnp.array([np.pi / 2])
  view, projection = to_opengl(
    dataclasses.replace(views, fov=fov), near=1.0, far=3.0
  )
  np.testing.assert_allclose(
    view[0], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -3], [0, 0, 0, 1]]
  )
  # gluPerspective(90, 1, 1, 3).
  np.testing.assert_allclose(
    projection[0],
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -2, -3], [0, 0, -1, 0]],
    atol=1e-12,
  )


@pytest.mark.parametrize("camera", CAMERAS)
def test_opengl_round_trip_keeps_matrices(camera):
  views, _ = make_random_views(4)
  matrices = to_opengl(views, near=0.2, far=7.0, camera=camera)
  got = from_opengl(*matrices, camera=camera)
  for name in ("distance", "fov", "offset", "principal"):
    np.testing.assert_allclose(
      getattr(got, name), getattr(views, name), atol=1e-12
    )
  assert_same_cameras(got, views)
  again = to_opengl(got, near=0.2, far=7.0, camera=camera)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), again, matrices
  )


def test_opencv_and_opengl_agree():
  views, points = make_random_views(5, count=1)
  cv, (view, projection) = (
    to_opencv(views, size=SIZE),
    to_opengl(views, near=0.2, far=7.0),
  )
  u, _ = project_opencv(
    points, *(np.asarray(x[0]) for x in jax.tree.leaves(cv))
  )
  window, _, _ = project_opengl(
    points, np.asarray(view[0]), np.asarray(projection[0]), SIZE
  )
  np.testing.assert_allclose(u + 0.5, window, atol=1e-9)


# ----- gradients and messages ------------------------------------------------


def test_conversions_are_differentiable_under_jit():
  views, points = make_random_views(6, count=2)
  camera = to_opencv(views, size=SIZE)

  @jax.jit
  def pixel(translation, focal):
    k = camera.intrinsics.at[:, 0, 0].set(focal).at[:, 1, 1].set(focal)
    views = from_opencv(camera.rotation, translation, k, size=SIZE)
    return jnp.sum(project_points(points, views, size=SIZE)[0][..., 0])

  focal = camera.intrinsics[:, 0, 0]
  slopes = jax.grad(pixel, (0, 1))(camera.translation, focal)
  # u = f X/Z + c: the sums over the points, by hand.
  for n in range(2):
    x, _, z = (
      points @ np.asarray(camera.rotation[n]).T
      + np.asarray(camera.translation[n])
    ).T
    f = float(focal[n])
    np.testing.assert_allclose(
      slopes[0][n], [(f / z).sum(), 0, (-f * x / z**2).sum()], atol=1e-8
    )
    np.testing.assert_allclose(slopes[1][n], (x / z).sum(), rtol=1e-8)


def test_camera_that_cannot_be_drawn_raises():
  eye, t = np.eye(3)[None], np.array([[0, 0, 3.0]])
  k = np.array([[60.0, 0, 24], [0, 60, 24], [0, 0, 1]])
  stretched, skewed = k * [[1.1], [1], [1]], k + np.eye(3, k=1)
  with pytest.raises(ValueError, match="pixels must be square"):
    from_opencv(eye, t, stretched, size=SIZE)
  with pytest.raises(ValueError, match="skew must be 0"):
    from_opencv(eye, t, skewed, size=SIZE)
  with pytest.raises(ValueError, match="not a rotation"):
    from_opencv(eye * [1, 1, -1], t, k, size=SIZE)
  with pytest.raises(ValueError, match="not a rotation"):
    from_opencv(2 * eye, t, k, size=SIZE)
  with pytest.raises(ValueError, match="not in front of a camera"):
    from_opencv(eye, -t, k, size=SIZE)
  with pytest.raises(ValueError, match=r"\[N, 3\], got \(3,\)"):
    from_opencv(eye, t[0], k, size=SIZE)
  with pytest.raises(ValueError, match=r"rotation must be \[1, 3, 3\]"):
    from_opencv(eye[0], t, k, size=SIZE)
  views, _ = make_random_views(7)
  view, projection = to_opengl(views, near=0.2, far=7.0)
  with pytest.raises(ValueError, match=r"last row .* for orthographic"):
    from_opengl(view, projection, camera="orthographic")
  with pytest.raises(ValueError, match="pixels must be square"):
    from_opengl(view, projection.at[:, 0, 0].multiply(1.5))
  with pytest.raises(ValueError, match=r"view must be \[N, 4, 4\]"):
    from_opengl(view[0], projection)
  with pytest.raises(ValueError, match="near must be less than far"):
    to_opengl(views, near=2.0, far=1.0)
