"""`dr3d train`: train a pipeline on a folder of labelled models."""

import dataclasses
import pathlib
import shlex
import time

from dr3d.cli import console, pipeline_flag
from dr3d.cli.subcommand import FlagValues, Subcommand
from dr3d.cli.train_config import (
  FINE_TUNING_RATE,
  check_arguments,
  make_config,
)
from dr3d.cli.train_flag import FLAGS


def run(flags: FlagValues, files: list[str]) -> int:
  """Trains, or resumes an interrupted training."""
  del files
  check_arguments(flags)
  from dr3d.data.folder import find_models

  models = find_models(flags.models, labels=flags.labels)
  init = pipeline_flag.load_pipeline(flags.init) if flags.init else None
  config = make_config(flags)
  if init is not None:
    config = dataclasses.replace(config, pipeline=init.config)
    if init.config.embed.mixes_views:
      batch = dataclasses.replace(config.batch, view_count=None)
      config = dataclasses.replace(config, batch=batch)
  if config.pipeline.embed.backbone != "small":
    config = dataclasses.replace(
      config,
      optimizer=dataclasses.replace(
        config.optimizer, embed_rate=FINE_TUNING_RATE
      ),
    )
  budget = config.pipeline.face_budget
  collection = console.read_models(
    models, face_budget=budget, appearance=config.pipeline.appearance
  )

  from dr3d.retrieval.train import train

  begin = time.perf_counter()
  train(
    collection.meshes,
    collection.labels,
    config=config,
    workdir=flags.workdir,
    init=init,
  )
  seconds = time.perf_counter() - begin

  pipeline = pathlib.Path(flags.workdir) / "pipeline"
  labels = f" --labels={shlex.quote(flags.labels)}" if flags.labels else ""
  classes = len(set(collection.labels) - {""})
  print(
    f"Trained on {len(collection.meshes)} models of {classes} classes in"
    f" {seconds:.0f} s: {pipeline}\n"
    "Next, make the models searchable:\n"
    f"  dr3d index --db=parts.db --models={shlex.quote(flags.models)}{labels}"
    f" --pipeline={shlex.quote(str(pipeline))}"
  )
  return 0


SUBCOMMAND = Subcommand(
  name="train",
  summary="Train a pipeline to tell the classes of a folder of models apart.",
  details="""
    Two parts are trained together: the renderer learns viewpoints and lights,
    the network learns to tell models apart by their images. The class of a
    model is the name of its folder, or what --labels says. Files that cannot be
    read are listed and left out.

    The same command resumes an interrupted run. The result is WORKDIR/pipeline,
    which the other subcommands use. WORKDIR/log.jsonl has one line of
    measurements for each step.
  """,
  example="dr3d train --models=models --workdir=work",
  flags=FLAGS,
  run=run,
)
