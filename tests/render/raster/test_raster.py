"""The fast rasterizer against its dense reference, and against itself."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.render.raster import (
  BACKGROUND_DEPTH,
  CUTOFF,
  THINNEST,
  Budget,
  Usage,
  measure,
  rasterize,
  rasterize_dense,
)
from dr3d.render.raster.backward import scatter_gradient
from dr3d.render.raster.bin import TILE, bin_faces
from dr3d.render.raster.face import tabulate
from dr3d.render.raster.forward import Pixels
from dr3d.render.raster.fragment import Softness, Style

SIZE = (20, 28)  # no multiple of the tile in either direction
AMPLE = Budget(pairs=2048, blocks=256)
RANGE = (np.float64(0.25), np.float64(0.7))


pytestmark = pytest.mark.usefixtures("x64_module")


def make_scene(seed, *, faces=40, size=SIZE, spread=4.0):
  """Two pictures of random faces, some of them partly or wholly outside."""
  rng = np.random.default_rng(seed)
  middle = rng.uniform(-3, np.array(size[::-1]) + 3, (2, faces, 1, 2))
  place = middle + spread * rng.normal(size=(2, faces, 3, 2))
  inverse = rng.uniform(0.3, 0.6, (2, faces, 3, 1))
  corners = np.concatenate([place, inverse], axis=-1)
  return corners, rng.uniform(size=(2, faces, 3, 3))


def make_weights(seed, *, size=SIZE):
  """What the gradient is taken of: a random sum over pixels and channels."""
  rng = np.random.default_rng(seed)
  return rng.normal(size=(2, *size, 4)) / np.prod(size) ** 0.5


def weigh(color, alpha, weights):
  images = jnp.concatenate([color, alpha[..., None]], axis=-1)
  return jnp.sum(images * weights), images


def fast(corners, colors, weights, *, size=SIZE, budget=AMPLE, **how):
  """Image, gradients and usage of the fast form."""
  how = {"sigma": 1.0, "gamma": 0.05, "depth_range": RANGE, **how}
  return _fast(corners, colors, weights, size=size, budget=budget, **how)


@functools.partial(jax.jit, static_argnames=("size", "budget", "camera"))
def _fast(
  corners,
  colors,
  weights,
  *,
  size,
  budget,
  sigma,
  gamma,
  depth_range,
  camera="perspective",
):
  def loss(corners, colors, depth_range):
    color, alpha, usage = rasterize(
      corners,
      colors,
      size=size,
      sigma=sigma,
      gamma=gamma,
      depth_range=depth_range,
      budget=budget,
      camera=camera,
    )
    total, images = weigh(color, alpha, weights)
    return total, (images, usage)

  slope = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
  (total, (images, usage)), slopes = slope(corners, colors, depth_range)
  return total, images, slopes, usage


def dense(corners, colors, weights, *, size=SIZE, **how):
  """Image and gradients of the reference, differentiated by JAX."""
  how = {"sigma": 1.0, "gamma": 0.05, **how}
  return _dense(corners, colors, weights, size=size, **how)


@functools.partial(jax.jit, static_argnames=("size", "camera"))
def _dense(
  corners, colors, weights, *, size, sigma, gamma, camera="perspective"
):
  def loss(corners, colors, depth_range):
    def draw(corners, colors):
      return rasterize_dense(
        corners,
        colors,
        size=size,
        sigma=sigma,
        gamma=gamma,
        depth_range=depth_range,
        cutoff=CUTOFF,
        background_depth=BACKGROUND_DEPTH,
        thinnest=THINNEST,
        camera=camera,
      )

    return weigh(*jax.vmap(draw)(corners, colors), weights)

  depth_range = jax.tree.map(jnp.asarray, RANGE)
  slope = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
  (total, images), slopes = slope(corners, colors, depth_range)
  return total, images, slopes


def difference(got, true):
  """Largest difference of two trees, relative to the largest value."""
  pairs = zip(jax.tree.leaves(got), jax.tree.leaves(true), strict=True)
  return max(
    float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-300)) for a, b in pairs
  )


def is_finite(tree):
  return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


# ----- the reference ---------------------------------------------------------


def test_reference_is_the_formula_of_one_pixel_at_a_time():
  # Soft Rasterizer, Eq. 3 to 5, in plain loops.
  corners, colors = make_scene(5)
  _, images, _ = dense(corners, colors, make_weights(0))
  far, near = RANGE
  for y, x in [(3, 4), (10, 14), (0, 27), (19, 0)]:
    p = np.array([x + 0.5, y + 0.5])
    weights, shades, clear = [np.exp(BACKGROUND_DEPTH / 0.05)], [np.zeros(3)], 1
    for corner, color in zip(corners[0], colors[0], strict=True):
      v, inverse = corner[:, :2], corner[:, 2]
      matrix = np.vstack([v.T, np.ones(3)])
      weight = np.linalg.solve(matrix, [*p, 1.0])
      apart = []
      for k in range(3):
        a, b = v[k], v[(k + 1) % 3]
        t = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        apart.append(np.linalg.norm(p - a - t * (b - a)))
      logit = min(apart) ** 2 * (1 if (weight >= 0).all() else -1)
      if logit <= CUTOFF:
        continue
      cover = 1 / (1 + np.exp(-logit))
      weight = np.maximum(weight, 0) / np.maximum(weight, 0).sum()
      depth = weight @ inverse
      weights.append(cover * np.exp((depth - far) / (near - far) / 0.05))
      shades.append((weight * inverse) @ color / depth)
      clear *= 1 - cover
    mean = np.average(shades, axis=0, weights=weights)
    np.testing.assert_allclose(images[0, y, x], [*mean, 1 - clear], rtol=1e-9)


# ----- fast against dense ----------------------------------------------------


@pytest.mark.parametrize(
  ("size", "sigma", "gamma", "camera"),
  [
    (SIZE, 1.0, 0.05, "perspective"),
    (SIZE, 0.3, 3e-3, "perspective"),
    (SIZE, 3.0, 0.3, "perspective"),
    ((5, 16), 1.5, 0.05, "perspective"),
    (SIZE, 1.0, 0.05, "orthographic"),
  ],
)
def test_image_and_gradients_equal_the_dense_form(size, sigma, gamma, camera):
  corners, colors = make_scene(1, size=size)
  if camera == "orthographic":
    corners = corners - [0, 0, 0.4]  # depths of either sign
  weights = make_weights(1, size=size)
  how = {"size": size, "sigma": sigma, "gamma": gamma, "camera": camera}
  total, images, slopes, usage = fast(corners, colors, weights, **how)
  expected, true_images, true_slopes = dense(corners, colors, weights, **how)
  assert AMPLE.holds(usage)
  assert 0.1 < images[..., 3].mean() < 0.99
  np.testing.assert_allclose(total, expected, rtol=1e-11)
  assert difference(images, true_images) < 1e-11
  assert difference(slopes, true_slopes) < 1e-11


def test_float32_agrees_with_float64():
  corners, colors = make_scene(3)
  corners, colors = np.float32(corners), np.float32(colors)
  weights = np.float32(make_weights(2))
  single = tuple(np.float32(x) for x in RANGE)
  _, images, slopes, _ = fast(corners, colors, weights, depth_range=single)
  assert images.dtype == np.float32
  wide = [np.float64(x) for x in (corners, colors, weights)]
  _, true_images, true_slopes, _ = fast(*wide)
  assert difference(images, true_images) < 1e-5
  for slope, true_slope in zip(slopes, true_slopes, strict=True):
    assert difference(slope, true_slope) < 1e-5


# ----- finite differences ----------------------------------------------------


def test_central_differences_converge_to_the_gradient_with_the_step_squared():
  # σ is so large that every face contributes everywhere: the cut-off, at which
  # the image steps by 1e-4, does not bite. What remains are kinks, where the
  # nearest edge changes; steps of 1e-4 pixels cross none in this scene.
  corners, colors = make_scene(2)
  corners[:, 6:] = 0.5
  weights = make_weights(3)
  rng = np.random.default_rng(0)
  way = [rng.normal(size=x.shape) for x in (corners, colors)]
  way[0][..., 2] *= 0.01
  way[0][:, 6:] = 0
  call = functools.partial(fast, weights=weights, sigma=12.0, gamma=0.2)

  def along(h):
    return call(corners + h * way[0], colors + h * way[1])[0]

  _, _, slopes, _ = call(corners, colors)
  true = sum(np.vdot(s, w) for s, w in zip(slopes[:2], way, strict=True))
  errors = [
    abs((along(h) - along(-h)) / (2 * h) - true) / abs(true)
    for h in (8e-5, 4e-5, 2e-5)
  ]
  assert errors[2] < 1e-7
  np.testing.assert_allclose(np.divide(errors[:2], errors[1:]), 4, rtol=0.1)


# ----- invariance ------------------------------------------------------------


@pytest.fixture(scope="module")
def scene():
  corners, colors = make_scene(7)
  weights = make_weights(4)
  return corners, colors, weights, fast(corners, colors, weights)


def test_order_of_the_faces_does_not_matter(scene):
  corners, colors, weights, (_, images, slopes, _) = scene
  order = np.random.default_rng(0).permutation(corners.shape[1])
  _, other, other_slopes, _ = fast(corners[:, order], colors[:, order], weights)
  assert difference(other, images) < 1e-12
  back = np.argsort(order)
  for got, true in zip(other_slopes[:2], slopes[:2], strict=True):
    assert difference(got[:, back], true) < 1e-12


def test_order_of_the_corners_does_not_matter(scene):
  corners, colors, weights, (_, images, slopes, _) = scene
  order = [1, 0, 2]  # the other way round
  _, other, other_slopes, _ = fast(
    corners[:, :, order], colors[:, :, order], weights
  )
  assert difference(other, images) < 1e-12
  for got, true in zip(other_slopes[:2], slopes[:2], strict=True):
    assert difference(got[:, :, order], true) < 1e-12


def test_order_of_the_images_does_not_matter(scene):
  corners, colors, weights, (_, images, slopes, _) = scene
  _, other, other_slopes, _ = fast(corners[::-1], colors[::-1], weights[::-1])
  assert difference(other[::-1], images) < 1e-12
  for got, true in zip(other_slopes[:2], slopes[:2], strict=True):
    assert difference(got[::-1], true) < 1e-12


@pytest.mark.parametrize(("tile", "slots", "chunk"), [(4, 5, 32), (16, 32, 8)])
def test_size_of_tiles_and_blocks_does_not_matter(
  scene, monkeypatch, tile, slots, chunk
):
  corners, colors, weights, (total, images, slopes, _) = scene
  for name_of_module in ("", ".bin", ".fragment", ".forward", ".backward"):
    module = importlib.import_module("dr3d.render.raster" + name_of_module)
    for name, value in (("TILE", tile), ("SLOTS", slots), ("CHUNK", chunk)):
      if hasattr(module, name):
        monkeypatch.setattr(module, name, value)
  budget = Budget(pairs=4096, blocks=1024)
  again = jax.jit(  # compiled again, with the other sizes
    lambda *scene: _fast.__wrapped__(
      *scene, size=SIZE, budget=budget, sigma=1.0, gamma=0.05, depth_range=RANGE
    )
  )(corners, colors, weights)
  assert budget.holds(again[3])
  assert int(again[3].blocks) != int(scene[3][3].blocks)
  np.testing.assert_allclose(again[0], total, rtol=1e-11)
  assert difference(again[1], images) < 1e-11
  assert difference(again[2], slopes) < 1e-11


def test_faces_without_area_change_nothing_and_have_no_gradient(scene):
  corners, colors, weights, _ = scene
  outside, point = corners.copy(), corners.copy()
  outside[:, ::3, :, :2] += 1000
  point[:, ::3] = 0.4
  _, images, slopes, _ = fast(outside, colors, weights)
  _, other, other_slopes, _ = fast(point, colors, weights)
  assert difference(other, images) < 1e-12
  assert difference(other_slopes, slopes) < 1e-12
  assert (other_slopes[0][:, ::3] == 0).all()
  assert (other_slopes[0][:, 1::3] != 0).any()


# ----- budgets ---------------------------------------------------------------


def test_small_budget_is_reported_and_grown_one_is_complete(scene):
  corners, colors, weights, (_, images, slopes, usage) = scene
  budget = Budget(pairs=8, blocks=64)
  calls = 0
  while True:
    _, other, other_slopes, needed = fast(
      corners, colors, weights, budget=budget
    )
    calls += 1
    if budget.holds(needed):
      break
    assert int(needed.pairs) == int(usage.pairs)  # exact in any case
    budget = budget.grown_to(needed)
  assert calls == 2
  assert budget.pairs < AMPLE.pairs
  assert difference(other, images) < 1e-12
  assert difference(other_slopes, slopes) < 1e-12


def count(corners, budget):
  usage = jax.jit(lambda c: measure(c, size=SIZE, sigma=1.0, budget=budget))(
    corners
  )
  return int(usage.pairs), int(usage.blocks), budget.holds(usage)


def test_measuring_counts_what_drawing_needs(scene):
  corners, *_, (_, _, _, usage) = scene
  pairs, blocks, holds = count(corners, AMPLE)
  assert (pairs, blocks, holds) == (int(usage.pairs), int(usage.blocks), True)


def test_missing_blocks_are_reported_with_their_exact_number():
  corners, _ = make_scene(8, faces=200, spread=9.0)
  needed = count(corners, Budget(8192, 1024))
  assert needed[2]
  assert count(corners, Budget(8192, 8)) == (*needed[:2], False)


def test_grown_budget_holds_the_count_and_little_more():
  for needed in [1, 8, 9, 100, 12345]:
    usage = Usage(pairs=jnp.array(needed), blocks=jnp.array(needed))
    budget = Budget(1, 1).grown_to(usage)
    assert budget.holds(usage)
    assert budget.pairs <= max(8, 1.5 * needed)
  assert Budget(100, 200).grown_to(Usage(jnp.array(1), jnp.array(1))) == Budget(
    100, 200
  )


# ----- what must stay finite -------------------------------------------------

TRIANGLE = [[4, 5], [20, 6], [11, 17]]
DEGENERATE = {
  "nothing": [],
  "one face": [TRIANGLE],
  "a face without area": [[[4, 5], [12, 9], [20, 13]], TRIANGLE],
  "an edge of length zero": [[[4, 5], [4, 5], [20, 13]], TRIANGLE],
  "a point": [[[9, 9], [9, 9], [9, 9]], TRIANGLE],
  "a point on a pixel centre": [[[9.5, 9.5], [9.5, 9.5], [9.5, 9.5]]],
  "one face twice": [TRIANGLE, TRIANGLE],
  "a corner on a pixel centre": [[[4.5, 5.5], [20, 6], [11, 17]]],
  "an edge through pixel centres": [[[2.5, 2.5], [22.5, 2.5], [9.5, 15.5]]],
  "the nearest edge in doubt": [[[2.5, 2.5], [10.5, 2.5], [2.5, 10.5]]],
  "a huge face": [[[-1e4, -1e4], [3e4, -1e4], [-1e4, 3e4]]],
  "a sliver": [[[0, 5.3], [28, 5.3], [14, 5.3002]], TRIANGLE],
  "a far sliver": [[[-1e6, 5.3], [1e6, 5.9], [0, 5.7]], TRIANGLE],
  "faces outside": [
    [[-90, 5], [-60, 6], [-70, 17]],
    [[90, 5], [60, 6], [70, 17]],
    [[9, -50], [12, -60], [15, -70]],
    [[9, 50], [12, 60], [15, 70]],
  ],
}


def lay_out(triangles):
  """Faces at one depth, padded, in a picture beside an ordinary one."""
  corners, colors = make_scene(9)
  corners[0] = 0.5
  for i, triangle in enumerate(triangles):
    corners[0, i, :, :2] = triangle
  return corners, colors, make_weights(6)


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_degenerate_faces_give_finite_images_and_gradients(name, dtype):
  corners, colors, weights = (dtype(x) for x in lay_out(DEGENERATE[name]))
  depth_range = tuple(dtype(x) for x in RANGE)
  total, images, slopes, _ = fast(
    corners, colors, weights, depth_range=depth_range
  )
  assert is_finite((total, images, slopes))
  assert images.min() >= 0
  assert images.max() <= 1
  if name in ("nothing", "faces outside"):
    assert (images[0] == 0).all()
    assert all((slope[0] == 0).all() for slope in slopes[:2])
  else:
    assert images[0].max() > 0 or name == "a point on a pixel centre"
  if dtype == np.float64:
    _, true_images, _ = dense(corners, colors, weights)
    assert difference(images, true_images) < 1e-9


def test_huge_face_covers_every_pixel_with_its_colour():
  corners, colors, weights = lay_out(DEGENERATE["a huge face"])
  colors[:, 0] = [0.2, 0.4, 0.6]
  _, images, _, _ = fast(corners, colors, weights)
  seen = np.broadcast_to([0.2, 0.4, 0.6, 1.0], images[0].shape)
  # The background has the share exp(-z/γ).
  np.testing.assert_allclose(images[0], seen, atol=1e-3)


def test_face_with_non_positive_inverse_depth_is_not_drawn():
  corners, colors, weights = lay_out([TRIANGLE, TRIANGLE])
  corners[0, 1, 2, 2] = 0.0
  _, images, slopes, _ = fast(corners, colors, weights)
  one_face = fast(*lay_out([TRIANGLE]))
  np.testing.assert_array_equal(images, one_face[1])
  assert is_finite(slopes)
  assert (slopes[0][0, 1] == 0).all()
  assert difference(images, dense(corners, colors, weights)[1]) < 1e-12
  assert is_finite(dense(corners, colors, weights)[2])


def test_near_hides_far_and_many_layers_stay_opaque():
  corners, colors, weights = lay_out([TRIANGLE] * 3)
  corners[0, :3, :, 2] = np.array([0.4, 0.6, 0.5])[:, None]
  colors[0, :3] = np.eye(3)[:, None]
  _, images, _, _ = fast(corners, colors, weights, gamma=3e-3)
  np.testing.assert_allclose(images[0, 9, 11], [0, 1, 0, 1], atol=1e-4)


# ----- messages --------------------------------------------------------------


def test_shapes_that_do_not_fit_raise():
  how = {"size": SIZE, "sigma": 1.0, "gamma": 0.1, "budget": AMPLE}
  with pytest.raises(ValueError, match=r"\[I, F, 3, 3\], got \(2, 3, 3\)"):
    rasterize(
      jnp.ones((2, 3, 3)), jnp.ones((2, 3, 3)), depth_range=RANGE, **how
    )
  with pytest.raises(ValueError, match=r"beside corners \(1, 2, 3, 3\)"):
    rasterize(
      jnp.ones((1, 2, 3, 3)), jnp.ones((1, 4, 3, 3)), depth_range=RANGE, **how
    )


def test_face_that_contributes_only_backward_does_not_overflow():
  # At the cut-off, rounding may differ between the passes.
  corners = np.array([[[[4.0, 4, 0.9], [12, 4, 0.9], [4, 12, 0.9]]]])
  colors = np.ones((1, 1, 3, 3))
  table = tabulate(
    *(jnp.float32(np.transpose(x, (3, 2, 0, 1))) for x in (corners, colors)),
    camera="perspective",
  )
  softness = Softness(
    sigma=jnp.float32(1),
    gamma=jnp.float32(1e-3),
    far=jnp.zeros(1, jnp.float32),
    near=jnp.ones(1, jnp.float32),
  )
  bins = bin_faces(
    table, size=(16, 16), reach=jnp.float32(3), budget=Budget(64, 64)
  )
  # As if the forward pass had seen nothing: only the background counts.
  shape = (5, TILE**2)
  pixels = Pixels(
    top=jnp.full(shape, BACKGROUND_DEPTH, jnp.float32),
    total=jnp.ones(shape, jnp.float32),
    color=jnp.zeros((3, *shape), jnp.float32),
    clear=jnp.ones(shape, jnp.float32),
  )
  gradients = scatter_gradient(
    table,
    bins,
    softness,
    pixels,
    jnp.ones((3, *shape), jnp.float32),
    jnp.ones(shape, jnp.float32),
    grid=(2, 2),
    style=Style(is_hard=False, camera="perspective"),
  )
  for gradient in gradients:
    assert np.isfinite(gradient).all()
  for gradient in gradients[:2]:  # of corners and colours
    assert np.abs(gradient).max() > 0
