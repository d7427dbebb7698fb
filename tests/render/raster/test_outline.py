"""Soft contours of hard faces: against the dense reference and closed forms."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

from dr3d.camera.view import make_views
from dr3d.render.raster import (
  CUTOFF,
  THINNEST,
  Budget,
  measure,
  opposite_corners,
  rasterize,
  soft_edges,
)
from dr3d.render.raster.dense_outline import rasterize_dense_contour
from dr3d.render.raster.fragment import BRIM, SLACK
from dr3d.render.raster.outline import PREFERENCE, STEP
from dr3d.render.triangle import RenderConfig, Triangles, render
from experiments.benchmark.contour import measure_contour

SIZE = (20, 28)
AMPLE = Budget(pairs=1024, blocks=128, edges=1024)
RANGE = (0.25, 0.7)


pytestmark = pytest.mark.usefixtures("x64_module")


def make_scene(seed, *, faces=12):
  """Two pictures of random faces, two in three of their edges soft."""
  rng = np.random.default_rng(seed)
  middle = rng.uniform(-3, np.array(SIZE[::-1]) + 3, (2, faces, 1, 2))
  place = middle + 6 * rng.normal(size=(2, faces, 3, 2))
  inverse = rng.uniform(0.3, 0.6, (2, faces, 1, 1))
  inverse = inverse + rng.uniform(-0.05, 0.05, (2, faces, 3, 1))
  corners = np.concatenate([place, inverse], axis=-1)
  colors = rng.uniform(size=(2, faces, 3, 3))
  soft = rng.uniform(size=(2, faces, 3)) < 0.67
  weights = rng.normal(size=(2, *SIZE, 4)) / np.prod(SIZE) ** 0.5
  return corners, colors, soft, weights


def _value_and_slope(draw):
  """Jits `draw` to its weighed sum, its pictures, and the sum's slopes."""

  @functools.partial(jax.jit, static_argnames=("budget", "camera"))
  def call(
    corners,
    colors,
    soft,
    weights,
    *,
    sigma,
    gamma,
    budget=AMPLE,
    camera="perspective",
  ):
    def loss(corners, colors, depth_range):
      color, alpha, usage = draw(
        corners,
        colors,
        soft,
        sigma=sigma,
        gamma=gamma,
        depth_range=depth_range,
        budget=budget,
        camera=camera,
      )
      images = jnp.concatenate([color, alpha[..., None]], axis=-1)
      return jnp.sum(images * weights), (images, usage)

    slope = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
    depth_range = tuple(jnp.asarray(x, corners.dtype) for x in RANGE)
    (total, (images, usage)), slopes = slope(corners, colors, depth_range)
    return total, images, slopes, usage

  return call


@_value_and_slope
def fast(corners, colors, soft, **how):
  return rasterize(corners, colors, soft=soft, size=SIZE, **how)


@_value_and_slope
def dense(corners, colors, soft, *, budget, **how):
  del budget
  draw = functools.partial(
    rasterize_dense_contour,
    size=SIZE,
    cutoff=CUTOFF,
    thinnest=THINNEST,
    slack=SLACK,
    brim=BRIM,
    step=STEP,
    preference=PREFERENCE,
    **how,
  )
  return *jax.vmap(draw)(corners, colors, soft), None


def difference(got, true):
  """Largest difference of two trees, relative to the largest value."""
  pairs = zip(jax.tree.leaves(got), jax.tree.leaves(true), strict=True)
  return max(
    float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-300)) for a, b in pairs
  )


# ----- fast against dense, and differences -----------------------------------


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
  ("sigma", "gamma", "camera"),
  [
    (1.0, 0.05, "perspective"),
    (0.4, 3e-3, "perspective"),
    (1.0, 0.05, "orthographic"),
  ],
)
def test_image_and_gradients_equal_the_dense_form(seed, sigma, gamma, camera):
  scene = make_scene(seed)
  if camera == "orthographic":
    scene[0][..., 2] -= 0.5  # depths of either sign
  how = {"sigma": sigma, "gamma": gamma, "camera": camera}
  total, images, slopes, usage = fast(*scene, **how)
  expected, true_images, true_slopes, _ = dense(*scene, **how)
  assert AMPLE.holds(usage)
  assert ((images[..., 3] > 0) & (images[..., 3] < 1)).mean() > 0.2
  np.testing.assert_allclose(total, expected, rtol=1e-11)
  assert difference(images, true_images) < 1e-11
  assert difference(slopes, true_slopes) < 1e-11


