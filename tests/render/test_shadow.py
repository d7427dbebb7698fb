"""Cast shadows: where they fall, and what they leave differentiable."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dr3d
from dr3d.camera.view import PointLight
from dr3d.mesh import make_mesh
from dr3d.render.triangle import stack_meshes

SIZE = 64
FLOOR, LID = -0.5, 0.3  # heights of two squares that face the camera
HALF = 0.25  # of the lid's side
TILT = np.array([0.5, 0.0, 1.0])  # of the way to the light


def square(half, z):
  corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
  return np.column_stack([corners, np.full(4, z)])


def make_scene():
  """A lid above a floor, in the axes of the only view."""
  vertices = np.concatenate([square(0.6, FLOOR), square(HALF, LID)])
  faces = np.array([[0, 1, 2], [0, 2, 3]])
  corners = np.float32(vertices)[np.concatenate([faces, faces + 4])][None]
  normals = np.broadcast_to(np.float32([0, 0, 1]), corners.shape)
  return dr3d.Triangles(corners, normals)


def make_views(*, point=False):
  views = dr3d.make_views(np.array([[1.0, 0, 0, 0]]), colored=False)
  way = TILT / np.linalg.norm(TILT)
  light = dataclasses.replace(
    views.light,
    direction=jnp.float32(way)[None, None],
    intensity=jnp.full((1, 1, 3), 0.8),
    ambient=jnp.full((1, 3), 0.1),
  )
  if point:
    place = np.array([0, 0, LID]) + 2 * TILT
    light = dataclasses.replace(
      light,
      intensity=jnp.zeros((1, 1, 3)),
      point=PointLight(
        jnp.float32(place)[None, None], jnp.full((1, 1, 3), 8.0)
      ),
    )
  material = dataclasses.replace(
    views.material, diffuse=jnp.ones(3), specular=jnp.float32(0)
  )
  return dataclasses.replace(views, light=light, material=material)


def draw(views, **options):
  options = {"camera": "orthographic", "size": SIZE, **options}
  return dr3d.render(make_scene(), views, **options)[0, 0]


def find_positions(views):
  """x and y of the pixels' centres, in the axes of the view."""
  half = float(views.distance[0] * np.tan(views.fov[0] / 2))
  x = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1) * half
  return np.meshgrid(x, -x)


def find_shadow(views, *, point):
  """Where the floor is dark and where it is lit, by hand, edges left out."""
  x, y = find_positions(views)
  shift, scale = -TILT[0] * (LID - FLOOR), 1.0
  if point:  # the lid is `far` below the light, the floor `far + fall`
    far, fall = 2.0, LID - FLOOR
    scale = (far + fall) / far
    shift = -fall * TILT[0]
  edge = 0.06
  u, v = np.abs(x - shift), np.abs(y)
  lid = (np.abs(x) < HALF + edge) & (v < HALF + edge)
  on_floor = (np.abs(x) < 0.6 - edge) & (v < 0.6 - edge) & ~lid
  inside = np.maximum(u, v) < scale * HALF - edge
  outside = np.maximum(u, v) > scale * HALF + edge
  return on_floor & inside, on_floor & outside


@pytest.mark.parametrize("point", [False, True], ids=["sun", "lamp"])
def test_shadow_falls_where_geometry_says(point):
  views = make_views(point=point)
  plain = np.asarray(draw(views))
  shadowed = np.asarray(draw(views, shadows=True))
  dark, lit = find_shadow(views, point=point)
  assert dark.sum() > 40
  assert lit.sum() > 400
  # Alpha is below 1 on an edge that two faces share.
  color = shadowed[..., :3] / np.maximum(shadowed[..., 3:], 0.1)
  np.testing.assert_allclose(color[dark], 0.1, atol=0.01)
  np.testing.assert_allclose(shadowed[lit], plain[lit], atol=1e-5)
  np.testing.assert_array_equal(shadowed[..., 3], plain[..., 3])
  assert (plain[dark][:, :3] > 0.4).all()


