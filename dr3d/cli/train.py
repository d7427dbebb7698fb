"""`dr3d train`: a folder of labelled models becomes a pipeline."""

import dataclasses
import pathlib
import shlex
import time
from typing import TYPE_CHECKING, Any

from dr3d.cli import report
from dr3d.cli.subcommand import Flag, Subcommand
from dr3d.error import Dr3dError

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline
  from dr3d.retrieval.recipe import TrainConfig

PARTS = ("viewpoint", "camera", "light", "material")


def run(flags: Any, files: list[str]) -> int:
  """Trains, or goes on with an interrupted training."""
  del files
  from dr3d.data.folder import find_models

  models = find_models(flags.models, labels=flags.labels)
  init = report.load_pipeline(flags.init) if flags.init else None
  config = make_config(flags)
  if init is not None:
    config = _go_on(config, init)
  reading = report.read_models(models, face_budget=config.pipeline.face_budget)

  from dr3d.retrieval.train import train

  begin = time.perf_counter()
  train(
    reading.meshes,
    reading.labels,
    config=config,
    workdir=flags.workdir,
    init=init,
  )
  seconds = time.perf_counter() - begin

  pipeline = pathlib.Path(flags.workdir) / "pipeline"
  labels = f" --labels={shlex.quote(flags.labels)}" if flags.labels else ""
  classes = len(set(reading.labels) - {""})
  print(
    f"Trained on {len(reading.meshes)} models of {classes} classes in"
    f" {seconds:.0f} s: {pipeline}\n"
    "Next, make the models searchable:\n"
    f"  dr3d index --db=parts.db --models={shlex.quote(flags.models)}{labels}"
    f" --pipeline={shlex.quote(str(pipeline))}"
  )
  return 0


def make_config(flags: Any) -> "TrainConfig":
  """What the flags say, as the configuration of a run.

  Raises:
    Dr3dError: flags that contradict each other.
  """
  from dr3d.retrieval.recipe import TrainConfig

  base = TrainConfig()
  replace = dataclasses.replace
  frozen = PARTS if "all" in flags.freeze else flags.freeze
  moving = tuple(part for part in PARTS if part not in frozen)
  if flags.explore > flags.steps:
    raise Dr3dError(
      f"--explore is a part of the training, at most --steps={flags.steps}, got"
      f" {flags.explore}."
    )
  pipeline = base.pipeline
  return replace(
    base,
    seed=flags.seed,
    pipeline=replace(
      pipeline,
      view_count=flags.views,
      pose=flags.pose,
      face_budget=flags.faces,
      render=replace(pipeline.render, size=flags.size),
    ),
    loss=replace(base.loss, objective="models") if flags.explore else base.loss,
    optimizer=replace(
      base.optimizer,
      steps=flags.steps,
      explore=flags.explore,
      trainable=moving,
    ),
  )


def _go_on(config: "TrainConfig", init: "Pipeline") -> "TrainConfig":
  """The configuration of a run that starts from a pipeline.

  Raises:
    Dr3dError: a flag asks for what the pipeline has otherwise.
  """
  from dr3d.retrieval.recipe import TrainConfig

  usual, own = TrainConfig().pipeline, init.config
  for flag, asked, default, value in (
    ("views", config.pipeline.view_count, usual.view_count, own.view_count),
    ("pose", config.pipeline.pose, usual.pose, own.pose),
    ("faces", config.pipeline.face_budget, usual.face_budget, own.face_budget),
    ("size", config.pipeline.render.size, usual.render.size, own.render.size),
  ):
    if asked not in (default, value):
      raise Dr3dError(
        f"the pipeline to start from has {flag} {value}, which --{flag} cannot"
        " change: leave the flag out, or train without --init."
      )
  return dataclasses.replace(config, pipeline=own)


SUBCOMMAND = Subcommand(
  name="train",
  summary="Learn, from a folder of labelled models, what tells them apart.",
  details="""
    Two networks learn together: one where to stand and how to light a model,
    the other to tell models by the pictures. A model's class is the name of
    the folder that its file is in, or what --labels says. Files that cannot
    be read are listed and left out.

    A run that was interrupted goes on where it stopped when the same command
    is given again. WORKDIR/pipeline is what the other verbs use;
    WORKDIR/log.jsonl tells how the training went, a line a step.
  """,
  example="dr3d train --models=models --workdir=work",
  flags=(
    Flag(
      "models",
      "Folder of mesh files, subfolders included.",
      "DIR",
      required=True,
    ),
    Flag("workdir", "Folder of this training run; made.", "DIR", required=True),
    Flag(
      "labels",
      "Table with the columns file and class, instead of the folders' names.",
      "FILE.csv",
    ),
    Flag(
      "init",
      "Pipeline to start from, whose views, size, faces and pose are kept:"
      " pretrained for the general one that ships with dr3d.",
      "DIR",
    ),
    Flag("steps", "Training steps.", "N", 600, "integer", least=1),
    Flag("views", "Pictures of a model.", "N", 6, "integer", least=2),
    Flag(
      "size",
      "Height and width of a picture, pixels; a multiple of 16.",
      "N",
      64,
      "integer",
      least=16,
      multiple=16,
    ),
    Flag(
      "faces",
      "Models are simplified to at most so many triangles.",
      "N",
      1024,
      "integer",
      least=4,
    ),
    Flag(
      "pose",
      "principal turns each model into its principal axes first, so that a"
      " query may lie as it likes; file trusts the axes of the files.",
      "NAME",
      "principal",
      choices=("principal", "file"),
    ),
    Flag(
      "explore",
      "Steps at the start in which models are seen from everywhere. After them"
      " the viewpoints are chosen that tell models apart, and learned on.",
      "N",
      0,
      "integer",
      least=0,
    ),
    Flag(
      "freeze",
      "What is not learned, with commas: viewpoint, camera, light, material,"
      " or all for fixed pictures.",
      "NAMES",
      "",
      "names",
      choices=(*PARTS, "all"),
    ),
    Flag("seed", "Another one gives another run.", "N", 0, "integer", least=0),
  ),
  run=run,
)
