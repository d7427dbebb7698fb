"""Every sentence of the page of conventions, and cameras placed by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dr3d.camera.pose import (
  bake_framing,
  look_at,
  project_points,
  to_quaternion,
)
from dr3d.camera.view import make_views, rotation_matrix, sphere_views
from dr3d.render.layer import render_hard, render_layers
from dr3d.render.raster import Budget
from dr3d.render.shading import flat_normals
from dr3d.render.triangle import Triangles, render

pytestmark = pytest.mark.usefixtures("x64")

BUDGET = Budget(pairs=1024, blocks=128)
SIZE = 32
CAMERAS = ["perspective", "orthographic"]


def widen(tree):
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)


def make_view(**changes):
  """One view along -z from 3 radii, half the picture's height 1 at depth 2."""
  views = make_views(np.array([[1.0, 0, 0, 0]]), distance=3.0, colored=False)
  fields = {"fov": [2 * np.arctan(1 / 2)], **changes}
  fields = {k: jnp.asarray(v, jnp.float64) for k, v in fields.items()}
  return widen(dataclasses.replace(views, **fields))


def make_square(x0, x1, y0, y1, z):
  a, b, c, d = [[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]
  corners = jnp.array([[[a, b, c], [a, c, d]]], jnp.float64)
  return Triangles(corners, flat_normals(corners))


@functools.partial(jax.jit, static_argnames="camera")
def _draw_hard(triangles, views, camera):
  return render_hard(triangles, views, size=SIZE, budget=BUDGET, camera=camera)


def draw_hard(triangles, views, *, camera="perspective"):
  layers = _draw_hard(triangles, views, camera)
  assert BUDGET.holds(layers.usage)
  return layers


@functools.partial(jax.jit, static_argnames=("camera", "framing"))
def draw(triangles, views, *, camera, framing, sigma):
  images, usage = render(
    triangles,
    views,
    size=SIZE,
    sigma=sigma,
    gamma=3e-3,
    framing=framing,
    camera=camera,
    budget=BUDGET,
  )
  return images, usage


def random_unit(seed, *shape):
  x = np.random.default_rng(seed).normal(size=shape)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


# ----- rotation --------------------------------------------------------------


def test_quaternion_turns_counter_clockwise_from_world_to_camera():
  turn = 0.7
  for axis in np.eye(3):
    q = np.concatenate([[np.cos(turn / 2)], np.sin(turn / 2) * axis])
    matrix = np.asarray(rotation_matrix(jnp.array(q)))
    np.testing.assert_allclose(matrix @ axis, axis, atol=1e-12)
    # Counter-clockwise seen from the tip: the next axis moves to the one after.
    after, last = np.roll(axis, 1), np.roll(axis, 2)
    np.testing.assert_allclose(
      matrix @ after, np.cos(turn) * after + np.sin(turn) * last, atol=1e-12
    )
  # World to camera: what turns by +90° about y brings x to where -z was.
  q = [[np.sqrt(0.5), 0, np.sqrt(0.5), 0]]
  _, depth = project_points(
    np.array([[1.0, 0, 0]]), make_view(quaternion=q), size=SIZE
  )
  np.testing.assert_allclose(depth, 4.0)


def test_rows_of_the_rotation_are_the_axes_of_the_view():
  eye = np.array([[2.0, 1.0, 0.5]])
  matrix = np.asarray(rotation_matrix(look_at(eye).quaternion))[0]
  towards = eye[0] / np.linalg.norm(eye[0])
  right = np.cross([0, 0, 1.0], towards)
  right /= np.linalg.norm(right)
  np.testing.assert_allclose(
    matrix, [right, np.cross(towards, right), towards], atol=1e-12
  )


def test_rotation_matrix_and_its_quaternion_are_inverse():
  q = random_unit(0, 200, 4)
  q *= np.where(q[:, :1] < 0, -1, 1)
  # Half turns and their neighbours, where w is 0 or nearly so.
  axes = np.concatenate([np.eye(3), random_unit(1, 9, 3)])
  half = np.concatenate([np.full((12, 1), 1e-9), axes], axis=-1)
  q = np.concatenate([q, half, [[1.0, 0, 0, 0]]])
  matrix = Rotation.from_quat(q, scalar_first=True).as_matrix()
  np.testing.assert_allclose(to_quaternion(matrix), q, atol=1e-8)
  slope = jax.jacobian(to_quaternion)(jnp.array(matrix))
  assert np.isfinite(slope).all()


def test_gradient_of_a_quaternion_follows_its_rotation():
  axis = random_unit(2, 3)

  def turn(angle):
    q = jnp.concatenate([jnp.cos(angle)[None], jnp.sin(angle) * axis])
    return to_quaternion(rotation_matrix(q))

  got = jax.jacobian(turn)(jnp.float64(0.3))
  np.testing.assert_allclose(
    got, [-np.sin(0.3), *(np.cos(0.3) * axis)], atol=1e-12
  )


# ----- view and picture ------------------------------------------------------


@pytest.mark.parametrize("camera", CAMERAS)
def test_x_points_right_and_y_up_and_the_first_row_is_the_top(camera):
  # Half of the picture is 16 pixels: 1.5 at the origin of the object.
  square = make_square(0.2, 0.8, 0.4, 0.9, 0)
  alpha = draw_hard(square, make_view(), camera=camera).image[0, 0, ..., 3]
  rows, columns = np.nonzero(alpha)
  unit = 16 / 1.5
  assert columns.min() == np.ceil(16 + 0.2 * unit - 0.5)
  assert columns.max() == np.floor(16 + 0.8 * unit - 0.5)
  assert rows.min() == np.ceil(16 - 0.9 * unit - 0.5)
  assert rows.max() == np.floor(16 - 0.4 * unit - 0.5)


@pytest.mark.parametrize("camera", CAMERAS)
def test_centre_of_a_pixel_lies_half_a_pixel_off_its_corner(camera):
  # A square just around the centre of row 9, column 20, and no other centre.
  # 1.5 radii are 16 pixels at the depth of the origin.
  to_x = lambda x: (x - 16) / 16 * 1.5  # noqa: E731
  for margin in (0.01, 0.99):
    square = make_square(
      to_x(20.5 - margin),
      to_x(20.5 + margin),
      to_x(32 - 9.5 - margin),
      to_x(32 - 9.5 + margin),
      0,
    )
    alpha = draw_hard(square, make_view(), camera=camera).image[0, 0, ..., 3]
    np.testing.assert_array_equal(np.argwhere(alpha), [[9, 20]])


@pytest.mark.parametrize("camera", CAMERAS)
def test_project_points_equals_documented_formulas(camera):
  rng = np.random.default_rng(3)
  points = rng.uniform(-0.5, 0.5, (20, 3))
  q = random_unit(4, 3, 4)
  distance, fov = np.array([2.0, 3.0, 5.0]), np.array([0.6, 0.9, 1.2])
  offset, principal = rng.uniform(-0.3, 0.3, (2, 3, 2))
  views = dataclasses.replace(
    widen(make_views(q)),
    **{
      name: jnp.array(value)
      for name, value in {
        "quaternion": q,
        "distance": distance,
        "fov": fov,
        "offset": offset,
        "principal": principal,
      }.items()
    },
  )
  got, got_depth = project_points(points, views, size=50, camera=camera)
  for n in range(3):
    p = Rotation.from_quat(q[n], scalar_first=True).apply(points)
    p[:, :2] += offset[n]
    depth = distance[n] - p[:, 2]
    f = 25 / np.tan(fov[n] / 2)
    by = depth if camera == "perspective" else distance[n]
    x = 25 + 50 * principal[n, 0] + f * p[:, 0] / by
    y = 25 + 50 * principal[n, 1] - f * p[:, 1] / by
    np.testing.assert_allclose(got[n], np.stack([x, y], -1), atol=1e-10)
    np.testing.assert_allclose(got_depth[n], depth, atol=1e-12)


@pytest.mark.parametrize("camera", CAMERAS)
def test_rendered_object_is_where_points_are_projected(camera):
  # Each pixel that a triangle covers lies within its projected corners.
  rng = np.random.default_rng(5)
  corners = jnp.array(rng.uniform(-0.5, 0.5, (3, 1, 3, 3)))
  model = Triangles(corners, flat_normals(corners))
  views = dataclasses.replace(
    widen(make_views(random_unit(6, 2, 4), distance=2.5)),
    offset=jnp.array([[0.2, -0.1], [0.0, 0.15]]),
    principal=jnp.array([[0.05, 0.1], [-0.1, 0.02]]),
  )
  images = draw_hard(model, views, camera=camera).image
  y, x = np.mgrid[:SIZE, :SIZE] + 0.5
  covered = 0
  for b in range(3):
    pixels, _ = project_points(corners[b, 0], views, size=SIZE, camera=camera)
    for n in range(2):
      v = np.asarray(pixels[n])
      sides = [
        (v[k - 2][0] - v[k][0]) * (y - v[k][1])
        - (v[k - 2][1] - v[k][1]) * (x - v[k][0])
        for k in range(3)
      ]
      inside = np.all(np.sign(sides) == np.sign(sides[0]), axis=0)
      covered += inside.sum()
      np.testing.assert_array_equal(images[b, n, ..., 3], inside)
  assert covered > 50


@pytest.mark.parametrize("camera", CAMERAS)
def test_fixed_frame_draws_what_framing_by_the_object_draws(camera):
  rng = np.random.default_rng(7)
  corners = jnp.array(rng.uniform(-0.3, 0.6, (1, 5, 3, 3)))
  model = Triangles(corners, flat_normals(corners))
  views = widen(make_views(sphere_views(3), distance=2.5))
  views = dataclasses.replace(views, offset=jnp.full((3, 2), 0.1))
  fixed = bake_framing(corners.reshape(-1, 3), views, camera=camera)

  images, _ = draw(model, views, camera=camera, framing="object", sigma=0.7)
  assert images[..., 3].mean() > 0.05
  same, _ = draw(model, fixed, camera=camera, framing="sphere", sigma=0.7)
  np.testing.assert_allclose(same, images, atol=1e-9)


def test_orthographic_image_shows_the_plane_of_the_origin_alike():
  points = np.array([[0.3, -0.6, 0.0], [-0.5, 0.1, 0.0]])
  flat, _ = project_points(
    points, make_view(), size=SIZE, camera="orthographic"
  )
  pixels, _ = project_points(points, make_view(), size=SIZE)
  np.testing.assert_allclose(flat, pixels, atol=1e-12)
  # And, other than in perspective, any other plane as well.
  moved = points + np.array([0, 0, 0.7])
  far, _ = project_points(moved, make_view(), size=SIZE, camera="orthographic")
  np.testing.assert_allclose(far, flat, atol=1e-12)


# ----- depth, normals and alpha ----------------------------------------------


@pytest.mark.parametrize("camera", CAMERAS)
def test_depth_grows_away_from_the_camera_along_its_axis(camera):
  for z in (-0.5, 0.0, 0.5):
    square = make_square(-0.9, 0.9, -0.9, 0.9, z)
    depth = draw_hard(square, make_view(), camera=camera).depth[0, 0]
    # The same in the middle and in the corner: not along the ray.
    assert (depth[10:22, 10:22] > 0).all()
    np.testing.assert_allclose(depth[10:22, 10:22], 3 - z, rtol=1e-12)
    assert depth[0, 0] == 0


@pytest.mark.parametrize("camera", CAMERAS)
def test_normals_are_in_the_axes_of_the_view_on_the_side_that_is_seen(camera):
  tilt = np.array([0.6, 0.0, 0.8])
  corners = np.array([[[[-1, -1, 0.75], [1, -1, -0.75], [0.6, 1, -0.45]]]])
  corners *= 0.6
  for order in (slice(None), slice(None, None, -1)):
    model = Triangles(*[jnp.array(corners[:, :, order])] * 2)
    model = dataclasses.replace(model, normals=flat_normals(model.corners))
    turn = Rotation.from_rotvec([0.2, -0.4, 0.3])
    q = turn.as_quat(scalar_first=True)[None]
    layers = draw_hard(model, make_view(quaternion=q), camera=camera)
    normal = np.asarray(layers.normal[0, 0])
    inside = np.asarray(layers.image[0, 0, ..., 3]) > 0
    assert inside.sum() > 30
    seen = turn.apply(tilt)
    np.testing.assert_allclose(
      normal[inside], np.tile(seen, (inside.sum(), 1)), atol=1e-9
    )
    # Back in the axes of the object, as `Layers` says.
    back = normal @ np.asarray(rotation_matrix(jnp.array(q)))[0]
    np.testing.assert_allclose(
      back[inside], np.tile(tilt, (inside.sum(), 1)), atol=1e-9
    )
    assert (normal[~inside] == 0).all()


def test_far_end_of_the_object_stands_before_the_background():
  for z in (0.0, -1.0):
    square = make_square(-0.6, 0.6, -0.6, 0.6, z)
    hard = draw_hard(square, make_view()).image[0, 0, 14:18, 14:18]
    soft, _ = draw(
      square, make_view(), camera="perspective", framing="sphere", sigma=0.7
    )
    soft = soft[0, 0, 14:18, 14:18]
    color = soft[..., :3] / soft[..., 3:]  # alpha falls at the seam
    np.testing.assert_allclose(color, hard[..., :3], rtol=1e-2)
    assert hard[..., :3].min() > 0.1


def test_colour_is_multiplied_by_alpha_and_depth_is_not():
  square = make_square(-0.5, 0.5, -0.5, 0.5, 0)
  layers = jax.jit(
    functools.partial(
      render_layers, size=SIZE, sigma=1.5, gamma=3e-3, budget=BUDGET
    )
  )(square, make_view())
  image = np.asarray(layers.image[0, 0])
  alpha = image[..., 3]
  faint = (alpha > 0.01) & (alpha < 0.4)
  assert faint.sum() > 20
  solid = image[16, 14]
  # White light beside the camera on a flat square: one colour all over, but
  # for the highlight.
  ratio = image[..., 0][faint] / alpha[faint]
  np.testing.assert_allclose(ratio, solid[0] / solid[3], rtol=0.1)
  np.testing.assert_allclose(layers.depth[0, 0][faint], 3.0, rtol=1e-12)


# ----- look_at ---------------------------------------------------------------


def test_target_is_in_the_middle_and_up_points_up():
  rng = np.random.default_rng(8)
  eye = 3 * random_unit(9, 12, 3)
  target = rng.uniform(-0.4, 0.4, (12, 3))
  up = random_unit(10, 12, 3)
  views = look_at(eye, target, up, fov=0.8)
  for n in range(12):
    points = np.stack([target[n], target[n] + 0.1 * up[n], eye[n]])
    pixels, depth = project_points(points, views, size=100)
    np.testing.assert_allclose(pixels[n, 0], [50, 50], atol=1e-6)
    np.testing.assert_allclose(
      depth[n, 0], np.linalg.norm(eye[n] - target[n]), rtol=1e-12
    )
    np.testing.assert_allclose(pixels[n, 1, 0], 50, atol=1e-6)
    assert pixels[n, 1, 1] < 50
    np.testing.assert_allclose(depth[n, 2], 0, atol=1e-12)


def test_views_of_the_origin_have_no_offset_and_hold_the_sphere():
  eye = 4 * random_unit(11, 5, 3)
  views = look_at(eye)
  assert views.offset is None
  np.testing.assert_allclose(views.distance, 4, rtol=1e-12)
  like = make_views(sphere_views(5), distance=4.0)
  np.testing.assert_allclose(views.fov, like.fov, rtol=1e-6)
  same = look_at(eye, np.zeros(3))
  np.testing.assert_allclose(same.offset, 0, atol=1e-12)
  np.testing.assert_allclose(same.quaternion, views.quaternion, atol=1e-12)


def test_up_along_the_line_of_sight_is_replaced():
  views = look_at(np.array([[0, 0, 3.0], [0, 0, -3.0], [1e-4, 0, 3.0]]))
  pixels, _ = project_points(np.array([[0, 0.1, 0]]), views, size=100)
  np.testing.assert_allclose(pixels[:, 0, 0], 50, atol=1e-2)
  assert (pixels[:, 0, 1] < 50).all()
  sideways = look_at(np.array([[0, 3.0, 0]]), up=np.array([0, 1.0, 0]))
  pixels, _ = project_points(np.array([[0, 0, 0.1]]), sideways, size=100)
  assert pixels[0, 0, 1] < 50


def test_gradient_of_a_image_reaches_eye_and_target():
  corners = jnp.array(
    np.random.default_rng(12).uniform(-0.5, 0.5, (1, 4, 3, 3))
  )
  model = Triangles(corners, flat_normals(corners))
  weights = np.random.default_rng(13).normal(size=(SIZE, SIZE, 4))

  @jax.jit
  def value_and_slope(eye, target):
    def loss(eye, target):
      images, _ = render(
        model,
        look_at(eye, target, fov=0.8),
        size=SIZE,
        sigma=12.0,
        gamma=0.2,
        budget=BUDGET,
      )
      return jnp.sum(images[0, 0] * weights)

    return jax.value_and_grad(loss, (0, 1))(eye, target)

  eye, target = jnp.array([[2.0, 1.0, 0.8]]), jnp.array([0.1, 0.0, -0.1])
  ways = np.random.default_rng(14).normal(size=(2, 3))
  slope = value_and_slope(eye, target)[1]
  true = np.vdot(slope[0], ways[0]) + np.vdot(slope[1], ways[1])
  errors = []
  for h in (8e-7, 4e-7):
    ends = [
      value_and_slope(eye + s * h * ways[0], target + s * h * ways[1])[0]
      for s in (1, -1)
    ]
    errors.append(abs((ends[0] - ends[1]) / (2 * h) - true) / abs(true))
  assert errors[1] < 1e-6


def test_invalid_argument_raises_with_its_value():
  with pytest.raises(ValueError, match=r"eye must be \[N, 3\], got \(3,\)"):
    look_at(np.ones(3))
  with pytest.raises(ValueError, match=r"target and up must be .* \(2,\)"):
    look_at(np.ones((2, 3)), np.ones(2))
  with pytest.raises(ValueError, match="an eye is at its target"):
    look_at(np.ones((2, 3)), np.ones(3))
  with pytest.raises(ValueError, match="not in front of a camera"):
    look_at(np.array([[2.0, 0, 0]]), np.array([3.0, 0, 0]))
  with pytest.raises(ValueError, match="needs a fov"):
    look_at(np.array([[0.5, 0, 0]]))
  with pytest.raises(ValueError, match=r"points must be \[P, 3\], got \(3,\)"):
    project_points(np.ones(3), make_view(), size=SIZE)
  with pytest.raises(ValueError, match="got 'fisheye'"):
    project_points(np.ones((1, 3)), make_view(), size=SIZE, camera="fisheye")
  with pytest.raises(ValueError, match=r"\[\.\.\., 3, 3\], got \(4, 4\)"):
    to_quaternion(np.eye(4))
