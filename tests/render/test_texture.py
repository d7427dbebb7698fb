"""Pictures on triangles: lookup, mipmaps, perspective, gradients, files."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh
from jax.test_util import check_grads
from PIL import Image

import dr3d
from dr3d.camera.projection import place_corners
from dr3d.render import texture as lib

# A square that faces the camera on the z axis.
SQUARE = 0.6 * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
FRONT = dr3d.look_at(
  np.array([[0, 0, 3.0]]), np.zeros((1, 3)), np.array([[0, 1.0, 0]])
)


def make_plain_views():
  """A camera on the z axis, and light that makes a colour the albedo."""
  views = dr3d.make_views(np.array([[1.0, 0, 0, 0]]), colored=False)
  light = dataclasses.replace(
    views.light,
    ambient=jnp.ones_like(views.light.ambient),
    intensity=jnp.zeros_like(views.light.intensity),
  )
  material = dataclasses.replace(
    views.material, diffuse=jnp.ones_like(views.material.diffuse)
  )
  return dataclasses.replace(views, light=light, material=material)


WHITE = make_plain_views()


def draw(triangles, **options):
  """Draws one model in one view; returns colours without alpha, and alpha.

  Alpha is below 1 also on an edge that two faces share.
  """
  image = np.asarray(dr3d.render(triangles, WHITE, **options))[0, 0]
  return image[..., :3] / np.maximum(image[..., 3:], 0.1), image[..., 3]


def make_square(image, *, vertices=SQUARE, uv=UV):
  corners = np.float32(vertices[FACES])[None]
  normals = np.broadcast_to(np.float32([0, 0, 1]), corners.shape)
  texture = dr3d.Texture(np.float32(uv[FACES])[None], image)
  return dr3d.Triangles(corners, normals, texture=texture)


def look_up(image, uv, level=0.0):
  uv = jnp.asarray(uv, jnp.float32)[None]
  number = jnp.zeros(uv.shape[:-1], int)
  maps = lib.make_mipmaps(jnp.asarray(image, jnp.float32)[None, None])
  return np.asarray(
    lib.sample(maps, uv, number, jnp.full(number.shape, level))
  )[0]


def test_lookup_is_bilinear_repeats_and_has_v_upwards():
  rng = np.random.default_rng(0)
  image = rng.uniform(size=(4, 8, 3))
  # Texel centres: row 0 is at the top.
  found = look_up(image, [[0.5 / 8, 1 - 0.5 / 4], [7.5 / 8, 0.5 / 4]])
  np.testing.assert_allclose(found, [image[0, 0], image[3, 7]], atol=1e-6)
  found = look_up(image, [[1.0 / 8, 1 - 1.0 / 4], [0.0, 1 - 0.5 / 4]])
  between = image[:2, :2].mean((0, 1))
  around = (image[0, 0] + image[0, 7]) / 2
  np.testing.assert_allclose(found, [between, around], atol=1e-6)
  again = look_up(image, [[1 + 1.0 / 8, -1.0 / 4]])
  np.testing.assert_allclose(again, [between], atol=1e-5)


def test_level_is_a_mean_and_levels_are_mixed():
  image = np.random.default_rng(1).uniform(size=(4, 4, 3))
  half = image.reshape(2, 2, 2, 2, 3).mean((1, 3))
  where = [[0.25, 0.75]]  # the centre of the first texel of level 1
  np.testing.assert_allclose(
    look_up(image, where, 1.0), [half[0, 0]], atol=1e-6
  )
  mixed = (look_up(image, where, 0.0) + look_up(image, where, 1.0)) / 2
  np.testing.assert_allclose(look_up(image, where, 0.5), mixed, atol=1e-6)
  mean = image.mean((0, 1))
  np.testing.assert_allclose(look_up(image, where, 99.0), [mean], atol=1e-6)


def test_gradient_of_a_lookup_is_that_of_differences():
  image = jnp.asarray(np.random.default_rng(2).uniform(size=(1, 1, 8, 8, 3)))

  def total(image, uv):
    maps = lib.make_mipmaps(image)
    number = jnp.zeros(uv.shape[:-1], int)
    return lib.sample(maps, uv, number, jnp.full(number.shape, 0.3)).sum()

  uv = jnp.array([[[0.33, 0.41], [0.77, 0.12]]])
  check_grads(total, (image, uv), 1, ("rev",), eps=1e-3, atol=0.05)


def test_picture_of_odd_size_or_shape_is_refused():
  with pytest.raises(ValueError, match="powers of 2"):
    lib.make_mipmaps(np.ones((1, 1, 6, 8, 3)))
  with pytest.raises(ValueError, match=r"must be \[B, K, H, W, 3\]"):
    lib.make_mipmaps(np.ones((8, 8, 3)))


def test_picture_appears_upright_on_a_square():
  colors = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1.0]]])
  image = np.repeat(np.repeat(colors, 16, 0), 16, 1)[None, None]
  drawn, _ = draw(make_square(image), size=64)
  for row, column in np.ndindex(2, 2):
    pixel = drawn[25 + 14 * row, 25 + 14 * column]
    np.testing.assert_allclose(pixel, colors[row, column], atol=0.01)


def test_picture_on_a_tilted_square_follows_perspective():
  size = 64
  ramp = np.tile(np.linspace(0, 1, 256)[None, :, None], (256, 1, 3))
  turn = np.radians(50)
  tilted = SQUARE @ np.array(
    [
      [np.cos(turn), 0, -np.sin(turn)],
      [0, 1, 0],
      [np.sin(turn), 0, np.cos(turn)],
    ]
  )
  square = make_square(np.float32(ramp)[None, None], vertices=tilted)
  drawn, _ = draw(square, size=size)
  found = drawn[32, :, 0]
  # Points along the middle of the square, by the camera's own projection.
  u = np.linspace(0.1, 0.9, 9)
  points = tilted[0] + u[:, None] * (tilted[1] - tilted[0])
  points += (tilted[3] - tilted[0]) / 2
  pixels, _ = dr3d.project_points(points, WHITE, size=size)
  x = np.asarray(pixels[0, :, 0]) - 0.5
  read = np.interp(x, np.arange(size), found)
  np.testing.assert_allclose(read, u, atol=0.02)


def test_far_picture_is_its_mean_not_single_texels():
  noise = np.random.default_rng(3).integers(0, 2, (256, 256, 1)) * np.ones(3)
  square = make_square(np.float32(noise)[None, None])
  small = dr3d.transform_triangles(square, scale=0.3)
  drawn, alpha = draw(small, size=96)
  inside = alpha > 0.99
  assert inside.sum() > 50
  found = drawn[inside][:, 0]
  assert abs(found.mean() - 0.5) < 0.02
  assert found.std() < 0.05  # single texels are 0 or 1: .5


def test_texture_is_recovered_from_an_image():
  truth = np.random.default_rng(4).uniform(size=(1, 1, 8, 8, 3))
  target = dr3d.render(make_square(np.float32(truth)), FRONT, size=32)
  square = make_square(np.full((1, 1, 8, 8, 3), 0.5, np.float32))
  config = dr3d.RenderConfig(size=32, framing="sphere")
  budget = dr3d.fit_budget(square, FRONT, config=config)

  @jax.jit
  def step(image):
    def loss(image):
      drawn, _ = dr3d.render(make_square(image), FRONT, size=32, budget=budget)
      return jnp.sum((drawn - target) ** 2)

    return image - 0.3 * jax.grad(loss)(image)

  image = jnp.asarray(square.texture.image)
  for _ in range(40):
    image = step(image)
  before = np.abs(0.5 - truth).mean()
  assert np.abs(np.asarray(image) - truth).mean() < 0.5 * before


def test_gradient_moves_a_square_by_its_picture():
  ramp = np.tile(np.linspace(0, 1, 64)[None, :, None], (64, 1, 3))
  square = make_square(np.float32(ramp)[None, None])

  def middle(shift):
    moved = dr3d.transform_triangles(
      square, translation=jnp.array([1.0, 0, 0]) * shift
    )
    return dr3d.render(moved, WHITE, size=32)[0, 0, 12:20, 12:20, 0].mean()

  slope = jax.grad(middle)(0.0)
  difference = (middle(0.05) - middle(-0.05)) / 0.1
  np.testing.assert_allclose(slope, difference, rtol=0.1)
  assert slope < -0.05  # what comes from the left is darker


@pytest.fixture
def picture():
  colors = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255] * 3]])
  pixels = np.repeat(np.repeat(colors, 8, 0), 8, 1).astype(np.uint8)
  return Image.fromarray(pixels)


@pytest.mark.parametrize("suffix", ["obj", "glb"])
def test_file_with_a_picture_is_drawn_as_it_is(tmp_path, picture, suffix):
  body = trimesh.Trimesh(
    SQUARE,
    FACES,
    process=False,
    visual=trimesh.visual.TextureVisuals(uv=UV, image=picture),
  )
  path = tmp_path / f"a.{suffix}"
  body.export(path)
  triangles = dr3d.load_textured(path, texture_size=32)
  drawn, _ = draw(triangles, size=64)
  tops = drawn[20, 20, :3], drawn[20, 44, :3]
  assert [int(np.argmax(pixel)) for pixel in tops] == [0, 1]
  assert min(pixel.max() for pixel in tops) > 0.2
  assert np.argmax(drawn[44, 20, :3]) == 2


def test_file_with_vertex_colours_has_them_at_its_corners(tmp_path):
  body = trimesh.creation.box((1, 2, 3))
  colors = np.random.default_rng(5).integers(0, 256, (8, 4), np.uint8)
  body.visual.vertex_colors = colors
  body.export(tmp_path / "a.ply")
  triangles = dr3d.load_textured(tmp_path / "a.ply")
  wanted = colors[body.faces][..., :3] / 255
  np.testing.assert_allclose(triangles.albedo[0], wanted, atol=1e-6)
  assert triangles.texture is None
  lengths = np.linalg.norm(triangles.corners, axis=-1)
  np.testing.assert_allclose(lengths.max(), 1, atol=1e-5)


def test_file_without_faces_or_with_rubbish_is_named(tmp_path):
  for name, data in (("a.obj", b"v 0 0 0\n"), ("a.glb", b"rubbish")):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(dr3d.MeshError, match=rf"a\.{name[2:]} "):
      dr3d.load_textured(tmp_path / name)
  with pytest.raises(dr3d.MeshError, match=r"no\.obj cannot be read"):
    dr3d.load_textured(tmp_path / "no.obj")
  with pytest.raises(ValueError, match="power of 2"):
    dr3d.load_textured(tmp_path / "a.obj", texture_size=100)


def test_scene_keeps_each_picture_on_its_object():
  red, blue = (
    make_square(np.broadcast_to(np.float32(color), (1, 1, 4, 4, 3)))
    for color in ([1, 0, 0], [0, 0, 1])
  )
  plain = dr3d.Triangles(red.corners, red.normals)
  scene = dr3d.join_triangles(
    [
      dr3d.transform_triangles(each, scale=0.4, translation=(x, 0, 0))
      for each, x in ((red, -0.6), (plain, 0.0), (blue, 0.6))
    ]
  )
  drawn, _ = draw(scene, size=64)
  left, middle, right = (drawn[30, x] for x in (12, 31, 49))
  np.testing.assert_allclose(left, [1, 0, 0], atol=0.02)
  np.testing.assert_allclose(middle, [1, 1, 1], atol=0.02)
  np.testing.assert_allclose(right, [0, 0, 1], atol=0.02)
  other = make_square(np.ones((1, 1, 8, 8, 3), np.float32))
  with pytest.raises(ValueError, match="the same size"):
    dr3d.join_triangles([red, other])


def test_triangle_numbers_agree_with_a_search_over_all_faces():
  body = trimesh.creation.icosphere(1)
  corners = np.float32(body.vertices[body.faces])[None]
  rng = np.random.default_rng(6)
  image = np.float32(rng.uniform(size=(1, len(body.faces), 1, 1, 3)))
  number = np.arange(len(body.faces))[None]
  texture = dr3d.Texture(
    np.zeros((*corners.shape[:3], 2), np.float32), image, number
  )
  triangles = dr3d.Triangles(corners, corners, texture=texture)
  drawn = np.asarray(dr3d.render(triangles, WHITE, size=32, shading="flat"))[
    0, 0
  ]
  p = np.stack([np.asarray(x) for x in place_corners(corners, WHITE)], -1)
  p = p[:, 0, 0]  # [3, F, xyz] in the axes of the view
  rows = []
  for i, j in ((10, 10), (16, 20), (22, 13), (13, 22)):
    x, y = (j + 0.5 - 16) / 16, -(i + 0.5 - 16) / 16
    scale = float(np.tan(np.arcsin(1 / 3)))
    ray = np.array([x * scale, y * scale, -1.0])
    start = np.array([0, 0, 3.0])
    best = (np.inf, -1)
    for f in range(len(body.faces)):
      a, b, c = p[:, f]
      matrix = np.stack([b - a, c - a, -ray], axis=1)
      if abs(np.linalg.det(matrix)) < 1e-9:
        continue
      u, v, t = np.linalg.solve(matrix, start - a)
      if u > 0 and v > 0 and u + v < 1 and t < best[0]:
        best = (t, f)
    rows.append((drawn[i, j, :3], image[0, best[1], 0, 0]))
  for found, color in rows:
    np.testing.assert_allclose(found, color, atol=0.02)
