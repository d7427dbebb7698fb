"""Training of G and T: from meshes and labels to a pipeline.

The loop is `dr3d.training.loop`. This module gives it the state, the step and
the batches of retrieval. `B` models in a batch, `N` views of a model, `M`
models in all, `K` classes, `D` feature size.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from dr3d.mesh import Mesh
from dr3d.retrieval.batch import Sampler, number_classes
from dr3d.retrieval.exploration import make_explorer
from dr3d.retrieval.hook import (
  check_collapse,
  make_caption,
  viewpoint_column,
)
from dr3d.retrieval.imagenet import start_from_imagenet
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.product import (
  WHITENING_MODELS_MAX,
  draw_models,
  make_product,
)
from dr3d.retrieval.recipe import TrainConfig, check_config
from dr3d.retrieval.schedule import make_step
from dr3d.retrieval.state import make_state
from dr3d.retrieval.training_set import first_budget, stack_models, take_batch
from dr3d.runtime.device import share_devices
from dr3d.training.loop import Hooks, LoopConfig, run_steps
from dr3d.training.workdir import run_once


def train(
  meshes: Sequence[Mesh],
  labels: Sequence[str],
  *,
  config: TrainConfig,
  workdir: str | os.PathLike[str],
  init: Pipeline | None = None,
  progress: bool = True,
) -> Pipeline:
  """Trains G and T, or resumes an interrupted run.

  Writes `checkpoints/`, `log.jsonl` (one JSON object for each step) and, at
  the end, `pipeline/` into the working directory. If `pipeline/` is there
  already, the run is complete, and the pipeline is read.

  Args:
    meshes: M models to learn from.
    labels: class of each model; a model without one (`""`) is its own class.
    config: the run.
    workdir: working directory; made if missing.
    init: pipeline to start from, whose configuration must be
      `config.pipeline`. If None, an untrained one, or with the encoder lite0
      one from ImageNet's weights.
    progress: whether to show a progress bar.

  Returns:
    The pipeline with the running means of θ_G and θ_T.

  Raises:
    ValueError: the configuration contradicts itself.
    PipelineError: ImageNet's weights are needed and not installed.
    TrainingError: too few classes, a working directory of another run, a
      collapse, or a metric that is not finite.
  """
  check_config(config, init)
  workdir = pathlib.Path(workdir).absolute()
  classes = number_classes(labels)
  sampler = Sampler(classes, config=config.batch, seed=config.seed)

  def make() -> Pipeline:
    start = init or _make_start(meshes, config)
    models = stack_models(meshes, classes, config.pipeline)
    view_count = start.views.count
    devices = share_devices(sampler.size, hosts="all")
    budget = first_budget(
      models,
      start.views,
      sampler,
      config=config.pipeline,
      device_count=devices.size,
    )
    state = run_steps(
      make_state(
        start.views,
        start.weights,
        _draw_prototypes(classes, config),
        config=config.optimizer,
      ),
      make_step(config, budget, devices),
      lambda step: take_batch(
        models, sampler, step, view_count=view_count, devices=devices
      ),
      config=LoopConfig(
        steps=config.optimizer.steps,
        seed=config.seed,
        checkpoint_every=config.checkpoint_every,
      ),
      workdir=workdir,
      devices=devices,
      hooks=Hooks(
        after_step=make_explorer(meshes, classes, config),
        extra_columns=viewpoint_column,
        check=check_collapse,
        caption=make_caption,
      ),
      progress=progress,
    )
    product = make_product(state, meshes, config)
    return dataclasses.replace(product, surface_weight=start.surface_weight)

  return run_once(
    make,
    workdir=workdir,
    run=_describe(meshes, labels, config, init),
    name="pipeline",
    load=Pipeline.load,
    save=Pipeline.save,
  )


def _make_start(meshes: Sequence[Mesh], config: TrainConfig) -> Pipeline:
  """Returns the pipeline that a run without another one starts from."""
  if config.pipeline.embed.backbone == "small":
    return Pipeline.create(config.pipeline, seed=config.seed)
  some = draw_models(
    len(meshes), largest=WHITENING_MODELS_MAX, seed=config.seed
  )
  return start_from_imagenet(
    config.pipeline, [meshes[i] for i in some], seed=config.seed
  )


def _describe(
  meshes: Sequence[Mesh],
  labels: Sequence[str],
  config: TrainConfig,
  init: Pipeline | None,
) -> dict[str, Any]:
  """Returns what distinguishes one run from another, for `lock_run`."""
  return {
    **dataclasses.asdict(config),
    "the models": [
      [label, len(mesh.faces)]
      for label, mesh in zip(labels, meshes, strict=True)
    ],
    "the pipeline it starts from": init and init.fingerprint,
  }


def _draw_prototypes(classes: np.ndarray, config: TrainConfig) -> jax.Array:
  """Draws one random vector for each class, `[K, D]`, of length about 1."""
  key = jax.random.fold_in(jax.random.key(config.seed), len(classes))
  shape = (int(classes.max()) + 1, config.pipeline.embed.feature_size)
  return jax.random.normal(key, shape) * shape[1] ** -0.5