NEAR = [[4.2, 3.1], [15.7, 6.2], [7.4, 14.6]]
FAR = [[-40, -30], [70, -30], [10, 90]]


def make_near_and_far():
  """A small triangle wholly before one that fills the picture."""
  corners = np.zeros((1, 2, 3, 3))
  corners[0, :, :, :2] = [NEAR, FAR]
  corners[0, :, :, 2] = [[0.55, 0.6, 0.58], [0.3, 0.32, 0.31]]
  colors = np.random.default_rng(0).uniform(size=(1, 2, 3, 3))
  weights = np.random.default_rng(1).normal(size=(1, *SIZE, 4))
  return corners, colors, np.ones((1, 2, 3), bool), weights


@pytest.mark.parametrize("scene", ["one before the other", "apart"])
def test_central_differences_converge_with_the_step_squared(scene):
  corners, colors, soft, weights = make_near_and_far()
  if scene == "apart":
    corners[0, 1, :, :2] = np.add(NEAR, [11, 3.3])
  rng = np.random.default_rng(2)
  way = [rng.normal(size=x.shape) for x in (corners, colors)]
  way[0][..., 2] *= 0.01
  how = {"sigma": 0.7, "gamma": 0.2}

  def along(h):
    return fast(corners + h * way[0], colors + h * way[1], soft, weights, **how)

  slopes = fast(corners, colors, soft, weights, **how)[2]
  true = sum(np.vdot(s, w) for s, w in zip(slopes[:2], way, strict=True))
  errors = [
    abs((along(h)[0] - along(-h)[0]) / (2 * h) - true) / abs(true)
    for h in (4e-4, 2e-4, 1e-4)
  ]
  assert errors[2] < 1e-6
  np.testing.assert_allclose(np.divide(errors[:2], errors[1:]), 4, rtol=0.1)


def test_float32_agrees_with_float64():
  scene = make_scene(3)
  narrow = [x if x.dtype == bool else np.float32(x) for x in scene]
  wide = [x if x.dtype == bool else np.float64(x) for x in narrow]
  _, images, slopes, _ = fast(*narrow, sigma=1.0, gamma=0.05)
  _, true_images, true_slopes, _ = fast(*wide, sigma=1.0, gamma=0.05)
  assert images.dtype == np.float32
  assert difference(images, true_images) < 2e-5
  assert difference(slopes[:2], true_slopes[:2]) < 2e-5


# ----- closed forms ----------------------------------------------------------


def test_silhouette_within_the_image_blends_colours_and_leaves_alpha():
  corners, colors, soft, weights = make_near_and_far()
  corners[0, 0, :, :2] = [[-30, -30], [10, 10.0], [-30, 50]]
  corners[0, 0, :, :2] = [[10, -30], [10, 50], [-60, 10]]
  colors[0, 0], colors[0, 1] = [1.0, 0, 0], [0, 1.0, 0]
  _, images, _, _ = fast(corners, colors, soft, weights, sigma=0.7, gamma=3e-3)
  np.testing.assert_allclose(images[..., 3], 1, atol=1e-12)
  distance = np.arange(28) + 0.5 - 10
  outer = 1 / (1 + np.exp(np.sign(distance) * distance**2 / 0.49))
  outer[np.abs(distance) > 3] = distance[np.abs(distance) > 3] < 0
  expected = np.stack([outer, 1 - outer, 0 * outer], axis=-1)
  np.testing.assert_allclose(images[0, 10, :, :3], expected, atol=2e-4)


def test_alpha_is_the_sigmoid_of_the_distance_to_the_outline():
  corners, colors, soft, weights = make_near_and_far()
  corners[0, 1] = corners[0, 0]
  _, images, _, _ = fast(corners, colors, soft, weights, sigma=0.7, gamma=3e-3)
  v = np.array(NEAR)
  for y, x in np.ndindex(SIZE):
    p = np.array([x + 0.5, y + 0.5])
    apart, sides = [], []
    for a, b in zip(v, np.roll(v, -1, axis=0), strict=True):
      t = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
      apart.append(np.linalg.norm(p - a - t * (b - a)))
      sides.append(np.linalg.det([b - a, p - a]))
    square = min(apart) ** 2 * (1 if min(sides) >= 0 else -1)
    cover = 1 / (1 + np.exp(-square / 0.49))
    np.testing.assert_allclose(images[0, y, x, 3], cover, atol=1.1e-4)


