"""Training: from meshes and labels to a pipeline, resumable at any moment."""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import tqdm
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import NamedSharding, PartitionSpec

from dr3d.camera.view import Views, random_views, take_views
from dr3d.error import TrainingError
from dr3d.mesh import Mesh, bucket_size
from dr3d.render.raster import Budget
from dr3d.render.triangle import (
  TriangleRenderer,
  Triangles,
  fit_budget,
  stack_meshes,
)
from dr3d.retrieval.batch import Sampler, number_classes
from dr3d.retrieval.exploration import find_viewpoints
from dr3d.retrieval.pipeline import HEADROOM, Pipeline
from dr3d.retrieval.recipe import TrainConfig, check_config
from dr3d.retrieval.state import OptimizerConfig, State, make_state
from dr3d.retrieval.step import train_step
from dr3d.runtime.device import share_devices
from dr3d.training.workdir import Log, lock_run

COLLAPSED = 1e-3  # mean squared distance between images: no image is told apart
PATIENCE = 50  # steps that collapse may last
WHITENED = 2048  # models at most that the whitening is fitted to
EXPLORED = 256  # models at most that viewpoints are chosen for


def train(
  meshes: Sequence[Mesh],
  labels: Sequence[str],
  *,
  config: TrainConfig,
  workdir: str | os.PathLike[str],
  init: Pipeline | None = None,
  progress: bool = True,
) -> Pipeline:
  """Trains G and T, or goes on where an interrupted run stopped.

  Writes `checkpoints/`, `log.jsonl` (one JSON object a step) and, at the end,
  `pipeline/` into the working directory. Where that is there already, the run
  is over, and the pipeline is read.

  Args:
    meshes: the known models.
    labels: class of each; models without one (`""`) are each its own class.
    config: the run.
    workdir: working directory; made if missing.
    init: to start from, of the configuration `config.pipeline`; an untrained
      one where None.
    progress: show a progress bar.

  Returns:
    The pipeline with the running means of θ_G and θ_T.

  Raises:
    ValueError: the configuration contradicts itself.
    TrainingError: too few models, a working directory of another run, a
      collapse, or a number that is not finite.
  """
  check_config(config, init)
  workdir = pathlib.Path(workdir).absolute()
  classes = number_classes(labels)
  sampler = Sampler(classes, config=config.batch, seed=config.seed)
  lock_run(workdir, _describe(meshes, labels, config, init))
  if (workdir / "pipeline").exists():
    return Pipeline.load(workdir / "pipeline")

  models = _Models(
    stack_meshes(
      list(meshes),
      face_count=bucket_size(max(len(mesh.faces) for mesh in meshes)),
      pose=config.pipeline.pose,
      coverage=config.pipeline.render.coverage,
    ),
    np.stack([mesh.moments for mesh in meshes]),
    classes,
  )
  devices = share_devices(sampler.size)
  start = init or Pipeline.create(config.pipeline, seed=config.seed)
  state = make_state(
    start.views,
    start.weights,
    _draw_prototypes(classes, config),
    config=config.optimizer,
  )
  budget = _first_budget(models, state.views, sampler, devices.size, config)
  steps = config.optimizer.steps

  with _open_checkpoints(workdir, config) as checkpoints:
    # Where the first state lies decides what is compiled: where a step puts it.
    state = jax.device_put(
      _restore(checkpoints, state), NamedSharding(devices, PartitionSpec())
    )
    done = int(state.step)
    with (
      Log(workdir / "log.jsonl", step=done) as log,
      tqdm.tqdm(
        total=steps, initial=done, disable=not progress, unit="step"
      ) as bar,
    ):
      collapsed = _count_collapsed(log.rows)
      for step in range(done, steps):
        begin = time.perf_counter()
        key = jax.random.fold_in(jax.random.key(config.seed), step)
        explores = step < config.optimizer.explore
        if explores:
          turn = jax.random.fold_in(key, step)
          state = _turn_views(
            state, random_views(turn, count=state.views.count)
          )
        state, metrics, budget = _step_in_budget(
          state,
          models.take(sampler(step)),
          sampler.draw_views(step, state.views.count),
          key,
          config=config,
          budget=budget,
          devices=devices,
          moves_views=not explores and _moves_views(step, config.optimizer),
        )
        if step + 1 == config.optimizer.explore:
          chosen = _choose_viewpoints(state, meshes, classes, config)
          state = _turn_views(state, chosen)
        row = {name: float(value) for name, value in metrics.items()}
        _check_finite(row, step + 1)
        collapsed = collapsed + 1 if row["spread"] < COLLAPSED else 0
        _check_collapse(collapsed, step + 1)
        row["seconds"] = time.perf_counter() - begin
        log.write({"step": step + 1, **row, **_viewpoints(step + 1, state)})
        _show(bar, row)
        checkpoints.save(
          step + 1,
          args=ocp.args.StandardSave(state),
          force=step + 1 == steps,
        )
  pipeline = _take_pipeline(state, config)
  if config.whitening:
    some = _draw_models(len(meshes), WHITENED, config)
    pipeline = pipeline.whitened(
      [meshes[i] for i in some], power=config.whitening
    )
  pipeline.save(workdir / "pipeline")
  return pipeline


