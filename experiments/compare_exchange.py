"""Compares what the views of a model exchange information by, inside of T.

    python -m experiments.compare_exchange --data=parts --out=work/exchange

Every second class of the table is trained on; each model of the others, rotated
at random, is a query to the rest in their original pose (leave-one-out). Rows:

* `none`: each image by itself;
* `attention`, `norm`, `recurrence`: see `dr3d.nn.exchange`;
* `none, three views`: the default, 32 models under three of the six views.

All rows train for as many steps from one seed on as many images: 16 models
under all six views of a sphere, which stay fixed. Prints mAP, its difference
from `none` with a 95 % interval over queries, and the time of a step.

The same command resumes after an interruption: OUT keeps a folder for each row
and seed.

References:
  WO 2021/178001 [0022].
"""

import dataclasses
import pathlib
import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table
from experiments import unseen

THREE = "none, three views"
ROWS = ("none", "attention", "norm", "recurrence", THREE)
MODELS = 16  # of a batch with six views, as many images as 32 with three

DATA = flags.DEFINE_string("data", None, "Folder of mesh files.", required=True)
INDEX = flags.DEFINE_string(
  "index_csv", None, "Columns class and file. Default: DATA/index.csv."
)
OUT = flags.DEFINE_string("out", None, "Folder of the runs.", required=True)
STEPS = flags.DEFINE_integer("steps", 300, "Steps of each training.")
SEEDS = flags.DEFINE_integer("seeds", 1, "Trainings of each row.")
KIND = flags.DEFINE_list("rows", ["all"], "Rows to compare with the first.")
SIZE = flags.DEFINE_integer("size", 64, "Height and width of an image, pixels.")
LIMIT = flags.DEFINE_integer(
  "limit", 0, "Models of a class that count, the first ones; 0 for all."
)


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.evaluation.average import resample

  seen, others = unseen.split_classes(pathlib.Path(DATA.value), INDEX.value)
  seen, others = (
    unseen.limit_models(rows, LIMIT.value) for rows in (seen, others)
  )
  known = unseen.read_meshes(seen, rotated=False)
  gallery, queries = (
    unseen.read_meshes(others, rotated=rotated) for rotated in (False, True)
  )
  labels = np.array([label for label, _ in others])
  draws = resample(len(labels)) / len(labels)
  found = {
    row: _average(
      row, (known, [label for label, _ in seen]), (queries, gallery, labels)
    )
    for row in ROWS
    if row == "none" or row in KIND.value or "all" in KIND.value
  }
  table = []
  for row, (values, seconds) in found.items():
    gap = 100 * (values - found["none"][0])
    low, high = np.percentile(draws @ gap, [2.5, 97.5])
    table.append(
      (
        row,
        f"{100 * values.mean():.1f}",
        f"{gap.mean():+.1f} ({low:+.1f} to {high:+.1f})",
        f"{seconds / STEPS.value:.2f}",
      )
    )
  print(f"{len(seen)} models trained on, {len(others)} searched")
  print(format_table(("exchange", "mAP", "minus none", "s a step"), table))


def _average(row, known, sides):
  """Mean over seeds of the average precision [Q], and of the seconds."""
  parts = [_measure(row, seed, known, sides) for seed in range(SEEDS.value)]
  return (
    np.mean([values for values, _ in parts], axis=0),
    float(np.mean([seconds for _, seconds in parts])),
  )


def _measure(row, seed, known, sides):
  from dr3d.retrieval.train import train

  workdir = pathlib.Path(OUT.value) / f"{row.replace(', ', '_')}_{seed}"
  path = workdir / "precision.npz"
  if path.exists():
    saved = np.load(path)
    return saved["values"], float(saved["seconds"])
  begin = time.process_time()
  pipeline = train(
    *known, config=_configure(row, seed), workdir=workdir, progress=False
  )
  seconds = time.process_time() - begin
  values = unseen.measure_precision(pipeline, *sides)
  np.savez(path, values=values, seconds=seconds)
  print(
    f"{workdir.name}: mAP {100 * values.mean():.1f}, {seconds:.0f} CPU s",
    flush=True,
  )
  return values, seconds


def _configure(row, seed):
  from dr3d.retrieval.recipe import TrainConfig

  replace = dataclasses.replace
  base = TrainConfig(seed=seed)
  batch, embed = base.batch, base.pipeline.embed
  if row != THREE:
    batch = replace(batch, view_count=None, model_count=MODELS)
    embed = replace(
      embed,
      attention=row == "attention",
      exchange=row if row in ("norm", "recurrence") else "none",
    )
  return replace(
    base,
    batch=batch,
    pipeline=replace(
      base.pipeline,
      embed=embed,
      render=replace(base.pipeline.render, size=SIZE.value),
    ),
    optimizer=replace(base.optimizer, steps=STEPS.value, trainable=()),
  )


if __name__ == "__main__":
  app.run(main)