def test_hard_face_does_not_reach_beyond_a_sharp_corner():
  # Pixel centres on its axis, before and behind the corner at x = 10.2.
  corners = np.array([[[2, 8.495, 0.5], [2, 8.505, 0.5], [10.2, 8.5, 0.5]]])
  _, alpha, _ = rasterize(
    jnp.array(corners)[None],
    jnp.ones((1, 1, 3, 3)),
    size=SIZE,
    sigma=1.0,
    gamma=0.05,
    depth_range=RANGE,
    budget=AMPLE,
    soft=jnp.zeros((1, 1, 3), bool),
  )
  assert alpha[0, 8, 2:10].min() == 1
  assert alpha.sum() == 8


def test_hidden_edge_is_not_visible():
  corners, colors, soft, weights = make_near_and_far()
  corners[..., 2] = 0.9 - corners[..., 2]  # the small one is behind
  _, images, _, _ = fast(corners, colors, soft, weights, sigma=0.7, gamma=3e-3)
  corners[0, 0] = 0.5
  _, alone, _, _ = fast(corners, colors, soft, weights, sigma=0.7, gamma=3e-3)
  np.testing.assert_allclose(images, alone, atol=1e-12)


# ----- which edges -----------------------------------------------------------


def test_neighbours_are_found_across_equal_places():
  vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0.0]])
  # The second face has a vertex of its own where the first one's second is.
  faces = np.array([[0, 1, 2], [4, 3, 2]])
  np.testing.assert_array_equal(
    opposite_corners(vertices, faces), [[-1, 4, -1], [-1, -1, 0]]
  )
  three = np.array([[0, 1, 2], [2, 1, 3], [1, 2, 4 - 4]])
  assert (opposite_corners(vertices, three)[:, :2] != 0).any()


def test_edge_of_three_faces_has_no_neighbours():
  vertices = np.random.default_rng(0).normal(size=(5, 3))
  faces = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
  assert (opposite_corners(vertices, faces)[:, 0] == -1).all()


@pytest.mark.parametrize(
  ("camera", "count"), [([3, 4, 5], 6), ([0.1, 0.2, 5], 4), ([4, 0.1, 5], 6)]
)
def test_box_has_its_visible_outline_as_silhouette(camera, count):
  box = trimesh.creation.box()
  corners = np.asarray(box.vertices)[box.faces] - camera
  opposite = opposite_corners(box.vertices, box.faces)
  soft = soft_edges(jnp.array(corners)[None], jnp.array(opposite)[None])
  assert int(soft.sum()) == count
  # Whichever way the faces are wound.
  turned = box.faces.copy()
  turned[::3] = turned[::3, ::-1]
  corners = np.asarray(box.vertices)[turned] - camera
  opposite = opposite_corners(box.vertices, turned)
  soft = soft_edges(jnp.array(corners)[None], jnp.array(opposite)[None])
  assert int(soft.sum()) == count


def test_hole_gets_a_rim():
  box = trimesh.creation.box()
  corners = np.asarray(box.vertices)[box.faces] - [0.1, 0.2, 5]
  opposite = opposite_corners(box.vertices, box.faces)
  far = np.argmin(corners[..., 2].sum(axis=1))
  corners[far] = 0.0
  soft = soft_edges(jnp.array(corners)[None], jnp.array(opposite)[None])
  assert int(soft[0].sum()) == 3 + 4 + 3


# ----- independent of the mesher ---------------------------------------------


def as_triangles(vertices, faces, *, room=1024):
  corners = np.asarray(vertices, float)[faces]
  u, v = (corners[:, k] - corners[:, 0] for k in (1, 2))
  normal = np.cross(u, v)
  normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
  normals = np.repeat(normal[:, None], 3, axis=1)
  missing = room - len(faces)
  corners, normals = (
    np.pad(x, [(0, missing), (0, 0), (0, 0)]) for x in (corners, normals)
  )
  opposite = opposite_corners(vertices, faces)
  opposite = np.pad(opposite, [(0, missing), (0, 0)], constant_values=-1)
  return Triangles(corners[None], normals[None], opposite=opposite[None])


@functools.partial(jax.jit, static_argnames=("config", "budget"))
def _render(triangles, views, *, config, budget):
  return render(
    triangles,
    views,
    size=config.size,
    sigma=config.sigma,
    gamma=config.gamma,
    framing=config.framing,
    coverage=config.coverage,
    budget=budget,
  )