@dataclasses.dataclass(frozen=True)
class _Models:
  """All models on the host; fields as `train_step` takes them."""

  triangles: Triangles
  moments: np.ndarray
  classes: np.ndarray

  def take(self, chosen: np.ndarray) -> "_Models":
    triangles = jax.tree.map(lambda x: x[chosen], self.triangles)
    return _Models(triangles, self.moments[chosen], self.classes[chosen])


def _describe(
  meshes: Sequence[Mesh],
  labels: Sequence[str],
  config: TrainConfig,
  init: Pipeline | None,
) -> dict[str, Any]:
  """What tells one run from another."""
  return {
    **dataclasses.asdict(config),
    "the models": [
      [label, len(mesh.faces)]
      for label, mesh in zip(labels, meshes, strict=True)
    ],
    "the pipeline it starts from": init and init.fingerprint,
  }


def _draw_prototypes(classes: np.ndarray, config: TrainConfig) -> jax.Array:
  """Directions with nothing in common, `[K, D]`."""
  key = jax.random.fold_in(jax.random.key(config.seed), len(classes))
  shape = (int(classes.max()) + 1, config.pipeline.embed.feature_size)
  return jax.random.normal(key, shape) * shape[1] ** -0.5


def _first_budget(
  models: _Models,
  views: Views,
  sampler: Sampler,
  device_count: int,
  config: TrainConfig,
) -> Budget:
  """A rasterizer budget that holds most batches of one device."""
  share = sampler.size // device_count
  largest = Budget(pairs=1, blocks=1)
  for step in range(4):
    batch = models.take(sampler(step)[:share]).triangles
    chosen = take_views(views, sampler.draw_views(step, views.count))
    largest = largest.joined(
      fit_budget(batch, chosen, config=config.pipeline.render)
    )
  return largest.widened(HEADROOM)


def _open_checkpoints(
  workdir: pathlib.Path, config: TrainConfig
) -> ocp.CheckpointManager:
  return ocp.CheckpointManager(
    workdir / "checkpoints",
    options=ocp.CheckpointManagerOptions(
      max_to_keep=2, save_interval_steps=config.checkpoint_every
    ),
  )


def _restore(checkpoints: ocp.CheckpointManager, state: State) -> State:
  """The state of the latest checkpoint, or the given one."""
  latest = checkpoints.latest_step()
  if latest is None:
    return state
  return checkpoints.restore(latest, args=ocp.args.StandardRestore(state))


def _moves_views(step: int, config: OptimizerConfig) -> bool:
  return bool(config.trainable) and step % config.render_every == 0


