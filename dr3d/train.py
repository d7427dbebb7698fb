"""Training: from meshes and labels to a pipeline, resumable at any moment."""

import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import tqdm
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import NamedSharding, PartitionSpec

from dr3d.augment import AugmentConfig
from dr3d.error import TrainingError
from dr3d.mesh import Mesh, bucket_size
from dr3d.pipeline import HEADROOM, Pipeline, PipelineConfig
from dr3d.raster import Budget
from dr3d.render import Triangles, fit_budget, stack_meshes
from dr3d.step import (
  AXIS,
  LossConfig,
  OptimizerConfig,
  State,
  make_state,
  select_parts,
  train_step,
)
from dr3d.view import Views

COLLAPSED = 1e-3  # mean squared distance between images: no image is told apart
PATIENCE = 50  # steps that collapse may last


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """A training run.

  Attributes:
    sampling: `"batch"` draws classes and some models of each; `"pair"` is the
      patent's two models of different objects.
    class_count: classes in a batch.
    models_per_class: models of each; a class with fewer gives one twice, drawn
      differently.
    seed: of everything random.
    checkpoint_every: steps between checkpoints.
    pipeline: G and T.
    loss: what they minimise.
    optimizer: how they move, and how many steps.
    augmentation: what is done to the models; None for nothing.
  """

  sampling: Literal["batch", "pair"] = "batch"
  class_count: int = 8
  models_per_class: int = 2
  seed: int = 0
  checkpoint_every: int = 100
  pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)
  loss: LossConfig = dataclasses.field(default_factory=LossConfig)
  optimizer: OptimizerConfig = dataclasses.field(
    default_factory=OptimizerConfig
  )
  augmentation: AugmentConfig | None = dataclasses.field(
    default_factory=AugmentConfig
  )


def train(
  meshes: Sequence[Mesh],
  labels: Sequence[str],
  *,
  config: TrainConfig,
  workdir: str | os.PathLike[str],
  views: Views | None = None,
  progress: bool = True,
) -> Pipeline:
  """Trains G and T, or goes on where an interrupted run stopped.

  Writes `checkpoints/`, `log.jsonl` (one JSON object a step) and, at the end,
  `pipeline/` into the working directory.

  Args:
    meshes: the known models.
    labels: class of each; models without one (`""`) are each its own class.
    config: the run.
    workdir: working directory; made if missing.
    views: θ_G to start from; spread over the sphere where None.
    progress: show a progress bar.

  Returns:
    The pipeline with the running means of θ_G and θ_T.

  Raises:
    TrainingError: too few models, a working directory of another run, a
      collapse, or a number that is not finite.
  """
  classes = _number(labels)
  devices = _devices(config)
  sampler = _Sampler(classes, config)
  workdir = pathlib.Path(workdir).absolute()
  _claim(workdir, config, labels)

  start = Pipeline.create(config.pipeline, seed=config.seed)
  state = make_state(
    start.views if views is None else views,
    start.weights,
    config=config.optimizer,
  )
  mask = select_parts(state.views, config.optimizer.trainable)
  data = stack_meshes(
    list(meshes),
    face_count=bucket_size(max(len(mesh.faces) for mesh in meshes)),
    pose=config.pipeline.pose,
  )
  moments = np.stack([mesh.moments for mesh in meshes])
  budget = _first_budget(data, state.views, sampler, devices.size, config)

  checkpoints = ocp.CheckpointManager(
    workdir / "checkpoints",
    options=ocp.CheckpointManagerOptions(
      max_to_keep=2, save_interval_steps=config.checkpoint_every
    ),
  )
  with checkpoints, _Log(workdir / "log.jsonl") as log:
    latest = checkpoints.latest_step()
    if latest is not None:
      state = checkpoints.restore(latest, args=ocp.args.StandardRestore(state))
    # Where the first state lies decides what is compiled: where a step puts it.
    everywhere = NamedSharding(devices, PartitionSpec())
    state, mask = jax.device_put((state, mask), everywhere)
    log.rewind(int(state.step))
    steps = config.optimizer.steps
    bar = tqdm.tqdm(
      total=steps, initial=int(state.step), disable=not progress, unit="step"
    )
    collapsed = 0
    with bar:
      for step in range(int(state.step), steps):
        begin = time.perf_counter()
        chosen = sampler(step)
        batch = (
          jax.tree.map(lambda x, i=chosen: x[i], data),
          moments[chosen],
          classes[chosen],
        )
        while True:
          new, metrics, usage = train_step(
            state,
            *batch,
            mask,
            jax.random.fold_in(jax.random.key(config.seed), step),
            pipeline=config.pipeline,
            loss=config.loss,
            optimizer=config.optimizer,
            augmentation=config.augmentation,
            budget=budget,
            devices=devices,
            moves_views=step % config.optimizer.render_every == 0,
          )
          if budget.holds(usage):
            break
          budget = budget.grown_to(usage).widened(HEADROOM)
        row = {name: float(value) for name, value in metrics.items()}
        _check_finite(row, step + 1)
        collapsed = collapsed + 1 if row["spread"] < COLLAPSED else 0
        if collapsed >= PATIENCE:
          raise TrainingError(
            f"training collapsed: for {PATIENCE} steps up to step {step + 1}"
            " all images had the same vector; lower the learning rate"
            " (embed_rate) or raise the weight of the variance floor (spread)."
          )
        state = new
        row["seconds"] = time.perf_counter() - begin
        log.write(step + 1, row, state.views)
        bar.update()
        bar.set_postfix(
          T=f"{row['task_loss']:.3f}",
          G=f"{row['separation_loss']:.3f}",
          active=f"{row['active']:.0%}",
          angle=f"{math.degrees(row['smallest_view_angle']):.0f}°",
        )
        checkpoints.save(step + 1, args=ocp.args.StandardSave(state))
    pipeline = Pipeline(config.pipeline, state.mean_views, state.mean_weights)
    pipeline.save(workdir / "pipeline")
    checkpoints.save(steps, args=ocp.args.StandardSave(state), force=True) if (
      checkpoints.latest_step() != steps
    ) else None
  return pipeline