def test_image_is_linear_in_the_strength_of_the_light():
  views = make_views()

  def light_up(strength):
    light = dataclasses.replace(
      views.light, intensity=strength * views.light.intensity
    )
    views_ = dataclasses.replace(views, light=light)
    return draw(views_, shadows=True, budget=None)[..., :3]

  def total(strength):
    return jnp.sum(light_up(strength) * weight)

  weight = np.random.default_rng(0).normal(size=(SIZE, SIZE, 3))
  slope = jax.grad(total)(1.0)
  np.testing.assert_allclose(slope, total(2.0) - total(1.0), rtol=1e-3)
  dark, lit = find_shadow(views, point=False)

  def mean_slope(where):
    return jax.grad(lambda s: jnp.mean(light_up(s)[where]))(1.0)

  assert abs(mean_slope(dark)) < 0.005
  assert mean_slope(lit) > 0.5


def test_several_lights_and_layers_keep_their_channels():
  views = dr3d.make_views(dr3d.ring_views(2))
  box = make_mesh(square(1.0, 0.0), np.array([[0, 1, 2], [0, 2, 3]]))
  options = {"size": 32, "layers": ("depth", "normal")}
  plain = dr3d.render(box, views, **options)
  shadowed = dr3d.render(box, views, shadows=True, **options)
  assert shadowed.shape == plain.shape == (2, 32, 32, 8)
  np.testing.assert_allclose(shadowed, plain, atol=1e-5)  # nothing is above it


def test_convex_body_casts_no_shadow_on_itself():
  import trimesh

  ball = trimesh.creation.icosphere(3)
  mesh = make_mesh(ball.vertices, ball.faces)
  views = dr3d.make_views(dr3d.ring_views(2))
  plain = np.asarray(dr3d.render(mesh, views, size=48))
  shadowed = np.asarray(dr3d.render(mesh, views, size=48, shadows=True))
  change = np.abs(shadowed - plain)[..., :3]
  assert change.max() < 0.15  # only where light grazes the flat faces
  assert change.mean() < 1e-3


def test_shadow_of_a_textured_surface_keeps_its_picture():
  scene = make_scene()
  image = np.zeros((1, 1, 2, 2, 3), np.float32)
  image[..., 0] = 1.0  # all red
  texture = dr3d.Texture(np.zeros((1, 4, 3, 2), np.float32), image)
  views = make_views()
  triangles = dataclasses.replace(scene, texture=texture)
  picture = np.asarray(
    dr3d.render(
      triangles, views, size=SIZE, camera="orthographic", shadows=True
    )
  )[0, 0]
  dark, lit = find_shadow(views, point=False)
  np.testing.assert_allclose(picture[dark][:, 0], 0.1, atol=0.01)
  assert picture[lit][:, 0].min() > 0.5
  assert picture[..., 1:3].max() < 1e-5


def test_pipeline_with_shadows_sees_other_images(tmp_path):
  import trimesh

  from dr3d.nn.encoder import EncoderConfig
  from dr3d.render.config import RenderConfig
  from dr3d.retrieval.pipeline import Pipeline, PipelineConfig

  table = trimesh.util.concatenate(
    [
      trimesh.creation.box((2, 2, 0.1)),
      trimesh.creation.box((0.1, 0.1, 1)).apply_translation((0, 0, 0.5)),
    ]
  )
  mesh = make_mesh(table.vertices, table.faces)
  config = PipelineConfig(
    view_count=2,
    render=RenderConfig(size=32, shadows=True),
    embed=EncoderConfig(feature_size=8, widths=(4, 8)),
  )
  pipeline = Pipeline.create(config)
  plain = dataclasses.replace(
    pipeline,
    config=dataclasses.replace(config, render=RenderConfig(size=32)),
  )
  change = plain.render(mesh) - pipeline.render(mesh)
  assert change.min() > -1e-5  # a shadow only darkens
  assert change.max() > 0.2
  pipeline.save(tmp_path / "pipeline")
  loaded = Pipeline.load(tmp_path / "pipeline")
  assert loaded.config.render.shadows
  assert stack_meshes([mesh], face_count=256).albedo is None
