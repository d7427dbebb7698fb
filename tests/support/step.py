"""One step of a small training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dr3d.camera.view import make_views
from dr3d.nn.encoder import EncoderConfig
from dr3d.render.raster import Budget
from dr3d.render.triangle import RenderConfig, TriangleRenderer, Triangles
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.retrieval.state import (
  OptimizerConfig,
  make_state,
)
from dr3d.retrieval.step import LossConfig, train_step
from dr3d.runtime.device import AXIS

BUDGET = Budget(pairs=1024, blocks=128, crossing=8)


PIPELINE = PipelineConfig(
  view_count=2,
  render=RenderConfig(size=16, framing="sphere"),
  embed=EncoderConfig(feature_size=8, widths=(4, 8)),
)


LOSS = LossConfig(coverage=3.0, repulsion=2.0, within=0.4, models=0.7)


OPTIMIZER = OptimizerConfig(steps=20)


def make_batch():
  """Four models of two classes: triangle soups of different sizes."""
  rng = np.random.default_rng(0)
  corners = rng.uniform(-0.55, 0.55, (4, 8, 3, 3))
  corners *= np.array([1.0, 0.5, 0.08, 0.8])[:, None, None, None]
  normals = rng.normal(size=corners.shape)
  normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
  triangles = Triangles(jnp.float32(corners), jnp.float32(normals))
  return triangles, jnp.ones((4, 3)), jnp.array([0, 0, 1, 1], jnp.int32)


def make_inputs():
  """The batch as `train_step` takes it."""
  triangles, moments, labels = make_batch()
  return TriangleRenderer(triangles, PIPELINE.render), moments, labels


def make_start(optimizer=OPTIMIZER):
  """Two views so close that the guard of the viewpoints is at work."""
  near = np.array([[1.0, 0, 0, 0], [1.0, 0.05, 0.02, 0]])
  pipeline = Pipeline.create(PIPELINE, seed=1)
  rng = np.random.default_rng(1)
  # Weights without zeros, so that every image has its own features.
  weights = jax.tree.map(
    lambda x: x + 0.1 * jnp.float32(rng.normal(size=x.shape)), pipeline.weights
  )
  prototypes = jnp.float32(rng.normal(size=(2, 8)))
  return make_state(make_views(near), weights, prototypes, config=optimizer)


def step(
  state,
  *,
  devices=1,
  optimizer=OPTIMIZER,
  moves_views=True,
  chosen=(0, 1),
):
  mesh = jax.make_mesh(
    (devices,), (AXIS,), (AxisType.Auto,), devices=jax.devices()[:devices]
  )
  inputs = jax.device_put(
    (state, *make_inputs(), jnp.array(chosen), jax.random.key(0)),
    NamedSharding(mesh, PartitionSpec()),
  )
  compiled = compile_step(mesh, optimizer, moves_views, len(chosen))
  state, metrics, usage = compiled(*inputs)
  assert BUDGET.holds(usage)
  return state, metrics


@functools.cache
def compile_step(mesh, optimizer, moves_views, view_count):
  inputs = jax.device_put(
    (
      make_start(optimizer),
      *make_inputs(),
      jnp.arange(view_count),
      jax.random.key(0),
    ),
    NamedSharding(mesh, PartitionSpec()),
  )
  return train_step.lower(
    *inputs,
    pipeline=PIPELINE,
    loss=LOSS,
    optimizer=optimizer,
    augmentation=None,
    budget=BUDGET,
    devices=mesh,
    moves_views=moves_views,
  ).compile()


def first_moments(state):
  """Of T and of G: linear in the gradients, as Adam's steps are not."""
  return tuple(
    optax.tree_utils.tree_get(moments, "mu")
    for moments in (state.embed_moments, state.render_moments)
  )
