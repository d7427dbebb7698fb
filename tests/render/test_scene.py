"""Scenes of several objects, point clouds, and images of several samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

import dr3d
from dr3d.geometry.sphere import enclosing_sphere
from dr3d.render import raster

SIZE = 32
VIEWS = dr3d.ring_views(2)


def stack(body, **options):
  mesh = dr3d.make_mesh(body.vertices, body.faces)
  return dr3d.stack_meshes([mesh], face_count=mesh.face_count, **options)


@pytest.fixture(scope="module")
def box():
  return stack(trimesh.creation.box((3, 2, 1)))


@pytest.fixture(scope="module")
def ball():
  return stack(trimesh.creation.icosphere(1))


def test_transform_is_scale_then_rotation_then_translation(box):
  turn = np.sqrt([0.5, 0, 0, 0.5])  # by 90 degrees about z
  found = dr3d.transform_triangles(
    box, rotation=turn, scale=2.0, translation=(0, 0, 5)
  )
  x, y, z = np.moveaxis(np.asarray(box.corners), -1, 0)
  wanted = np.stack([-2 * y, 2 * x, 2 * z + 5], axis=-1)
  np.testing.assert_allclose(found.corners, wanted, atol=1e-5)
  x, y, z = np.moveaxis(np.asarray(box.normals), -1, 0)
  wanted = np.stack([-y, x, z], axis=-1)
  np.testing.assert_allclose(found.normals, wanted, atol=1e-6)


def test_scene_looks_like_the_mesh_of_both_bodies():
  bodies = [
    trimesh.creation.box((3, 2, 1)),
    trimesh.creation.icosphere(1).apply_translation((2, 2, 0)),
  ]
  whole = stack(trimesh.util.concatenate(bodies))
  center, radius = enclosing_sphere(
    np.concatenate([body.vertices for body in bodies])
  )
  parts = []
  for body in bodies:
    own_center, own_radius = enclosing_sphere(body.vertices)
    parts.append(
      dr3d.transform_triangles(
        stack(body),
        scale=own_radius / radius,
        translation=(own_center - center) / radius,
      )
    )
  images = dr3d.render(dr3d.join_triangles(parts), VIEWS, size=SIZE)
  wanted = dr3d.render(whole, VIEWS, size=SIZE)
  np.testing.assert_allclose(images, wanted, atol=2e-4)


def test_object_in_front_hides_the_one_behind_and_keeps_its_colour(ball):
  views = dr3d.look_at(
    np.array([[0, 0, 3.0]]), np.zeros((1, 3)), np.array([[0, 1.0, 0]])
  )
  red = dr3d.Triangles(
    ball.corners, ball.normals, np.ones_like(ball.corners) * [1, 0, 0]
  )
  front = dr3d.transform_triangles(red, scale=0.3, translation=(0, 0, 0.6))
  back = dr3d.transform_triangles(ball, scale=0.6)
  image, only_front, only_back = (
    np.asarray(dr3d.render(dr3d.join_triangles(objects), views, size=SIZE))[
      0, 0
    ]
    for objects in ([back, front], [front], [back])
  )
  middle, side = (SIZE // 2, SIZE // 2), (SIZE // 2, SIZE // 2 + 8)
  assert image[middle][3] > 0.99
  np.testing.assert_allclose(image[middle], only_front[middle], atol=5e-3)
  np.testing.assert_allclose(image[side], only_back[side], atol=1e-3)
  assert np.abs(only_front[middle] - only_back[middle]).max() > 0.1


def test_neighbours_are_numbered_within_the_scene():
  body = trimesh.creation.box((3, 2, 1))
  alone = stack(body, coverage="mesh")
  scene = dr3d.join_triangles(
    [
      dr3d.transform_triangles(alone, scale=0.4, translation=(-0.5, 0, 0)),
      dr3d.transform_triangles(alone, scale=0.4, translation=(0.5, 0, 0)),
    ]
  )
  faces = body.faces
  both = raster.opposite_corners(
    np.concatenate([body.vertices - 9, body.vertices + 9]),
    np.concatenate([faces, faces + len(body.vertices)]),
  )
  found = np.asarray(scene.opposite[0])
  np.testing.assert_array_equal(found < 0, both < 0)
  # Corners of the two are in the same order, so numbers agree too.
  np.testing.assert_array_equal(found, both)


def test_objects_that_do_not_fit_are_refused(box):
  with pytest.raises(ValueError, match="at least one object"):
    dr3d.join_triangles([])
  two = jax.tree.map(lambda x: jnp.tile(x, (2, 1, 1, 1)), box)
  three = jax.tree.map(lambda x: jnp.tile(x, (3, 1, 1, 1)), box)
  with pytest.raises(ValueError, match=r"as many scenes, got \[2, 3\]"):
    dr3d.join_triangles([two, three])
  assert len(dr3d.join_triangles([box, three]).corners) == 3
  whole = stack(trimesh.creation.box((3, 2, 1)), coverage="mesh")
  with pytest.raises(ValueError, match="neighbours"):
    dr3d.join_triangles([box, whole])


def test_scene_in_the_sphere_touches_it_at_most(box):
  far = dr3d.transform_triangles(box, scale=7.0, translation=(20, 0, 0))
  corners = np.asarray(dr3d.fit_in_sphere(far).corners)
  lengths = np.linalg.norm(corners, axis=-1)
  assert lengths.max() <= 1 + 1e-5
  assert lengths.max() > 0.9


def test_points_are_seen_where_they_are_and_in_their_colour():
  points = np.array([[0, 0, 0], [0.5, 0, 0.0]])
  colors = np.array([[1, 0, 0], [0, 0, 1.0]])
  views = dr3d.look_at(
    np.array([[0, 0, 3.0]]), np.zeros((1, 3)), np.array([[0, 1.0, 0]])
  )
  cloud = dr3d.point_triangles(points, radius=0.08, colors=colors)
  image = np.asarray(dr3d.render(cloud, views, size=64))[0, 0]
  pixels, _ = dr3d.project_points(points, views, size=64)
  for (x, y), color in zip(np.asarray(pixels[0]), colors, strict=True):
    found = image[int(y), int(x)]
    assert found[3] > 0.9
    assert np.argmax(found[:3]) == np.argmax(color)
  assert image[..., 3].mean() < 0.05


def test_gradient_moves_a_point_to_its_target():
  views = dr3d.look_at(
    np.array([[0, 0, 3.0]]), np.zeros((1, 3)), np.array([[0, 1.0, 0]])
  )

  def draw(point, sigma=0.7):
    cloud = dr3d.point_triangles(point[None], radius=0.2)
    return dr3d.render(cloud, views, size=SIZE, sigma=sigma)[0, 0, ..., 3]

  target = draw(jnp.array([0.1, 0.0, 0.0]))
  gradient = jax.grad(lambda p: jnp.sum((draw(p) - target) ** 2))(jnp.zeros(3))
  assert gradient[0] < -1
  assert abs(gradient[1]) < 0.2 * abs(gradient[0])


def test_points_of_another_shape_are_refused():
  with pytest.raises(ValueError, match="points must be"):
    dr3d.point_triangles(np.zeros((3, 2)), radius=0.1)
  with pytest.raises(ValueError, match="colors must be"):
    dr3d.point_triangles(np.zeros((3, 3)), radius=0.1, colors=np.ones((2, 3)))


def test_samples_bring_the_image_nearer_to_its_limit(box):
  def draw(samples):
    return np.asarray(
      dr3d.render(box, VIEWS, size=16, sigma=0.2, samples=samples)
    )

  limit = draw(8)
  once, four = (np.abs(draw(n) - limit).mean() for n in (1, 4))
  assert four < 0.5 * once


def test_samples_average_layers_over_the_object_only(box):
  images = np.asarray(
    dr3d.render(box, VIEWS, size=16, samples=3, layers=("depth",))
  )
  alpha, depth = images[..., 3], images[..., 4]
  assert images.shape == (1, 2, 16, 16, 5)
  inside = alpha > 0.05
  # The distance of the camera is 3, and the object has the radius 1.
  assert depth[inside].min() > 2
  assert depth[inside].max() < 4
  with pytest.raises(ValueError, match="samples must be at least 1"):
    dr3d.render(box, VIEWS, size=16, samples=0)
