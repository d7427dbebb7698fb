"""Depth, normals and hard pictures, and how they follow from soft ones."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dr3d.camera.view import make_views
from dr3d.render.layer import render_hard, render_layers
from dr3d.render.raster import Budget
from dr3d.render.shading import flat_normals
from dr3d.render.triangle import Triangles, render

pytestmark = pytest.mark.usefixtures("x64")

BUDGET = Budget(pairs=512, blocks=64)
SIZE = 16
CAMERAS = ["perspective", "orthographic"]


def widen(tree):
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)


def make_soup(seed, *, models=2, faces=6):
  rng = np.random.default_rng(seed)
  corners = rng.uniform(-0.55, 0.55, (models, faces, 3, 3))
  normals = rng.normal(size=corners.shape)
  normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
  return Triangles(
    jnp.array(corners),
    jnp.array(normals),
    albedo=jnp.array(rng.uniform(0.2, 1, corners.shape)),
  )


def make_soup_views(seed, *, count=2):
  rng = np.random.default_rng(seed)
  views = make_views(rng.normal(size=(count, 4)))
  return jax.tree.map(
    lambda x: jnp.asarray(x * (1 + 0.1 * rng.uniform(size=x.shape))),
    widen(views),
  )


def move(scene, leaf, step):
  """The scene with one of its arrays moved."""
  return jax.tree.map(lambda x: x + step if x is leaf else x, scene)


@functools.partial(jax.jit, static_argnames=("camera", "framing"))
def draw(
  triangles, views, sigma, gamma, *, camera="perspective", framing="sphere"
):
  return render_layers(
    triangles,
    views,
    size=SIZE,
    sigma=sigma,
    gamma=gamma,
    budget=BUDGET,
    camera=camera,
    framing=framing,
  )


@functools.partial(jax.jit, static_argnames="camera")
def draw_hard(triangles, views, *, camera="perspective"):
  return render_hard(triangles, views, size=SIZE, budget=BUDGET, camera=camera)


# ----- closed forms ----------------------------------------------------------


@pytest.mark.parametrize("camera", CAMERAS)
def test_depth_of_tilted_plane_equals_ray_intersection(camera):
  turn = Rotation.from_rotvec([0.5, -0.6, 0.2])
  square = turn.apply([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 0.6
  a, b, c, d = square
  corners = jnp.array([[[a, b, c], [a, c, d]]])
  model = Triangles(corners, flat_normals(corners))
  views = widen(make_views(np.array([[1.0, 0, 0, 0]]), distance=3.0))
  layers = draw(model, views, 0.3, 3e-3, camera=camera)
  normal = turn.apply([0, 0, 1.0])
  # n·(o + t d) = 0, with d of depth 1.
  y, x = (np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2) / (SIZE / 2)
  half = np.tan(float(views.fov[0]) / 2)
  ray = np.stack([x * half, -y * half, 0 * x], -1)
  if camera == "perspective":
    depth = -3 * normal[2] / (ray @ normal - normal[2])
  else:
    depth = 3 + 3 * (ray @ normal) / normal[2]
  inside = np.asarray(layers.image[0, 0, ..., 3]) > 0.999
  assert inside.sum() > 20
  # Depth that is affine in the picture is met up to a part in 2048.
  error = np.abs(layers.depth[0, 0] - depth)[inside].max()
  assert error < (1e-9 if camera == "perspective" else 1e-3)
  assert np.ptp(depth[inside]) > 0.5
  np.testing.assert_allclose(
    layers.normal[0, 0][inside], np.tile(normal, (inside.sum(), 1)), atol=1e-9
  )


def test_depth_and_normal_are_zero_if_no_face_contributes():
  layers = draw(make_soup(0), make_soup_views(1), 0.3, 3e-3)
  alpha = layers.image[..., 3]
  nothing = alpha == 0
  assert nothing.any()
  assert (layers.depth[nothing] == 0).all()
  assert (layers.normal[nothing] == 0).all()
  some = alpha > 0
  # Within the unit sphere, wherever a face contributes, however faintly.
  distance = np.broadcast_to(
    make_soup_views(1).distance[:, None, None], some.shape
  )
  assert (np.abs(layers.depth - distance)[some] < 1).all()
  length = np.linalg.norm(layers.normal[some], axis=-1)
  np.testing.assert_allclose(length, 1, rtol=1e-9)


def test_two_surfaces_within_gamma_give_a_depth_between_them():
  def plane(z):
    a, b, c = [[-2, -2, z], [2, -2, z], [0, 3, z]]
    return [a, b, c]

  corners = jnp.array([[plane(0.2), plane(-0.2)]])
  model = Triangles(corners, flat_normals(corners))
  views = widen(make_views(np.array([[1.0, 0, 0, 0]]), distance=3.0))
  gamma = 0.05
  depth = float(draw(model, views, 0.2, gamma).depth[0, 0, 8, 8])
  z = [(1 / d - 1 / 4) / (1 / 2 - 1 / 4) for d in (2.8, 3.2)]
  w = np.exp(np.array(z) / gamma)
  np.testing.assert_allclose(depth, (w * [2.8, 3.2]).sum() / w.sum(), rtol=1e-9)
  assert float(draw_hard(model, views).depth[0, 0, 8, 8]) == pytest.approx(2.8)


@pytest.mark.parametrize("framing", ["sphere", "object"])
def test_layers_do_not_change_the_image(framing):
  soup, views = make_soup(2), make_soup_views(3)
  image, _ = jax.jit(
    functools.partial(
      render,
      size=SIZE,
      sigma=0.7,
      gamma=3e-3,
      budget=BUDGET,
      framing=framing,
    )
  )(soup, views)
  assert image.shape == (2, 2, SIZE, SIZE, 4)
  layers = draw(soup, views, 0.7, 3e-3, framing=framing)
  np.testing.assert_allclose(layers.image, image, atol=1e-12)


# ----- gradients -------------------------------------------------------------

FIELDS = {
  "corners": (lambda s: s[0].corners, 4e-7),
  "normals": (lambda s: s[0].normals, 4e-5),
  "quaternion": (lambda s: s[1].quaternion, 4e-7),
  "distance": (lambda s: s[1].distance, 4e-7),
  "fov": (lambda s: s[1].fov, 4e-7),
  "offset": (lambda s: s[1].offset, 4e-7),
  "principal": (lambda s: s[1].principal, 4e-7),
}


@functools.partial(jax.jit, static_argnames=("camera", "framing"))
def slope_of(scene, weights, *, camera, framing):
  def loss(scene):
    layers = draw(*scene, 12.0, 0.2, camera=camera, framing=framing)
    return jnp.sum(layers.depth * weights[..., 0]) + jnp.sum(
      layers.normal * weights[..., 1:]
    )

  return jax.value_and_grad(loss)(scene)


@pytest.mark.parametrize("camera", CAMERAS)
def test_gradients_of_depth_and_normals_equal_differences(camera):
  rng = np.random.default_rng(4)
  views = dataclasses.replace(
    make_soup_views(5),
    offset=jnp.array([[0.1, -0.1], [0.05, 0.2]]),
    principal=jnp.array([[0.03, 0.0], [-0.05, 0.1]]),
  )
  scene = make_soup(6), views
  weights = rng.normal(size=(2, 2, SIZE, SIZE, 4))
  call = functools.partial(slope_of, camera=camera, framing="sphere")
  slope = call(scene, weights)[1]
  for name, (pick, h) in FIELDS.items():
    leaf = pick(scene)
    way = rng.normal(size=leaf.shape)
    ends = [call(move(scene, leaf, step * way), weights)[0] for step in (h, -h)]
    true = np.vdot(pick(slope), way)
    error = abs((ends[0] - ends[1]) / (2 * h) - true)
    if name != "normals":
      assert abs(true) > 1e-3, name
    assert error < 2e-6 * (abs(true) + 1), (name, error, true)


# ----- the hard limit --------------------------------------------------------


@pytest.mark.parametrize("camera", CAMERAS)
def test_soft_images_converge_to_the_hard_one(camera):
  soup, views = make_soup(7), make_soup_views(8)
  hard = draw_hard(soup, views, camera=camera)
  alpha = np.asarray(hard.image[..., 3])
  assert set(np.unique(alpha)) == {0.0, 1.0}
  errors = []
  for sigma, gamma in [(1.0, 3e-2), (0.3, 1e-2), (0.1, 3e-3), (0.01, 1e-4)]:
    soft = draw(soup, views, sigma, gamma, camera=camera)
    errors.append(
      [
        float(np.abs(soft.image - hard.image).mean()),
        float(np.abs((soft.depth - hard.depth) * alpha).mean()),
        float(np.abs((soft.normal - hard.normal) * alpha[..., None]).mean()),
      ]
    )
  assert (np.diff(errors, axis=0) < 0).all()
  # What is left are centres within 0.03 pixels of an edge.
  assert (np.array(errors[-1]) < 4e-3).all()


def test_nearest_face_wins_and_covers_its_pixel_centres():
  soup, views = make_soup(9, models=1), make_soup_views(10, count=1)
  hard = draw_hard(soup, views)
  turn = Rotation.from_quat(views.quaternion[0], scalar_first=True)
  corners = turn.apply(np.array(soup.corners).reshape(-1, 3)).reshape(-1, 3, 3)
  distance = float(views.distance[0])
  half = np.tan(float(views.fov[0]) / 2)
  depth = np.full((SIZE, SIZE), np.inf)
  for i in range(SIZE):
    for j in range(SIZE):
      x, y = (j + 0.5) / SIZE * 2 - 1, 1 - (i + 0.5) / SIZE * 2
      ray = np.array([x * half, y * half, -1.0])
      for a, b, c in corners:  # Möller and Trumbore
        m = np.stack([a - b, a - c, ray], -1)
        beta, gamma, t = np.linalg.solve(m, a - [0, 0, distance])
        if beta >= 0 and gamma >= 0 and beta + gamma <= 1 and t > 0:
          depth[i, j] = min(depth[i, j], t)
  np.testing.assert_array_equal(hard.image[0, 0, ..., 3], depth < np.inf)
  np.testing.assert_allclose(
    hard.depth[0, 0], np.where(depth < np.inf, depth, 0), rtol=1e-6
  )


def test_centre_on_an_inner_or_outer_edge_is_inside():
  # The diagonal and the border of the square go through pixel centres.
  views = widen(make_views(np.array([[1.0, 0, 0, 0]]), distance=3.0))
  views = dataclasses.replace(views, fov=jnp.array([2 * np.arctan(1 / 3)]))
  s = 4.5 / 8
  a, b, c, d = [[-s, -s, 0], [s, -s, 0], [s, s, 0], [-s, s, 0]]
  corners = jnp.array([[[a, b, c], [a, c, d]]])
  for dtype in (jnp.float64, jnp.float32):
    scene = jax.tree.map(
      lambda x, dtype=dtype: jnp.asarray(x, dtype),
      (Triangles(corners, flat_normals(corners)), views),
    )
    layers = draw_hard(*scene)
    alpha = np.asarray(layers.image[0, 0, ..., 3])
    assert (alpha[4:12, 4:12] == 1).all()
    np.testing.assert_allclose(layers.depth[0, 0, 4:12, 4:12], 3, rtol=1e-6)
    assert alpha.sum() <= 100


def test_hard_images_have_gradients_of_shading_but_not_of_geometry():
  scene = make_soup(11), make_soup_views(12)
  weights = np.random.default_rng(13).normal(size=(2, 2, SIZE, SIZE, 4))

  @jax.jit
  def slope_of(scene):
    def loss(scene):
      return jnp.sum(draw_hard(*scene).image * weights)

    return jax.value_and_grad(loss)(scene)

  slope = slope_of(scene)[1]
  for held in (slope[0].corners, slope[1].quaternion, slope[1].fov):
    assert (held == 0).all()
  assert (slope[1].distance == 0).all()
  rng = np.random.default_rng(14)
  for pick in (
    lambda s: s[0].albedo,
    lambda s: s[1].light.intensity,
    lambda s: s[1].material.shininess,
  ):
    leaf, h = pick(scene), 1e-5
    way = rng.normal(size=leaf.shape)
    ends = [slope_of(move(scene, leaf, step * way))[0] for step in (h, -h)]
    true = np.vdot(pick(slope), way)
    assert abs(true) > 1e-6
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * h), true, rtol=1e-6)


# ----- softness and counts ---------------------------------------------------


def test_other_softness_does_not_compile_again():
  soup, views = make_soup(15), make_soup_views(16)
  compiled = jax.jit(functools.partial(render_layers, size=SIZE, budget=BUDGET))
  images = [
    compiled(soup, views, sigma=jnp.float64(s), gamma=jnp.float64(g)).image
    for s, g in [(2.0, 0.1), (0.5, 0.01), (0.1, 1e-3)]
  ]
  assert compiled._cache_size() == 1
  assert np.abs(images[0] - images[-1]).max() > 0.1


@pytest.mark.parametrize("shape", [(1, 1), (3, 2)])
def test_models_and_views_of_any_number_are_drawn_in_one_call(shape):
  models, count = shape
  soup = make_soup(17, models=models)
  views = make_soup_views(18, count=count)
  layers = draw(soup, views, 0.5, 3e-3)
  assert layers.image.shape == (*shape, SIZE, SIZE, 4)
  assert layers.depth.shape == (*shape, SIZE, SIZE)
  assert layers.normal.shape == (*shape, SIZE, SIZE, 3)
