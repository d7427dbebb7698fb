"""What each step of a run does: explore, move T only, or move T and G."""

import dataclasses
from collections.abc import Callable

import jax
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.view import random_views
from dr3d.render.budget import HEADROOM, within_budget
from dr3d.render.raster import Budget, Usage
from dr3d.render.triangle import TriangleRenderer
from dr3d.retrieval.exploration import set_viewpoints
from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.state import OptimizerConfig, State
from dr3d.retrieval.step import train_step
from dr3d.retrieval.training_set import Batch
from dr3d.training.loop import Metrics


def make_step(
  config: TrainConfig, budget: Budget, devices: DeviceMesh
) -> Callable[[State, Batch, jax.Array], tuple[State, Metrics]]:
  """Returns the step that `training.loop.run_steps` calls.

  The step remembers a budget that had to grow. This changes its speed only: a
  step whose budget was too small is discarded and run again.

  Args:
    config: the run.
    budget: of the rasterizer, for one device's share of a batch.
    devices: their number divides B.
  """

  def step(state: State, batch: Batch, key: jax.Array) -> tuple[State, Metrics]:
    nonlocal budget
    explores = batch.step < config.optimizer.explore
    if explores:
      view_key = jax.random.fold_in(key, batch.step)
      state = set_viewpoints(
        state, random_views(view_key, count=state.views.count)
      )
    moves_views = not explores and _moves_views(batch.step, config.optimizer)
    optimizer = config.optimizer
    if not moves_views:
      # `trainable` has no effect then, and is part of what jit compiles for:
      # without this line runs that differ in it compile separate programs.
      optimizer = dataclasses.replace(optimizer, trainable=())

    def call(budget: Budget) -> tuple[tuple[State, Metrics], Usage]:
      new, metrics, usage = train_step(
        state,
        TriangleRenderer(
          batch.models.triangles,
          config.pipeline.render,
          width=config.pipeline.width,
        ),
        batch.models.moments,
        batch.models.classes,
        batch.views,
        key,
        pipeline=config.pipeline,
        loss=config.loss,
        optimizer=optimizer,
        augmentation=config.augmentation,
        budget=budget,
        devices=devices,
        moves_views=moves_views,
      )
      return (new, metrics), usage

    result, budget = within_budget(call, budget, headroom=HEADROOM)
    return result

  return step


def _moves_views(step: int, config: OptimizerConfig) -> bool:
  return bool(config.trainable) and step % config.render_every == 0
