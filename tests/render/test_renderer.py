"""What pipelines, training and registration expect of every renderer.

A new implementation of `Renderer` joins `CASES` and passes all tests here.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation
from support.shapes import make_model
from support.sphere import make_spheres

from dr3d.camera.view import make_views, take_views
from dr3d.mesh import make_mesh
from dr3d.render.budget import within_budget
from dr3d.render.renderer import draw_views
from dr3d.render.triangle import RenderConfig, TriangleRenderer, stack_meshes
from dr3d.render.volume import VolumeRenderer
from dr3d.shape.lift import render_codes

SIZE = 16
# Of another program. A volume multiplies the rounding of positions, three radii
# from the camera, by the slope of its density.
ROUNDING = 3e-6
B, N = 2, 3
VIEWS = make_views(
  Rotation.random(N, random_state=0).as_quat(scalar_first=True)
)


def make_triangles(**options):
  """A box and a ball beside the origin."""
  box = trimesh.creation.box((1.0, 0.6, 0.3))
  ball = trimesh.creation.icosphere(1)
  config = RenderConfig(size=SIZE, **{"framing": "sphere", **options})
  triangles = stack_meshes(
    [make_mesh(shape.vertices, shape.faces) for shape in (box, ball)],
    face_count=80,
    coverage=config.coverage,
  )
  # Off the origin, so that a rotation moves every model in the image.
  corners = 0.5 * triangles.corners + np.float32([0.3, -0.1, 0.2])
  moved = dataclasses.replace(triangles, corners=corners)
  return TriangleRenderer(moved, config)


def turn_triangles(renderer, rotation):
  def turn(vectors):
    turned = rotation.apply(np.asarray(vectors).reshape(-1, 3))
    return np.float32(turned.reshape(vectors.shape))

  triangles = dataclasses.replace(
    renderer.triangles,
    corners=turn(renderer.triangles.corners),
    normals=turn(renderer.triangles.normals),
  )
  return dataclasses.replace(renderer, triangles=triangles)


def make_codes():
  """Two codes of a shape model, beside the origin."""
  model = make_model()
  renderer = render_codes(
    model,
    model.codes,
    config=RenderConfig(size=SIZE, framing="sphere"),
    resolution=32,
    face_budget=200,
  )
  corners = 0.5 * renderer.triangles.corners + np.float32([0.3, -0.1, 0.2])
  triangles = dataclasses.replace(renderer.triangles, corners=corners)
  return dataclasses.replace(renderer, triangles=triangles)


def make_grids(**options):
  """Balls of fog that end within the sphere, on grids in axes of their own."""
  config = RenderConfig(size=SIZE, **{"framing": "sphere", **options})
  axis = np.linspace(-1, 1, 24)
  places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
  centers = np.array([[0.3, -0.1, 0.2], [0.1, 0.25, -0.2]])
  apart = np.linalg.norm(places - centers[:, None, None, None], axis=-1)
  return VolumeRenderer(
    density=np.float32(8 * np.clip(1 - (apart / 0.55) ** 2, 0, None) ** 2),
    turn=np.float32(Rotation.random(B, random_state=3).as_matrix()),
    hull=np.float32(
      centers[:, None] + 0.55 * np.stack([np.eye(3), -np.eye(3)]).reshape(6, 3)
    ),
    config=config,
    samples=48,
  )


def turn_grids(renderer, rotation):
  turn = np.float32(rotation.as_matrix() @ np.asarray(renderer.turn))
  return dataclasses.replace(renderer, turn=turn)


def turn_spheres(renderer, rotation):
  center = np.float32(rotation.apply(renderer.center))
  return dataclasses.replace(renderer, center=jnp.asarray(center))


CASES = {
  "triangles": (make_triangles, turn_triangles),
  "closed meshes": (
    functools.partial(make_triangles, coverage="mesh"),
    turn_triangles,
  ),
  "orthographic, framed by the object": (
    functools.partial(
      make_triangles, camera="orthographic", framing="object", shading="flat"
    ),
    turn_triangles,
  ),
  "codes of shapes": (make_codes, turn_triangles),
  "volumes": (make_grids, turn_grids),
  "orthographic volumes, framed by the object": (
    functools.partial(make_grids, camera="orthographic", framing="object"),
    turn_grids,
  ),
  "spheres": (functools.partial(make_spheres, size=SIZE), turn_spheres),
}

draw = jax.jit(draw_views, static_argnames="budget")


@dataclasses.dataclass(frozen=True)
class Drawn:
  """One implementation with its images."""

  renderer: object
  turn: object
  budget: object
  images: np.ndarray
  usage: object


@pytest.fixture(scope="module", params=CASES)
def drawn(request):
  make, turn = CASES[request.param]
  renderer = make()
  budget = renderer.fit_budget(VIEWS).widened(1.5)
  images, usage = draw(renderer, VIEWS, budget=budget)
  return Drawn(renderer, turn, budget, np.asarray(images), usage)


class TestRenderer:
  def test_images_have_models_views_pixels_and_four_channels(self, drawn):
    assert drawn.images.shape == (B, N, SIZE, SIZE, 4)
    assert drawn.images.dtype == np.float32

  def test_alpha_lies_between_0_and_1_and_reaches_both(self, drawn):
    alpha = drawn.images[..., 3]
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert (alpha.min(axis=(-2, -1)) < 0.01).all()
    assert (alpha.max(axis=(-2, -1)) > 0.9).all()

  def test_colour_is_multiplied_by_alpha(self, drawn):
    # White matter under ambient light of 1 has the colour 1 everywhere.
    light, material = VIEWS.light, VIEWS.material
    views = dataclasses.replace(
      VIEWS,
      light=dataclasses.replace(
        light,
        ambient=jnp.ones_like(light.ambient),
        intensity=jnp.zeros_like(light.intensity),
      ),
      material=dataclasses.replace(
        material,
        diffuse=jnp.ones_like(material.diffuse),
        specular=jnp.zeros_like(material.specular),
      ),
    )
    images, _ = draw(drawn.renderer, views, budget=drawn.budget)
    alpha = np.broadcast_to(images[..., 3:], (*images.shape[:-1], 3))
    np.testing.assert_allclose(images[..., :3], alpha, atol=1e-5)

  def test_turning_models_and_views_together_changes_nothing(self, drawn):
    rotation = Rotation.random(random_state=1)
    turned = drawn.turn(drawn.renderer, rotation)
    q = Rotation.from_quat(VIEWS.quaternion, scalar_first=True)
    back = (q * rotation.inv()).as_quat(scalar_first=True)
    views = dataclasses.replace(
      VIEWS, quaternion=jnp.asarray(back, jnp.float32)
    )
    images, _ = draw(turned, views, budget=drawn.budget)
    np.testing.assert_allclose(images, drawn.images, atol=1e-3)

  def test_other_values_do_not_compile_again(self, drawn):
    compiled = jax.jit(drawn.renderer.render, static_argnames="budget")
    other = dataclasses.replace(VIEWS, distance=VIEWS.distance + 1)
    near, _ = compiled(VIEWS, budget=drawn.budget)
    far, _ = compiled(other, budget=drawn.budget)
    assert compiled._cache_size() == 1
    np.testing.assert_allclose(near, drawn.images, atol=ROUNDING)
    assert np.abs(near - far).max() > 1e-3

  def test_gradients_by_views_are_finite_and_reach_the_quaternion(self, drawn):
    weights = np.random.default_rng(2).normal(size=drawn.images.shape)

    @jax.jit
    @jax.grad
    def slope(views):
      images, _ = drawn.renderer.render(views, budget=drawn.budget)
      return jnp.sum(images * weights)

    found = slope(VIEWS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert (np.abs(found.quaternion).max(axis=1) > 1e-3).all()

  def test_models_are_drawn_alone_as_in_a_batch(self, drawn):
    for i in range(B):
      alone = jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], drawn.renderer)
      images, _ = draw(alone, VIEWS, budget=drawn.budget)
      np.testing.assert_allclose(images[0], drawn.images[i], atol=ROUNDING)

  def test_views_are_drawn_alone_as_among_others(self, drawn):
    chosen = np.array([2, 0])
    images, _ = draw(
      drawn.renderer, take_views(VIEWS, chosen), budget=drawn.budget
    )
    np.testing.assert_allclose(images, drawn.images[:, chosen], atol=ROUNDING)

  def test_fitted_budget_holds_and_more_room_changes_nothing(self, drawn):
    fitted = drawn.renderer.fit_budget(VIEWS)

    def call(budget):
      return draw(drawn.renderer, VIEWS, budget=budget)

    images, budget = within_budget(call, fitted)
    assert budget == fitted
    np.testing.assert_allclose(images, drawn.images, atol=ROUNDING)
    assert drawn.budget.holds(drawn.usage)
    again = drawn.renderer.fit_budget(VIEWS, start=drawn.budget)
    assert again == drawn.budget

  def test_extent_is_finite_unless_a_coordinate_is_not(self, drawn):
    assert 0 < float(drawn.renderer.extent) < 1
    leaf = jax.tree.leaves(drawn.renderer)[0]
    broken = jax.tree.map(
      lambda x: x * np.float32(np.nan) if x is leaf else x, drawn.renderer
    )
    assert np.isnan(broken.extent)


def test_budget_that_is_too_small_is_reported_and_grows():
  renderer = make_triangles()
  small = dataclasses.replace(renderer.fit_budget(VIEWS), pairs=8, blocks=8)
  images, usage = draw(renderer, VIEWS, budget=small)
  assert not small.holds(usage)
  whole, budget = within_budget(
    lambda budget: draw(renderer, VIEWS, budget=budget), small
  )
  assert budget.pairs > 8
  assert np.abs(whole - images).max() > 0.1


def test_layers_follow_the_colour_and_alpha():
  renderer = make_triangles()
  more = dataclasses.replace(renderer, layers=("depth", "normal"))
  budget = renderer.fit_budget(VIEWS)
  plain, _ = draw(renderer, VIEWS, budget=budget)
  images, _ = draw(more, VIEWS, budget=budget)
  assert images.shape == (B, N, SIZE, SIZE, 8)
  np.testing.assert_allclose(images[..., :4], plain, atol=1e-6)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"framing": "room"}, "framing must be one of .* got 'room'"),
    ({"coverage": "edge"}, "coverage must be one of .* got 'edge'"),
    ({"camera": "fisheye"}, "camera must be one of .* got 'fisheye'"),
    ({"shading": "toon"}, "shading must be one of .* got 'toon'"),
  ],
)
def test_unknown_option_raises(options, message):
  renderer = make_triangles()
  config = dataclasses.replace(renderer.config, **options)
  renderer = dataclasses.replace(renderer, config=config)
  with pytest.raises(ValueError, match=message):
    renderer.render(VIEWS, budget=None)