def make_matt_views(quaternion, **how):
  views = make_views(np.array(quaternion), **how)
  matt = dataclasses.replace(views.material, specular=jnp.array(0.0))
  return dataclasses.replace(views, material=matt)


ROOM = Budget(pairs=12288, blocks=1024, crossing=64, edges=4096)


def draw(triangles, views, *, size=64, framing="object", budget=ROOM):
  config = RenderConfig(size=size, framing=framing, coverage="mesh")
  images, usage = _render(triangles, views, config=config, budget=budget)
  assert budget.holds(usage)
  return np.asarray(images[0])


@pytest.mark.parametrize(("cuts", "view"), [(3, 0), (5, 1)])
def test_sphere_has_the_contour_of_its_polyhedron_and_no_seams(cuts, view):
  jax.config.update("jax_enable_x64", False)
  try:
    found = measure_contour(cuts, coverage="mesh", size=224, view=view)
  finally:
    jax.config.update("jax_enable_x64", True)
  assert np.abs(found.drawn - found.outline).max() < 0.2
  assert np.abs(np.mean(found.drawn - found.outline)) < 0.02
  if cuts == 5:
    assert np.abs(found.drawn - found.circle).max() < 0.25
  assert found.seam > 0.999


SHAPES = {
  "a box": trimesh.creation.box((1.2, 0.7, 0.4)),
  "a ring": trimesh.creation.annulus(0.5, 0.8, 0.4, sections=6),
  "a cone": trimesh.creation.cone(0.5, 1.0, sections=9),
}


@pytest.mark.parametrize("name", [*SHAPES, "an open shell", "two boxes"])
def test_subdivision_does_not_change_the_image(name):
  if name == "an open shell":
    shape = SHAPES["a box"]
    shape = trimesh.Trimesh(shape.vertices, shape.faces[:-3], process=False)
  elif name == "two boxes":
    small = SHAPES["a box"].copy().apply_scale(0.4)
    small.apply_translation([0.2, 0.1, 0.6])
    shape = trimesh.util.concatenate([SHAPES["a box"], small])
  else:
    shape = SHAPES[name]
  vertices, faces = np.asarray(shape.vertices), np.asarray(shape.faces)
  views = make_matt_views([[0.9, 0.23, 0.31, 0.12], [0.3, 0.8, -0.2, 0.4]])
  coarse = draw(as_triangles(vertices, faces), views)
  for _ in range(2):
    vertices, faces = trimesh.remesh.subdivide(vertices, faces)
  fine = draw(as_triangles(vertices, faces), views)
  assert (coarse[..., 3] > 0.999).mean() > 0.1
  np.testing.assert_allclose(fine, coarse, atol=0.01)
  # What differs are pixels that lie on an edge but for rounding.
  assert (np.abs(fine - coarse) > 1e-4).any(axis=-1).mean() < 1e-3


def test_floor_under_the_camera_is_the_same_when_subdivided():
  # Faces cross the near plane, and the cut is not a contour.
  vertices = np.array(
    [[-6, -0.7, -6], [-6, -0.7, 6], [6, -0.7, 6], [6, -0.7, -6.0]]
  )
  faces = np.array([[0, 1, 2], [0, 2, 3]])
  views = make_matt_views([[1.0, 0, 0, 0]])
  coarse = draw(as_triangles(vertices, faces), views, framing="sphere")
  for _ in range(3):
    vertices, faces = trimesh.remesh.subdivide(vertices, faces)
  fine = draw(as_triangles(vertices, faces), views, framing="sphere")
  assert 0.2 < (coarse[..., 3] > 0.999).mean() < 0.5
  np.testing.assert_allclose(fine, coarse, atol=1e-4)


