"""G against closed forms, finite differences and its own symmetries."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dr3d.camera.view import make_views
from dr3d.mesh import make_mesh
from dr3d.render.raster import Budget
from dr3d.render.shading import flat_normals
from dr3d.render.triangle import (
  RenderConfig,
  Triangles,
  fit_budget,
  render,
  stack_meshes,
)

AMPLE = Budget(pairs=1024, blocks=128)
SIZE = 32
UNTURNED = [[1.0, 0, 0, 0]]


pytestmark = pytest.mark.usefixtures("x64_module")


def widen(tree):
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)


@functools.partial(jax.jit, static_argnames=("size", "framing", "budget"))
def _draw(triangles, views, *, sigma, gamma, size, framing, budget):
  return render(
    triangles,
    views,
    size=size,
    sigma=sigma,
    gamma=gamma,
    framing=framing,
    budget=budget,
  )


def draw(
  triangles, views, *, sigma=0.1, gamma=3e-3, size=SIZE, framing="sphere"
):
  images, usage = _draw(
    triangles,
    views,
    sigma=sigma,
    gamma=gamma,
    size=size,
    framing=framing,
    budget=AMPLE,
  )
  assert AMPLE.holds(usage)
  return np.asarray(images)


# ----- closed forms ----------------------------------------------------------


def make_rectangles(*rectangles, normals=None):
  """One model of two rectangles at most, each x0, x1, y0, y1, z."""
  corners = np.zeros((4, 3, 3))
  for i, (x0, x1, y0, y1, z) in enumerate(rectangles):
    a, b, c, d = [[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]
    corners[2 * i : 2 * i + 2] = [[a, b, c], [a, c, d]]
  if normals is None:
    normals = [[0, 0, 1]] * 2
  normals = np.repeat(np.float64(normals), 2, axis=0)[:, None]
  normals = np.broadcast_to(normals, corners.shape)
  return Triangles(jnp.array(corners)[None], jnp.array(normals)[None])


def make_view(
  *,
  quaternion=UNTURNED,
  ambient=0.2,
  intensity=0.0,
  direction=(0.0, 0.0, 1.0),
  specular=0.0,
):
  """Views in which half the picture's height is 1 at the origin's depth."""
  views = make_views(np.array(quaternion), distance=2.0, colored=False)
  n = views.count
  light = dataclasses.replace(
    views.light,
    direction=jnp.tile(jnp.array(direction), (n, 1, 1)),
    intensity=jnp.tile(jnp.broadcast_to(jnp.array(intensity), 3), (n, 1, 1)),
    ambient=jnp.tile(jnp.broadcast_to(jnp.array(ambient), 3), (n, 1)),
  )
  material = dataclasses.replace(
    views.material,
    diffuse=jnp.array([0.9, 0.6, 0.3]),
    specular=jnp.array(specular),
  )
  fov = jnp.full(n, 2 * np.arctan(1 / 2))
  return widen(
    dataclasses.replace(views, fov=fov, light=light, material=material)
  )


def test_rectangle_covers_the_pixels_of_its_projection():
  # x to the right and y up: 4 to 12 pixels right of the middle, 2 to 14 above.
  image = draw(
    make_rectangles((4 / 16, 12 / 16, 2 / 16, 14 / 16, 0)), make_view()
  )
  inside = np.zeros((32, 32), bool)
  inside[16 - 14 : 16 - 2, 16 + 4 : 16 + 12] = True
  assert (image[0, 0, ..., 3][inside] > 0.7).all()
  assert (image[0, 0, ..., 3][~inside] == 0).all()


def test_nearer_object_looks_larger():
  # At z = 1 the depth is half of that of the origin: twice as many pixels.
  for z, half in [(1.0, 8), (0.0, 4), (-2.0, 2)]:
    image = draw(make_rectangles((-0.25, 0.25, -0.25, 0.25, z)), make_view())
    assert (image[0, 0, ..., 3] > 0.5).sum() == (2 * half) ** 2


def test_object_framing_fills_the_image_for_any_position_and_size():
  # As the unit sphere would: its rim stands 1/√3 from the axis at unit depth,
  # half of what this picture holds.
  view = make_view()
  view = dataclasses.replace(view, fov=jnp.full(1, 2 * np.arctan(2 / 3**0.5)))
  for place in [(0.1, 0.3, 0.2, 0.3, 0.0), (-0.6, 0.2, -0.5, -0.1, 0.4)]:
    image = draw(make_rectangles(place, place), view, framing="object")
    rows, columns = np.nonzero(image[0, 0, ..., 3] > 0.7)
    assert (columns.min(), columns.max()) == (8, 23)
    assert (rows.min(), rows.max()) == (12, 19)


def test_quaternion_rotates_the_seen_side_towards_the_camera():
  # A quarter turn about y brings the object's x axis to the camera's -z axis
  # and its z axis to the camera's x axis: to the right.
  quarter = [[np.sqrt(0.5), 0, np.sqrt(0.5), 0]]
  model = make_rectangles((0, 1e-9, 0, 1e-9, 0))
  corners = np.zeros((4, 3, 3))
  corners[0] = [[0, 0, 0.25], [0, 0, 0.75], [0, 0.5, 0.5]]
  model = dataclasses.replace(model, corners=jnp.array(corners)[None])
  alpha = draw(model, make_view(quaternion=quarter))[0, 0, ..., 3]
  rows, columns = np.nonzero(alpha > 0.5)
  assert columns.min() == 16 + 4
  assert columns.max() == 16 + 11
  assert rows.max() == 15


def test_ambient_light_alone_gives_ambient_times_diffuse():
  # Colours are multiplied by alpha, so this holds for the soft rim as well.
  model = make_rectangles((-0.4, 0.5, -0.3, 0.6, 0.2))
  image = draw(model, make_view(ambient=[0.5, 0.4, 0.3]), sigma=0.7)[0, 0]
  color, alpha = image[..., :3], image[..., 3:]
  expected = np.array([0.5 * 0.9, 0.4 * 0.6, 0.3 * 0.3])
  assert (alpha > 0.999).sum() > 50
  assert ((alpha > 0.01) & (alpha < 0.9)).sum() > 20
  np.testing.assert_allclose(color, alpha * expected, atol=1e-9)


def test_lamberts_law_gives_the_cosine():
  light = np.array([0.6, 0.0, 0.8])
  model = make_rectangles((-0.5, 0.5, -0.5, 0.5, 0))
  views = make_view(intensity=[0.7, 0.5, 0.9], direction=light)
  image = draw(model, views)[0, 0]
  expected = (0.2 + np.array([0.7, 0.5, 0.9]) * 0.8) * np.array([0.9, 0.6, 0.3])
  np.testing.assert_allclose(image[14, 18, :3], expected, atol=1e-6)


def test_light_from_behind_adds_nothing():
  model = make_rectangles((-0.5, 0.5, -0.5, 0.5, 0))
  views = make_view(intensity=1.0, direction=(0.6, 0, -0.8), specular=0.5)
  image = draw(model, views)[0, 0]
  expected = 0.2 * np.array([0.9, 0.6, 0.3])
  np.testing.assert_allclose(image[14, 18, :3], expected, atol=1e-6)


def test_highlight_falls_off_with_the_half_angle():
  # A small face, so that the camera stands in one direction for all of it.
  model = make_rectangles((-0.07, 0.07, -0.07, 0.07, 0))
  for half_angle in (0.0, 0.1, 0.3):
    light = (np.sin(2 * half_angle), 0, np.cos(2 * half_angle))
    views = make_view(ambient=0.0, intensity=1.0, direction=light, specular=0.5)
    views = dataclasses.replace(
      views,
      material=dataclasses.replace(views.material, diffuse=jnp.zeros(3)),
    )
    image = draw(model, views)[0, 0, 15:17, 15:17]
    color = (image[..., :3] / image[..., 3:]).mean((0, 1))
    expected = 0.5 * np.cos(half_angle) ** 16
    np.testing.assert_allclose(color, expected, rtol=0.03)


def test_near_hides_far():
  full = (-0.5, 0.5, -0.5, 0.5)
  lit, unlit = [0.0, 0, 1], [1.0, 0, 0]
  views = make_view(intensity=1.0)
  shades = []
  for order in [(0.4, -0.4), (-0.4, 0.4)]:
    model = make_rectangles(
      (*full, order[0]), (*full, order[1]), normals=[lit, unlit]
    )
    shades.append(draw(model, views)[0, 0, 14, 18, 0])
  np.testing.assert_allclose(shades, [1.2 * 0.9, 0.2 * 0.9], rtol=1e-5)


def test_face_looks_the_same_from_both_sides():
  model = make_rectangles((-0.5, 0.3, -0.4, 0.6, 0.1))
  views = make_view(intensity=0.8, direction=(0.48, 0.6, 0.64), specular=0.3)
  flipped = Triangles(model.corners[..., ::-1, :], -model.normals[..., ::-1, :])
  np.testing.assert_allclose(
    draw(flipped, views), draw(model, views), atol=1e-12
  )


def test_flat_normals_stand_upright_on_their_faces():
  corners = jnp.array([[[0.0, 0, 0], [2, 0, 0], [0, 3, 0]], [[0.0, 0, 0]] * 3])
  normals = flat_normals(corners)
  np.testing.assert_allclose(normals[0], np.tile([0, 0, 1], (3, 1)))
  np.testing.assert_array_equal(normals[1], 0)


# ----- symmetry --------------------------------------------------------------


def make_soup(seed, *, models=2, faces=8):
  """Random triangles within the unit sphere, with random unit normals."""
  rng = np.random.default_rng(seed)
  corners = rng.uniform(-0.55, 0.55, (models, faces, 3, 3))
  normals = rng.normal(size=corners.shape)
  normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
  return Triangles(jnp.array(corners), jnp.array(normals))


def make_soup_views(seed):
  """Two views that differ in everything."""
  rng = np.random.default_rng(seed)
  views = make_views(rng.normal(size=(2, 4)))
  return jax.tree.map(
    lambda x: jnp.asarray(x * (1 + 0.1 * rng.uniform(size=x.shape))),
    widen(views),
  )


def test_turning_the_object_is_turning_the_view():
  soup, views = make_soup(0), make_soup_views(1)
  turn = Rotation.random(random_state=2)
  turned = jax.tree.map(
    lambda x: jnp.array(turn.apply(np.array(x.reshape(-1, 3)))).reshape(
      x.shape
    ),
    soup,
  )
  q = Rotation.from_quat(views.quaternion, scalar_first=True) * turn.inv()
  back = dataclasses.replace(
    views, quaternion=jnp.array(q.as_quat(scalar_first=True))
  )
  np.testing.assert_allclose(
    draw(turned, back, sigma=0.7), draw(soup, views, sigma=0.7), atol=1e-9
  )


def test_models_and_views_keep_their_places():
  soup, views = make_soup(0), make_soup_views(1)
  images = draw(soup, views, sigma=0.7)
  swapped = jax.tree.map(lambda x: x[::-1], soup)
  np.testing.assert_allclose(
    draw(swapped, views, sigma=0.7), images[::-1], atol=1e-12
  )
  material = views.material
  views = jax.tree.map(lambda x: x[::-1] if x.ndim else x, views)
  views = dataclasses.replace(views, material=material)
  np.testing.assert_allclose(
    draw(soup, views, sigma=0.7), images[:, ::-1], atol=1e-12
  )


def test_float32_images_agree_with_float64():
  soup, views = make_soup(0), make_soup_views(1)
  single = jax.tree.map(lambda x: jnp.float32(x), (soup, views))
  images = draw(*single, sigma=0.7)
  assert images.dtype == np.float32
  np.testing.assert_allclose(images, draw(*widen(single), sigma=0.7), atol=2e-5)


# ----- gradients -------------------------------------------------------------


@functools.partial(jax.jit, static_argnames=("size", "framing"))
def slope_of(scene, weights, sigma, gamma, size=16, framing="sphere"):
  def loss(scene):
    images, _ = render(
      *scene,
      size=size,
      sigma=sigma,
      gamma=gamma,
      framing=framing,
      budget=AMPLE,
    )
    return jnp.sum(images * weights)

  return jax.value_and_grad(loss)(scene)


def make_gradient_scene():
  rng = np.random.default_rng(0)
  return (make_soup(3), make_soup_views(4)), rng.normal(size=(2, 2, 16, 16, 4))


FIELDS = {
  "corners": lambda s: s[0].corners,
  "normals": lambda s: s[0].normals,
  "quaternion": lambda s: s[1].quaternion,
  "distance": lambda s: s[1].distance,
  "fov": lambda s: s[1].fov,
  "light direction": lambda s: s[1].light.direction,
  "light intensity": lambda s: s[1].light.intensity,
  "ambient": lambda s: s[1].light.ambient,
  "diffuse": lambda s: s[1].material.diffuse,
  "specular": lambda s: s[1].material.specular,
  "shininess": lambda s: s[1].material.shininess,
}


def directional_errors(pick, *, sigma, gamma, steps, framing="sphere"):
  """Relative errors of central differences in one field."""
  scene, weights = make_gradient_scene()
  rng = np.random.default_rng(1)
  leaf = pick(scene)
  way = jax.tree.map(lambda x: rng.normal(size=x.shape) * (x is leaf), scene)

  def along(h):
    moved = jax.tree.map(lambda x, w: x + h * w, scene, way)
    return slope_of(moved, weights, sigma, gamma, framing=framing)[0]

  slope = slope_of(scene, weights, sigma, gamma, framing=framing)[1]
  pairs = zip(jax.tree.leaves(slope), jax.tree.leaves(way), strict=True)
  true = sum(np.vdot(s, w) for s, w in pairs)
  assert abs(true) > 1e-3
  return [
    float(abs((along(h) - along(-h)) / (2 * h) - true) / abs(true))
    for h in steps
  ]


@pytest.mark.parametrize("field", FIELDS)
def test_central_differences_converge_to_the_gradient(field):
  # σ is so large that the cut-off at D = 1e-4 is never reached, and the steps
  # so small that no pixel meets a kink of the distance; see test_raster.py.
  step = {"corners": 4e-6, "quaternion": 4e-6, "shininess": 0.1}.get(
    field, 4e-5
  )
  errors = directional_errors(
    FIELDS[field], sigma=12.0, gamma=0.2, steps=(step, step / 2)
  )
  assert errors[1] < 1e-6
  # Fields that the image is linear in have no error but rounding.
  assert errors[1] < 1e-9 or abs(errors[0] / errors[1] - 4) < 0.4


@pytest.mark.parametrize("field", ["corners", "quaternion", "distance", "fov"])
def test_gradient_equals_difference_at_default_softness(field):
  # Steps so small that no pixel crosses the cut-off or a kink.
  errors = directional_errors(
    FIELDS[field], sigma=0.7, gamma=3e-3, steps=(1e-7,)
  )
  assert errors[0] < 1e-5


@pytest.mark.parametrize("field", ["corners", "quaternion", "distance", "fov"])
def test_gradient_goes_through_the_framing_of_the_object(field):
  step = 4e-5 if field in ("distance", "fov") else 4e-6
  errors = directional_errors(
    FIELDS[field],
    sigma=12.0,
    gamma=0.2,
    steps=(step, step / 2),
    framing="object",
  )
  assert errors[1] < 1e-6
  assert errors[1] < 1e-9 or abs(errors[0] / errors[1] - 4) < 0.4


@pytest.mark.parametrize(
  "name",
  ["behind the camera", "at the camera", "zero quaternion", "edge-on", "empty"],
)
def test_singular_scenes_give_finite_images_and_gradients(name):
  (soup, views), weights = make_gradient_scene()
  corners = soup.corners
  if name == "behind the camera":
    views = dataclasses.replace(views, distance=jnp.array([0.2, 3.0]))
  elif name == "at the camera":
    turn = Rotation.from_quat(views.quaternion[0], scalar_first=True).inv()
    place = turn.apply([0, 0, float(views.distance[0])])
    corners = corners.at[0, 0, 0].set(place)
  elif name == "zero quaternion":
    views = dataclasses.replace(views, quaternion=jnp.zeros((2, 4)))
  elif name == "edge-on":
    views = dataclasses.replace(
      views, quaternion=jnp.tile(jnp.array(UNTURNED), (2, 1))
    )
    corners = corners.at[..., 0].set(0.0)
  else:
    corners = jnp.zeros_like(corners)
  scene = (dataclasses.replace(soup, corners=corners), views)
  for tree in (scene, jax.tree.map(jnp.float32, scene)):
    value, slope = slope_of(tree, weights, 0.7, 3e-3)
    leaves = jax.tree.leaves((value, slope))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
  if name in ("edge-on", "empty"):
    assert value == 0


# ----- meshes and budgets ----------------------------------------------------


def make_wedge():
  vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1.0]])
  faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
  return make_mesh(vertices, faces)


def test_meshes_are_padded_with_triangles_without_area():
  mesh = make_wedge()
  triangles = stack_meshes([mesh, mesh], face_count=6)
  assert triangles.corners.shape == (2, 6, 3, 3)
  assert triangles.corners.dtype == np.float32
  np.testing.assert_array_equal(
    triangles.corners[1, :4], mesh.vertices[mesh.faces]
  )
  np.testing.assert_array_equal(triangles.normals[0, :4], mesh.normals)
  assert (triangles.corners[:, 4:] == 0).all()


def test_principal_pose_turns_corners_and_normals_alike():
  mesh = make_wedge()
  file = stack_meshes([mesh], face_count=4)
  principal = stack_meshes([mesh], face_count=4, pose="principal")
  for before, after in [
    (file.corners, principal.corners),
    (file.normals, principal.normals),
  ]:
    np.testing.assert_allclose(after @ mesh.frame, before, atol=1e-6)
  extent = np.ptp(principal.corners.reshape(-1, 3), axis=0) * mesh.radius
  np.testing.assert_allclose(extent, mesh.extent, rtol=1e-5)


def test_fitted_budget_holds_the_drawing():
  soup, views = make_soup(5, faces=8), make_soup_views(6)
  config = RenderConfig(size=SIZE, sigma=0.7, framing="sphere")
  budget = fit_budget(soup, views, config=config)
  _, usage = _draw(
    soup,
    views,
    sigma=0.7,
    gamma=3e-3,
    size=SIZE,
    framing="sphere",
    budget=AMPLE,
  )
  assert budget.holds(usage)
  assert budget.pairs <= 1.5 * int(usage.pairs)
  assert budget.blocks <= max(8, 1.5 * int(usage.blocks))


def test_invalid_argument_raises_with_its_value():
  mesh = make_wedge()
  with pytest.raises(ValueError, match="4 faces does not fit in 3"):
    stack_meshes([mesh], face_count=3)
  with pytest.raises(ValueError, match="got 'upright'"):
    stack_meshes([mesh], face_count=4, pose="upright")
  with pytest.raises(ValueError, match=r"\[B, F, 3, 3\], got \(4, 3, 3\)"):
    draw(Triangles(jnp.zeros((4, 3, 3)), jnp.zeros((4, 3, 3))), make_view())


# ----- the near plane --------------------------------------------------------

CROSSING = Budget(pairs=16384, blocks=2048, crossing=64)


def make_floor(cells):
  """A floor below the camera, from far before to far behind it."""
  line = np.linspace(-6, 6, cells + 1)
  x, z = (a.ravel() for a in np.meshgrid(line, line, indexing="ij"))
  place = np.stack([x, np.full_like(x, -0.7), z], axis=-1)
  at = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
  a, b, c, d = (
    s.ravel() for s in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:])
  )
  faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
  corners = place[faces][None]
  normals = np.broadcast_to([0.0, 1, 0], corners.shape)
  return Triangles(jnp.array(corners), jnp.array(normals))


def draw_floor(model, *, sigma=0.05, quaternion=UNTURNED):
  images, usage = _draw(
    model,
    make_view(quaternion=quaternion, ambient=0.5),
    sigma=sigma,
    gamma=3e-3,
    size=SIZE,
    framing="sphere",
    budget=CROSSING,
  )
  assert CROSSING.holds(usage)
  return np.asarray(images[0, 0]), int(usage.crossing)


@pytest.mark.parametrize("roll", [0.0, 0.3, 2.5])
def test_floor_under_the_camera_is_drawn_up_to_its_horizon(roll):
  quaternion = [[np.cos(roll / 2), 0, 0, np.sin(roll / 2)]]
  coarse, crossing = draw_floor(make_floor(1), quaternion=quaternion)
  fine, _ = draw_floor(make_floor(16), quaternion=quaternion)
  assert crossing > 0
  # The far edge of the floor is 8 from the camera and half of the picture's
  # height spans 1 at the distance of 2: a straight line through the picture.
  y, x = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
  up = -y * np.cos(roll) - x * np.sin(roll)
  horizon = -0.7 / 8 * SIZE
  for image in (coarse, fine):
    # Edges within the floor leave seams in alpha, at least 0.75.
    assert (image[..., 3][up < horizon - 0.5] > 0.7).all()
    assert (image[..., 3][up > horizon + 0.5] == 0).all()
  # Farther away than the unit sphere the black background shows through.
  color, fine_color = (
    x[..., :3] / x[..., 3:].clip(0.1) for x in (coarse, fine)
  )
  np.testing.assert_allclose(
    color[up < -9],
    np.broadcast_to([0.45, 0.3, 0.15], (*color[up < -9].shape,)),
    atol=1e-6,
  )
  np.testing.assert_allclose(fine_color[up < -9], color[up < -9], atol=1e-6)


def test_missing_room_for_cut_faces_is_reported_and_grows():
  model, views = make_floor(2), make_view()
  config = RenderConfig(size=SIZE, framing="sphere")
  budget = fit_budget(model, views, config=config)
  assert budget.crossing > 0
  for room, is_enough in [(budget, True), (Budget(16384, 2048), False)]:
    _, usage = _draw(
      model,
      views,
      sigma=config.sigma,
      gamma=config.gamma,
      size=SIZE,
      framing="sphere",
      budget=room,
    )
    assert room.holds(usage) == is_enough


def test_central_differences_converge_across_the_near_plane():
  rng = np.random.default_rng(8)
  views = make_view(intensity=0.5)
  # Corners before, beside and behind the camera, which stands at z = 2.
  model = make_floor(1)
  corners = model.corners + rng.normal(size=model.corners.shape) * 0.1
  weights = rng.normal(size=(SIZE, SIZE, 4))
  way = rng.normal(size=corners.shape)

  @jax.jit
  def value_and_slope(corners):
    def loss(corners):
      images, _ = render(
        Triangles(corners, model.normals),
        views,
        size=SIZE,
        sigma=12.0,
        gamma=0.2,
        budget=CROSSING,
      )
      return jnp.sum(images[0, 0] * weights)

    return jax.value_and_grad(loss)(corners)

  slope = np.vdot(value_and_slope(corners)[1], way)
  errors = []
  # Far above where rounding decides, 2e-5, and below the next kink, 1e-3.
  for h in (5e-4, 2.5e-4):
    rise = (
      value_and_slope(corners + h * way)[0]
      - value_and_slope(corners - h * way)[0]
    )
    errors.append(abs(rise / (2 * h) - slope) / abs(slope))
  assert errors[1] < 1e-6
  assert abs(errors[0] / errors[1] - 4) < 0.4
