import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from dr3d.nn.implicit import ImplicitDecoder, encode_points, read_grid


@pytest.mark.parametrize("octaves", [0, 2])
def test_decoder_equals_dense_layers_on_the_concatenated_input(octaves):
  decoder = ImplicitDecoder((8, 6, 5), octaves, 0.5)
  keys = jax.random.split(jax.random.key(0), 3)
  codes = jax.random.uniform(keys[0], (2, 4))
  points = jax.random.uniform(keys[1], (2, 7, 3), minval=-1)
  variables = decoder.init(keys[2], codes, points)
  layers = variables["params"]
  features = encode_points(points, octaves=octaves, scale=0.5)
  spread = jnp.broadcast_to(codes[:, None], (2, 7, 4))
  entry = jnp.concatenate([features, spread], -1)
  x = entry
  for i in range(3):
    parts = [layers[f"point_{i}"]["kernel"], layers[f"code_{i}"]["kernel"]]
    if i:
      parts.insert(0, layers[f"hidden_{i}"]["kernel"])
      x = jnp.concatenate([x, entry], -1)
    y = x @ jnp.concatenate(parts) + layers[f"code_{i}"]["bias"]
    x = jnp.where(y > 0, y, 0.02 * y)
  expected = x @ layers["last"]["kernel"] + layers["last"]["bias"]
  found = decoder.apply(variables, codes, points)
  np.testing.assert_allclose(found, expected[..., 0], atol=1e-5)


def test_features_are_coordinates_sines_and_cosines():
  points = np.float32([[0.25, -0.5, 1.0]])
  features = encode_points(points, octaves=2, scale=0.5)[0]
  turns = np.pi * points[0]
  expected = [0.5 * points[0]]
  for k in (1, 2):
    expected += [np.sin(k * turns), np.cos(k * turns)]
  np.testing.assert_allclose(features, np.concatenate(expected), atol=1e-6)
  assert encode_points(points, octaves=0, scale=1.0).shape == (1, 3)


def test_points_read_grids_as_scipy_does():
  rng = np.random.default_rng(0)
  grid = rng.normal(size=(2, 4, 4, 4, 3)).astype(np.float32)
  points = rng.uniform(-1, 1, (2, 50, 3)).astype(np.float32)
  place = np.moveaxis((points + 1) * 2 - 0.5, -1, 0)
  expected = [
    [
      scipy.ndimage.map_coordinates(
        grid[b, ..., c], place[:, b], order=1, mode="nearest"
      )
      for c in range(3)
    ]
    for b in range(2)
  ]
  np.testing.assert_allclose(
    read_grid(grid, points), np.moveaxis(expected, 1, 2), atol=1e-5
  )


def test_grid_of_a_code_tells_places_apart_that_have_equal_features():
  decoder = ImplicitDecoder((8,), 0, 0.0, grid_widths=(6, 4))
  codes = jax.random.uniform(jax.random.key(0), (2, 5))
  points = jnp.array([[[0.5, 0, 0], [-0.5, 0, 0]]] * 2)
  variables = decoder.init(jax.random.key(1), codes, points)
  assert variables["params"]["grid"]["kernel_0"].shape == (4, 4, 4, 4, 6)
  logits = decoder.apply(variables, codes, points)
  assert jnp.abs(logits[:, 0] - logits[:, 1]).min() > 1e-3
  bare = ImplicitDecoder((8,), 0, 0.0)
  logits = bare.apply(
    bare.init(jax.random.key(1), codes, points), codes, points
  )
  np.testing.assert_allclose(logits[:, 0], logits[:, 1])
