import numpy as np
import pytest

from dr3d.shape.sample import (
  find_edges,
  place_points,
  sample_voxels,
)
from dr3d.shape.voxel import grid_points

pytestmark = pytest.mark.fast


def make_ball(resolution, radius):
  far = np.linalg.norm(grid_points(resolution), axis=1)
  return (far < radius).reshape((resolution,) * 3)


def draw(voxels, budget=None):
  rng = np.random.default_rng(0)
  index, values = sample_voxels(voxels, rng=rng, budget=budget)
  flat = np.ravel_multi_index(tuple(index.T.astype(int)), voxels.shape)
  assert len(np.unique(flat)) == len(flat)
  np.testing.assert_array_equal(values, voxels.reshape(-1)[flat])
  return flat


def test_edges_are_voxels_whose_window_holds_both_values():
  voxels = np.random.default_rng(1).random((12, 12, 12)) > 0.99
  edges = find_edges(voxels)
  for x, y, z in np.ndindex(voxels.shape):
    window = voxels[
      max(x - 3, 0) : x + 4, max(y - 3, 0) : y + 4, max(z - 3, 0) : z + 4
    ]
    assert edges[x, y, z] == (window.any() and not window.all())


def test_all_edges_are_taken_if_they_fit():
  voxels = make_ball(64, 0.3)
  edges = np.flatnonzero(find_edges(voxels))
  flat = draw(voxels)
  assert len(flat) == 32**3
  assert np.isin(edges, flat).all()


def test_too_many_edges_are_thinned_to_one_of_a_block_full_ones_first():
  voxels = make_ball(64, 0.5)
  edges = find_edges(voxels)
  count = np.count_nonzero(edges)
  blocks = edges.reshape(32, 2, 32, 2, 32, 2).any((1, 3, 5))
  budget = np.count_nonzero(blocks)
  assert budget < count
  flat = draw(voxels, budget)
  x, y, z = np.unravel_index(flat, voxels.shape)
  assert len(set(zip(x // 2, y // 2, z // 2, strict=True))) == budget
  full = (edges & voxels).reshape(32, 2, 32, 2, 32, 2).any((1, 3, 5))
  chosen = np.zeros_like(blocks)
  chosen[x // 2, y // 2, z // 2] = voxels.reshape(-1)[flat]
  np.testing.assert_array_equal(chosen, full)


def test_edges_that_never_fit_are_left_to_chance():
  voxels = make_ball(64, 0.5)
  flat = draw(voxels, 500)
  # A random voxel is an edge as often as any other voxel is.
  share = find_edges(voxels).reshape(-1)
  assert share[flat].mean() == pytest.approx(share.mean(), abs=0.08)


def test_points_of_indices_are_the_centres_of_voxels():
  index = np.argwhere(np.ones((4, 4, 4), bool)).astype(np.uint8)
  np.testing.assert_allclose(
    place_points(index, resolution=4), grid_points(4), atol=1e-7
  )


def test_resolution_without_a_budget_raises():
  with pytest.raises(ValueError, match="20 voxels have no budget"):
    draw(np.zeros((20, 20, 20), bool))
