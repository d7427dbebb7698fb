"""Lights, normals and colours of corners, against closed forms."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.camera.view import (
  PointLight,
  make_views,
  project,
  sphere_views,
  take_views,
)
from dr3d.render.raster import Budget
from dr3d.render.shading import (
  LIGHT_DISTANCE_MIN,
  flat_normals,
  shade,
  turn_normals,
)
from dr3d.render.triangle import RenderConfig, Triangles, render
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.retrieval.step import select_parts

pytestmark = pytest.mark.usefixtures("x64")

BUDGET = Budget(pairs=512, blocks=64)
SIZE = 16
CAMERAS = ["perspective", "orthographic"]


def make_view(*, ambient=0.0, specular=0.0, point=None, count=1):
  """Views without any light but those that are asked for."""
  views = make_views(np.tile([1.0, 0, 0, 0], (count, 1)), colored=False)
  light = dataclasses.replace(
    views.light,
    intensity=jnp.zeros((count, 1, 3)),
    ambient=jnp.full((count, 3), ambient),
    point=point,
  )
  material = dataclasses.replace(
    views.material,
    diffuse=jnp.array([0.9, 0.6, 0.3]),
    specular=jnp.array(specular),
  )
  views = dataclasses.replace(views, light=light, material=material)
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), views)


def make_point(position, intensity):
  return PointLight(
    jnp.array(position, jnp.float64)[None, None],
    jnp.array(intensity, jnp.float64)[None, None],
  )


def split(array):
  """`[B, N, F, 3, 3]` to a vector of its axes."""
  return tuple(jnp.transpose(array, (4, 3, 0, 1, 2)))


def join(vector):
  """The way back."""
  return np.transpose(np.stack(vector), (2, 3, 4, 1, 0))


def shade_plane(views, places, *, normal=(0.0, 0, 1), **options):
  """Colours of corners of a plane, `[P, 3]`."""
  p = jnp.array(places, jnp.float64).reshape(1, 1, -1, 3, 3)
  normals = jnp.broadcast_to(jnp.array(normal), p.shape)
  return join(shade(split(p), split(normals), views, **options)).reshape(-1, 3)


# ----- point lights ----------------------------------------------------------


def test_point_light_falls_with_the_square_of_the_distance():
  views = make_view(point=make_point([0.2, 0.1, 1.5], [1.0, 2.0, 3.0]))
  places = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 3)) * [1, 1, 0]
  got = shade_plane(views, places)
  way = np.array([0.2, 0.1, 1.5]) - places
  r = np.linalg.norm(way, axis=-1)
  expected = (way[:, 2] / r / r**2)[:, None] * [0.9, 1.2, 0.9]
  np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_far_point_light_is_a_directional_one():
  towards = np.array([0.48, 0.6, 0.64])
  far = 1e6
  views = make_view(specular=0.4)
  directional = dataclasses.replace(
    views,
    light=dataclasses.replace(
      views.light,
      direction=jnp.array(towards)[None, None],
      intensity=jnp.full((1, 1, 3), 0.8),
    ),
  )
  near = dataclasses.replace(
    views,
    light=dataclasses.replace(
      views.light, point=make_point(far * towards, [0.8 * far**2] * 3)
    ),
  )
  places = np.random.default_rng(1).uniform(-0.5, 0.5, (6, 3)) * [1, 1, 0]
  np.testing.assert_allclose(
    shade_plane(near, places), shade_plane(directional, places), rtol=1e-5
  )


def test_point_light_from_behind_adds_nothing():
  views = make_view(
    ambient=0.1, specular=0.5, point=make_point([0, 0, -1.0], [9.0] * 3)
  )
  got = shade_plane(views, np.zeros((3, 3)))
  rest = 0.5 * 9 * 1e-4**16  # the least gloss
  np.testing.assert_allclose(got, [[0.09, 0.06, 0.03]] * 3, atol=rest + 1e-9)


def test_light_on_the_surface_is_finite_and_so_is_its_gradient():
  def total(position):
    views = make_view(
      specular=0.3, point=PointLight(position, jnp.ones((1, 1, 3)))
    )
    p = jnp.zeros((1, 1, 1, 3, 3))
    normals = jnp.broadcast_to(jnp.array([0, 0, 1.0]), p.shape)
    return sum(map(jnp.sum, shade(split(p), split(normals), views)))

  for z in (0.0, 1e-9, 0.5 * LIGHT_DISTANCE_MIN):
    value, slope = jax.value_and_grad(total)(jnp.array([[[0, 0, z]]]))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    assert value <= 9 * (1 + 0.3) / LIGHT_DISTANCE_MIN**2


# ----- normals and albedo ----------------------------------------------------


@pytest.mark.parametrize("camera", CAMERAS)
def test_flat_normals_stand_on_their_faces_towards_the_camera(camera):
  rng = np.random.default_rng(2)
  p = jnp.array(rng.uniform(-0.5, 0.5, (1, 1, 20, 3, 3)))
  views = make_view()
  got = join(turn_normals(split(p), None, views, camera=camera))
  flat = np.asarray(flat_normals(p))
  sign = np.sign(np.sum(got * flat, axis=-1, keepdims=True))
  np.testing.assert_allclose(got, sign * flat, atol=1e-12)
  ray = np.array([0, 0, 3.0]) - np.asarray(p)[..., :1, :]
  if camera == "orthographic":
    ray = np.array([0, 0, 1.0])
  assert (np.sum(got[..., :1, :] * ray, axis=-1) > 0).all()
  given = turn_normals(split(p), split(flat), views, camera=camera)
  np.testing.assert_allclose(join(given), got, atol=1e-12)


def make_soup(seed):
  rng = np.random.default_rng(seed)
  corners = jnp.array(rng.uniform(-0.55, 0.55, (2, 5, 3, 3)))
  smooth = rng.normal(size=corners.shape)
  smooth /= np.linalg.norm(smooth, axis=-1, keepdims=True)
  return Triangles(corners, jnp.array(smooth))


@functools.partial(
  jax.jit, static_argnames=("camera", "shading", "framing", "sigma", "gamma")
)
def draw(
  triangles,
  views,
  *,
  camera="perspective",
  shading="smooth",
  framing="sphere",
  sigma=0.7,
  gamma=3e-3,
):
  images, _ = render(
    triangles,
    views,
    size=SIZE,
    sigma=sigma,
    gamma=gamma,
    budget=BUDGET,
    camera=camera,
    shading=shading,
    framing=framing,
  )
  return images


def test_flat_shading_is_smooth_shading_with_the_normals_of_the_planes():
  soup = make_soup(3)
  views = jax.tree.map(jnp.float64, make_views(sphere_views(2)))
  flat = dataclasses.replace(soup, normals=flat_normals(soup.corners))
  expected = draw(flat, views)
  np.testing.assert_allclose(
    draw(soup, views, shading="flat"), expected, atol=1e-12
  )
  assert np.abs(draw(soup, views) - expected).max() > 0.05


def test_albedo_multiplies_the_diffuse_colour_and_not_the_highlight():
  rng = np.random.default_rng(4)
  albedo = rng.uniform(0, 1, (1, 2, 3, 3))
  point = make_point([0.5, 0.2, 2.0], [3.0, 2.0, 4.0])
  places = rng.uniform(-0.5, 0.5, (6, 3))

  def color(specular, albedo):
    views = make_view(ambient=0.2, specular=specular, point=point)
    return shade_plane(views, places, albedo=albedo)

  matt, gloss = color(0.0, None), color(0.5, None) - color(0.0, None)
  assert gloss.max() > 0.01
  np.testing.assert_allclose(
    color(0.5, jnp.array(albedo)),
    matt * albedo.reshape(-1, 3) + gloss,
    rtol=1e-12,
  )


def test_vertex_colours_are_mixed_over_a_face():
  # Red, green and blue corners: their mean at the middle of an upright face,
  # in perspective and in parallel.
  corners = jnp.array([[[[-0.6, -0.6, 0], [0.6, -0.6, 0], [0, 0.6, 0]]]])
  model = Triangles(
    corners, flat_normals(corners), albedo=jnp.eye(3)[None, None]
  )
  views = dataclasses.replace(
    make_view(ambient=1.0), fov=jnp.array([2 * np.arctan(1 / 3)])
  )
  for camera in CAMERAS:
    image = np.asarray(draw(model, views, camera=camera, sigma=0.1)[0, 0])
    # Centre of row 8, column 8: x = 1/16, y = -1/16.
    x, y = 1 / 16, -1 / 16
    blue = (y + 0.6) / 1.2
    right = x / 1.2 + (1 - blue) / 2
    expected = np.array([1 - blue - right, right, blue]) * [0.9, 0.6, 0.3]
    np.testing.assert_allclose(image[8, 8, :3], expected, atol=1e-6)


def test_vertex_colours_of_a_tilted_face_are_affine_in_a_parallel_image():
  # In perspective the far half of the face is shorter than the near one.
  corners = jnp.array([[[[-0.6, -0.6, 0.5], [0.6, -0.6, 0.5], [0, 0.6, -0.5]]]])
  model = Triangles(
    corners, flat_normals(corners), albedo=jnp.eye(3)[None, None]
  )
  views = dataclasses.replace(
    make_view(ambient=1.0), fov=jnp.array([2 * np.arctan(1 / 3)])
  )
  parallel, perspective = (
    np.asarray(draw(model, views, camera=camera, sigma=0.01)[0, 0])
    for camera in ("orthographic", "perspective")
  )
  # Centre of row 11, column 8: x = 1/16, y = -7/16.
  blue = (-7 / 16 + 0.6) / 1.2
  right = (1 / 16) / 1.2 + (1 - blue) / 2
  expected = np.array([1 - blue - right, right, blue]) * [0.9, 0.6, 0.3]
  np.testing.assert_allclose(parallel[11, 8, :3], expected, atol=1e-12)
  assert np.abs(perspective[11, 8, :3] - expected).max() > 0.01


# ----- gradients -------------------------------------------------------------

FIELDS = {
  "corners": lambda s: s[0].corners,
  "albedo": lambda s: s[0].albedo,
  "quaternion": lambda s: s[1].quaternion,
  "distance": lambda s: s[1].distance,
  "fov": lambda s: s[1].fov,
  "offset": lambda s: s[1].offset,
  "principal": lambda s: s[1].principal,
  "point position": lambda s: s[1].light.point.position,
  "point intensity": lambda s: s[1].light.point.intensity,
  "light direction": lambda s: s[1].light.direction,
}


@functools.partial(jax.jit, static_argnames=("camera", "shading", "framing"))
def slope_of(scene, weights, *, camera, shading, framing):
  def loss(scene):
    images = draw(
      *scene,
      camera=camera,
      shading=shading,
      framing=framing,
      sigma=12.0,
      gamma=0.2,
    )
    return jnp.sum(images * weights)

  return jax.value_and_grad(loss)(scene)


@pytest.mark.parametrize(
  ("camera", "shading", "framing"),
  [
    ("perspective", "flat", "sphere"),
    ("orthographic", "smooth", "sphere"),
    ("orthographic", "flat", "object"),
  ],
)
def test_central_differences_converge_to_the_gradient(camera, shading, framing):
  rng = np.random.default_rng(5)
  views = make_views(rng.normal(size=(2, 4)))
  light = dataclasses.replace(
    views.light,
    point=PointLight(
      rng.normal(size=(2, 2, 3)) + np.array([0, 0, 2]),
      rng.uniform(1, 3, (2, 2, 3)),
    ),
  )
  views = dataclasses.replace(
    views,
    light=light,
    offset=rng.uniform(-0.2, 0.2, (2, 2)),
    principal=rng.uniform(-0.1, 0.1, (2, 2)),
  )
  soup = dataclasses.replace(
    make_soup(6), albedo=rng.uniform(0.2, 1, (2, 5, 3, 3))
  )
  scene = jax.tree.map(jnp.float64, (soup, views))
  weights = rng.normal(size=(2, 2, SIZE, SIZE, 4))
  call = functools.partial(
    slope_of, camera=camera, shading=shading, framing=framing
  )
  slope = call(scene, weights)[1]
  for name, pick in FIELDS.items():
    leaf = pick(scene)
    way = rng.normal(size=leaf.shape)

    def along(h, leaf=leaf, way=way):
      moved = jax.tree.map(lambda x: x + h * way if x is leaf else x, scene)
      return call(moved, weights)[0]

    true = np.vdot(pick(slope), way)
    if name == "principal" and framing == "object":
      assert true == 0
      continue
    assert abs(true) > 1e-3, name
    errors = [
      abs((along(h) - along(-h)) / (2 * h) - true) / abs(true)
      for h in (2e-6, 1e-6)
    ]
    assert min(errors) < 2e-6, (name, errors)


def test_orthographic_image_in_float32_agrees_with_float64():
  soup = jax.tree.map(jnp.float32, make_soup(7))
  views = make_views(sphere_views(2))
  single = draw(soup, views, camera="orthographic")
  assert single.dtype == np.float32
  wide = jax.tree.map(jnp.float64, (soup, views))
  # Where surfaces cross, their order is resolved to 6e-5 of z; γ is 3e-3.
  double = draw(*wide, camera="orthographic")
  np.testing.assert_allclose(single, double, atol=1e-2)
  assert np.abs(single - double).mean() < 1e-4


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("framing", ["sphere", "object"])
def test_singular_scenes_are_finite(camera, framing):
  views = make_views(np.zeros((2, 4)))
  light = dataclasses.replace(
    views.light,
    point=PointLight(jnp.zeros((2, 1, 3)), jnp.ones((2, 1, 3))),
  )
  views = dataclasses.replace(views, light=light, offset=jnp.zeros((2, 2)))
  views = jax.tree.map(jnp.float64, views)
  corners = make_soup(8).corners
  scenes = [
    jnp.zeros_like(corners),  # empty
    corners.at[..., 0].set(0.0),  # edge-on
    corners.at[:, 0, 0].set(jnp.array([0, 0, views.distance[0]])),
  ]
  for corners in scenes:
    model = Triangles(corners, corners, albedo=jnp.ones_like(corners))
    value, slope = slope_of(
      (model, views),
      jnp.ones((2, 2, SIZE, SIZE, 4)),
      camera=camera,
      shading="flat",
      framing=framing,
    )
    leaves = jax.tree.leaves((value, slope))
    assert all(np.isfinite(leaf).all() for leaf in leaves)


# ----- as parts of θ_G -------------------------------------------------------


def make_full_views():
  """Views that have all that is optional."""
  views = make_views(sphere_views(3))
  light = dataclasses.replace(
    views.light,
    point=PointLight(
      jnp.full((3, 2, 3), 1.5, jnp.float32), jnp.ones((3, 2, 3), jnp.float32)
    ),
  )
  return dataclasses.replace(
    views,
    light=light,
    offset=jnp.full((3, 2), 0.1, jnp.float32),
    principal=jnp.full((3, 2), 0.05, jnp.float32),
  )


def test_optional_fields_are_selected_with_camera_and_light():
  views = make_full_views()
  for part, ones in [
    ("camera", lambda v: [v.distance, v.fov, v.offset, v.principal]),
    ("light", lambda v: jax.tree.leaves(v.light)),
  ]:
    mask = select_parts(views, (part,))
    jax.tree.map(lambda m, v: None, mask, views)  # the same tree
    assert all(x == 1 for x in ones(mask))
    assert sum(jax.tree.leaves(mask)) == len(ones(mask))


def test_views_without_optional_fields_have_no_leaf_for_them():
  views = make_views(sphere_views(3))
  assert len(jax.tree.leaves(views)) == 9
  assert len(jax.tree.leaves(make_full_views())) == 13


def test_take_views_keeps_all_fields():
  views = make_full_views()
  views = dataclasses.replace(views, offset=jnp.arange(6.0).reshape(3, 2))
  taken = take_views(views, np.array([2, 0]))
  np.testing.assert_array_equal(taken.offset, [[4, 5], [0, 1]])
  assert taken.principal.shape == (2, 2)
  assert taken.light.point.position.shape == (2, 2, 3)


def test_point_lights_stay_outside_and_lit():
  views = make_full_views()
  dark = dataclasses.replace(
    views.light,
    point=PointLight(jnp.full((3, 2, 3), 0.1), jnp.zeros((3, 2, 3))),
  )
  wild = dataclasses.replace(
    views, light=dark, offset=jnp.full((3, 2), 9.0), principal=views.principal
  )
  once = project(wild)
  point = once.light.point
  np.testing.assert_allclose(
    np.linalg.norm(point.position, axis=-1), 1.5, rtol=1e-6
  )
  np.testing.assert_allclose(point.intensity, 0.1 * 1.5**2, rtol=1e-6)
  np.testing.assert_allclose(once.offset, 0.5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
    project(once),
    once,
  )


def test_saved_pipeline_keeps_optional_fields(tmp_path):
  with jax.enable_x64(False):
    config = PipelineConfig(
      view_count=3,
      render=RenderConfig(size=16, camera="orthographic", shading="flat"),
    )
    plain = Pipeline.create(config)
    full = Pipeline(config, make_full_views(), plain.weights)
    for pipeline in (plain, full):
      pipeline.save(tmp_path / "pipeline")
      loaded = Pipeline.load(tmp_path / "pipeline")
      assert loaded.config == config
      assert loaded.fingerprint == pipeline.fingerprint
      jax.tree.map(np.testing.assert_array_equal, loaded.views, pipeline.views)


def test_unknown_option_raises():
  soup, views = make_soup(9), make_views(sphere_views(2))
  for name, value in [("camera", "fisheye"), ("shading", "toon")]:
    with pytest.raises(ValueError, match=f"{name} must be .* got '{value}'"):
      draw(soup, views, **{name: value})
  with pytest.raises(ValueError, match=r"layers are .*, not \['albedo'\]"):
    render(
      soup,
      views,
      size=SIZE,
      sigma=1.0,
      gamma=1.0,
      budget=BUDGET,
      layers=("albedo",),
    )