def _turn_views(state: State, quaternion: jax.Array | np.ndarray) -> State:
  """The state with other viewpoints, which are the mean of those so far."""
  place = state.views.quaternion.sharding
  turned = jax.device_put(jnp.asarray(quaternion), place)
  views = dataclasses.replace(state.views, quaternion=turned)
  mean = dataclasses.replace(state.mean_views, quaternion=turned)
  return dataclasses.replace(state, views=views, mean_views=mean)


def _take_pipeline(state: State, config: TrainConfig) -> Pipeline:
  """The running means, off the devices: a pipeline picks devices of its own."""
  views, weights = jax.device_get((state.mean_views, state.mean_weights))
  return Pipeline(config.pipeline, views, weights)


def _draw_models(count: int, most: int, config: TrainConfig) -> np.ndarray:
  """Numbers of the models, in random order, or of so many at the most."""
  return np.random.default_rng(config.seed).permutation(count)[:most]


def _choose_viewpoints(
  state: State,
  meshes: Sequence[Mesh],
  classes: np.ndarray,
  config: TrainConfig,
) -> np.ndarray:
  """Where G is to begin, by some of the models."""
  some = _draw_models(len(meshes), EXPLORED, config)
  return find_viewpoints(
    _take_pipeline(state, config),
    [meshes[i] for i in some],
    classes[some],
    count=state.views.count,
    objective=config.loss.separation,
    seed=config.seed,
  )


def _step_in_budget(
  state: State,
  batch: _Models,
  chosen: np.ndarray,
  key: jax.Array,
  *,
  config: TrainConfig,
  budget: Budget,
  devices: DeviceMesh,
  moves_views: bool,
) -> tuple[State, dict[str, jax.Array], Budget]:
  """Makes a step, with a larger budget if need be, which it returns."""
  optimizer = config.optimizer
  if not moves_views:
    # Which parts G may move is of no account then, and need not be compiled.
    optimizer = dataclasses.replace(optimizer, trainable=())
  while True:
    new, metrics, usage = train_step(
      state,
      TriangleRenderer(batch.triangles, config.pipeline.render),
      batch.moments,
      batch.classes,
      chosen,
      key,
      pipeline=config.pipeline,
      loss=config.loss,
      optimizer=optimizer,
      augmentation=config.augmentation,
      budget=budget,
      devices=devices,
      moves_views=moves_views,
    )
    if budget.holds(usage):
      return new, metrics, budget
    budget = budget.grown_to(usage).widened(HEADROOM)


def _check_finite(row: dict[str, float], step: int) -> None:
  bad = sorted(name for name, value in row.items() if not math.isfinite(value))
  if bad:
    raise TrainingError(
      f"training stopped at step {step}: {', '.join(bad)} is not finite; the"
      " checkpoint before it is whole."
    )


def _count_collapsed(rows: list[dict[str, Any]]) -> int:
  """Rows at the end of the log in which all images had the same vector."""
  count = 0
  for row in reversed(rows):
    if row["spread"] >= COLLAPSED:
      break
    count += 1
  return count


def _check_collapse(collapsed: int, step: int) -> None:
  if collapsed >= PATIENCE:
    raise TrainingError(
      f"training collapsed: for {PATIENCE} steps up to step {step} all images"
      " had the same vector; lower the learning rate (embed_rate) or raise the"
      " weight of the variance floor (spread)."
    )


def _viewpoints(step: int, state: State) -> dict[str, Any]:
  """The viewpoints, for every tenth row of the log."""
  if step % 10 and step > 1:
    return {}
  return {"quaternion": np.asarray(state.views.quaternion).round(5).tolist()}


def _show(bar: tqdm.tqdm, row: dict[str, float]) -> None:
  bar.update()
  bar.set_postfix(
    T=f"{row['task_loss']:.3f}",
    G=f"{row['separation_loss']:.3f}",
    active=f"{row['active']:.0%}",
    angle=f"{math.degrees(row['smallest_view_angle']):.0f}°",
  )
