"""The choice of viewpoints by L_G."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import trimesh
from support.features import random_features

from dr3d.mesh import make_mesh
from dr3d.nn.encoder import EncoderConfig
from dr3d.render.triangle import RenderConfig
from dr3d.retrieval.exploration import choose_views, find_viewpoints
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.retrieval.separation import OBJECTIVES, batch_separation_loss


def loss(features, classes, views, objective):
  return batch_separation_loss(
    features[:, np.array(views)],
    labels=classes,
    objective=objective,
    scale=None,
  ).between


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_chosen_view_has_least_loss_beside_earlier_ones(objective):
  features = jnp.float32(random_features(3, 6, 5, 3))
  classes = jnp.array([0, 0, 1, 2, -1, -1])
  chosen = choose_views(features, classes, count=4, objective=objective)
  assert len(set(chosen)) == 4
  for n in range(4):
    before = chosen[:n]
    rest = [view for view in range(5) if view not in before]
    losses = [loss(features, classes, [*before, v], objective) for v in rest]
    assert chosen[n] == rest[int(np.argmin(losses))]


def test_second_view_separates_what_first_does_not():
  """Eight models are the corners of a cube; each view sees one coordinate."""
  signs = np.array(list(itertools.product([-1, 1], repeat=3)))
  axes = signs[:, [0, 0, 1, 0, 2]]
  features = jnp.float32(np.stack([axes, 0 * axes], axis=-1))
  chosen = choose_views(features, jnp.arange(8), count=3, objective="models")
  assert len({(0, 0, 1, 0, 2)[view] for view in chosen}) == 3


def test_smaller_count_finds_first_of_larger_count():
  config = PipelineConfig(
    view_count=2,
    render=RenderConfig(size=16),
    embed=EncoderConfig(feature_size=16, widths=(8, 16)),
  )
  pipeline = Pipeline.create(config)
  shapes = [
    trimesh.creation.box([1, 2, 3]),
    trimesh.creation.cylinder(1, 2, sections=8),
    trimesh.creation.cone(1, 2, sections=8),
  ]
  meshes = [make_mesh(shape.vertices, shape.faces) for shape in shapes]

  def find(count):
    return find_viewpoints(
      pipeline, meshes, np.arange(3), count=count, candidates=6, seed=4
    )

  three, two = find(3), find(2)
  assert three.shape == (3, 4)
  np.testing.assert_allclose(np.linalg.norm(three, axis=-1), 1, rtol=1e-6)
  np.testing.assert_array_equal(two, three[:2])
  with pytest.raises(ValueError, match="between 1 and candidates = 6, got 7"):
    find(7)