class _Sampler:
  """Which models make the batch of a step; a function of seed and step."""

  def __init__(self, classes: np.ndarray, config: TrainConfig):
    self.seed = config.seed
    members = [np.flatnonzero(classes == c) for c in range(classes.max() + 1)]
    if config.sampling == "pair":
      self.classes, self.each = 2, 1
    elif config.sampling == "batch":
      self.classes = min(config.class_count, len(members))
      self.each = config.models_per_class
    else:
      raise ValueError(
        f'sampling must be "batch" or "pair", got {config.sampling!r}.'
      )
    if len(members) < 2:
      raise TrainingError(
        "training needs models of at least two classes to tell apart, got"
        f" {len(members)}: give the models' folders the names of their classes,"
        " or a table with --labels."
      )
    self.members = members
    self.size = self.classes * self.each

  def __call__(self, step: int) -> np.ndarray:
    rng = np.random.default_rng((self.seed, step))
    drawn = rng.choice(len(self.members), self.classes, replace=False)
    chosen = []
    for c in drawn:
      order = rng.permutation(self.members[c])
      chosen.append(np.resize(order, self.each))
    return np.concatenate(chosen)


class _Log:
  """A file of JSON lines, one a step, none doubled after a resume."""

  def __init__(self, path: pathlib.Path):
    self.path = path

  def __enter__(self) -> "_Log":
    self.path.touch()
    self.file = self.path.open("a", encoding="utf-8")
    return self

  def __exit__(self, *_: Any) -> None:
    self.file.close()

  def rewind(self, step: int) -> None:
    """Drops the rows after `step`, and a row that a kill cut short."""
    kept = []
    for line in self.path.read_text(encoding="utf-8").splitlines():
      try:
        row = json.loads(line)
      except ValueError:
        continue
      if row["step"] <= step:
        kept.append(line + "\n")
    partial = self.path.with_suffix(".partial")
    partial.write_text("".join(kept), encoding="utf-8")
    self.file.close()
    partial.replace(self.path)
    self.file = self.path.open("a", encoding="utf-8")

  def write(self, step: int, row: dict[str, float], views: Views) -> None:
    """Appends a row; every tenth has the viewpoints."""
    out: dict[str, Any] = {"step": step, **row}
    if step % 10 == 0 or step == 1:
      out["quaternion"] = np.asarray(views.quaternion).round(5).tolist()
    self.file.write(json.dumps(out) + "\n")
    self.file.flush()


def _first_budget(
  data: Triangles,
  views: Views,
  sampler: _Sampler,
  device_count: int,
  config: TrainConfig,
) -> Budget:
  """A rasterizer budget that holds most batches of one device."""
  share = sampler.size // device_count
  largest = Budget(pairs=1, blocks=1)
  for step in range(4):
    batch = jax.tree.map(lambda x, i=sampler(step)[:share]: x[i], data)
    budget = fit_budget(
      batch,
      views,
      size=config.pipeline.render.size,
      sigma=config.pipeline.render.sigma,
    )
    largest = Budget(
      pairs=max(largest.pairs, budget.pairs),
      blocks=max(largest.blocks, budget.blocks),
    )
  return largest.widened(HEADROOM)


def _number(labels: Sequence[str]) -> np.ndarray:
  """Classes as integers from 0; a model without a label is its own class."""
  numbers: dict[tuple[str, int], int] = {}
  return np.array(
    [
      numbers.setdefault((label, -1 if label else i), len(numbers))
      for i, label in enumerate(labels)
    ],
    np.int32,
  )


def _devices(config: TrainConfig) -> DeviceMesh:
  """As many devices as divide the batch."""
  batch = 2
  if config.sampling == "batch":
    batch = config.class_count * config.models_per_class
  devices = jax.devices()
  count = math.gcd(batch, len(devices))
  return jax.make_mesh(
    (count,), (AXIS,), (jax.sharding.AxisType.Auto,), devices=devices[:count]
  )


def _claim(
  workdir: pathlib.Path, config: TrainConfig, labels: Sequence[str]
) -> None:
  """Notes whose working directory it is, or checks that it is ours."""
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / "config.json"
  run = json.loads(
    json.dumps({"config": dataclasses.asdict(config), "labels": list(labels)})
  )
  if not path.exists():
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(run, indent=2), encoding="utf-8")
    partial.replace(path)
    return
  old = json.loads(path.read_text(encoding="utf-8"))
  differing = _differences(old["config"], run["config"])
  if old["labels"] != run["labels"]:
    differing.append("the models")
  if differing:
    raise TrainingError(
      f"{workdir} holds another run, which differs in {', '.join(differing)};"
      " name another working directory or delete this one."
    )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
  if isinstance(old, dict) and isinstance(new, dict):
    return [
      difference
      for key in sorted(old.keys() | new.keys())
      for difference in _differences(
        old.get(key), new.get(key), f"{name}.{key}".lstrip(".")
      )
    ]
  return [] if old == new else [name]


def _check_finite(row: dict[str, float], step: int) -> None:
  bad = sorted(name for name, value in row.items() if not math.isfinite(value))
  if bad:
    raise TrainingError(
      f"training stopped at step {step}: {', '.join(bad)} is not finite; the"
      " checkpoint before it is whole."
    )