def test_gradients_of_a_rendered_part_equal_central_differences():
  box, small = SHAPES["a box"], SHAPES["a box"].copy().apply_scale(0.4)
  small.apply_translation([0.2, 0.1, 0.6])
  shape = trimesh.util.concatenate([box, small])
  triangles = as_triangles(shape.vertices, shape.faces, room=24)
  views = make_matt_views([[0.9, 0.2, 0.3, 0.1]])
  views = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), views)
  config = RenderConfig(size=32, coverage="mesh")
  weights = np.random.default_rng(0).normal(size=(32, 32, 4))
  rng = np.random.default_rng(1)
  # Corners that share a place move together.
  way = np.sin(9 * triangles.corners + rng.uniform(size=3))
  turn = rng.normal(size=(1, 4))

  def loss(steps):
    moved = dataclasses.replace(
      triangles, corners=triangles.corners + steps[0] * way
    )
    turned = dataclasses.replace(
      views, quaternion=views.quaternion + steps[1] * turn
    )
    images, _ = _render(moved, turned, config=config, budget=ROOM)
    return jnp.sum(images[0, 0] * weights)

  call = jax.jit(loss)
  slope = jax.jit(jax.grad(loss))(jnp.zeros(2))
  for true, axis in zip(slope, np.eye(2), strict=True):
    errors = [
      float(abs((call(h * axis) - call(-h * axis)) / (2 * h) - true))
      / float(abs(true))
      for h in (4e-6, 2e-6)
    ]
    assert errors[1] < 1e-6
    assert errors[1] < 1e-9 or abs(errors[0] / errors[1] - 4) < 0.4


# ----- budgets and what must stay finite -------------------------------------


def test_missing_room_for_edges_is_reported_and_grows():
  corners, colors, soft, weights = make_scene(0)
  _, _, _, usage = fast(corners, colors, soft, weights, sigma=1.0, gamma=0.05)

  def count(budget):
    return jax.jit(
      lambda corners: measure(
        corners, size=SIZE, sigma=1.0, budget=budget, soft=soft
      )
    )(corners)

  small = dataclasses.replace(AMPLE, edges=8)
  needed = count(small)
  assert not small.holds(needed)
  assert int(needed.edges) == int(usage.edges)
  grown = small.grown_to(needed)
  assert grown.edges < AMPLE.edges
  assert grown.holds(count(grown))


DEGENERATE = {
  "nothing": [],
  "a face without area": [[[4, 5], [12, 9], [20, 13]], NEAR],
  "an edge of length zero": [[[4, 5], [4, 5], [20, 13]], NEAR],
  "a point on a pixel centre": [[[9.5, 9.5], [9.5, 9.5], [9.5, 9.5]]],
  "one face twice": [NEAR, NEAR],
  "a corner on a pixel centre": [[[4.5, 5.5], [20, 6], [11, 17]]],
  "an edge through pixel centres": [[[2.5, 2.5], [22.5, 2.5], [9.5, 15.5]]],
  "a huge face": [[[-1e4, -1e4], [3e4, -1e4], [-1e4, 3e4]]],
  "a sliver": [[[0, 5.3], [28, 5.3], [14, 5.3002]], NEAR],
  "faces outside": [
    [[-90, 5], [-60, 6], [-70, 17]],
    [[9, 50], [12, 60], [15, 70]],
  ],
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_degenerate_faces_give_finite_images_and_gradients(name, dtype):
  corners, colors, soft, weights = make_scene(4)
  corners[0] = 0.5
  for i, triangle in enumerate(DEGENERATE[name]):
    corners[0, i, :, :2] = triangle
  soft[:] = True
  scene = (dtype(corners), dtype(colors), soft, dtype(weights))
  total, images, slopes, _ = fast(*scene, sigma=dtype(1), gamma=dtype(0.05))
  leaves = jax.tree.leaves((total, images, slopes))
  assert all(np.isfinite(leaf).all() for leaf in leaves)
  assert images.min() >= 0
  assert images.max() <= 1 + 1e-5
  if name in ("nothing", "faces outside"):
    assert (images[0] == 0).all()
  if dtype == np.float64:
    _, true_images, true_slopes, _ = dense(*scene, sigma=1.0, gamma=0.05)
    leaves = jax.tree.leaves((true_images, true_slopes))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    # Where edges coincide, rounding decides between them.
    if name in ("nothing", "a huge face", "faces outside"):
      assert difference(images, true_images) < 1e-9


def test_coverage_that_is_unknown_or_lacks_neighbours_raises():
  triangles = Triangles(np.zeros((1, 4, 3, 3)), np.zeros((1, 4, 3, 3)))
  views = make_views(np.array([[1.0, 0, 0, 0]]))
  how = {"size": 8, "sigma": 0.7, "gamma": 0.1, "budget": AMPLE}
  with pytest.raises(ValueError, match="got 'vertex'"):
    render(triangles, views, coverage="vertex", **how)
  with pytest.raises(ValueError, match="with `opposite`"):
    render(triangles, views, coverage="mesh", **how)
