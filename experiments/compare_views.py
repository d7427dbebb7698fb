"""Compares learned viewpoints with fixed ones on classes not trained on.

    python -m experiments.compare_views --data=parts --out=work/views

Every second class of the table is trained on; the others are the test set. Each
of their models, rotated at random, is a query to all the others in their
original pose (leave-one-out). For each seed T learns from scratch under
viewpoints that are drawn again at each step. For each number of views T then
trains further under one of these kinds of viewpoints:

* `sphere`, `ring`, `random`: fixed;
* `task`: from the sphere, moved by the loss of T (as MVTN does);
* `literal`: from the sphere, moved by L_G as the patent prints it;
* `images`: from the sphere, moved by L_G as the patent means it, of images;
* `learned`: chosen by L_G between models, then moved by it.

Lights, cameras and material stay fixed. Prints mAP, the mean over queries and
seeds, and its difference from `learned` with a 95 % interval over queries.

The same command resumes after an interruption: OUT keeps a folder for each
training. Several processes may share OUT if their trainings differ.
"""

import dataclasses
import pathlib

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table
from experiments import unseen

# The objective that moves each kind of viewpoints; None if they are fixed.
OBJECTIVES = {
  "sphere": None,
  "ring": None,
  "random": None,
  "task": "task",
  "literal": "literal",
  "images": "intent",
  "learned": "models",
}

MAX_VIEWS = 12  # that L_G chooses, in order, so the first are the best few

DATA = flags.DEFINE_string("data", None, "Folder of mesh files.", required=True)
INDEX = flags.DEFINE_string(
  "index_csv", None, "Columns class and file. Default: DATA/index.csv."
)
OUT = flags.DEFINE_string("out", None, "Folder of the runs.", required=True)
VIEWS = flags.DEFINE_list(
  "views", ["1", "2", "3", "6", "12"], "Numbers of views N."
)
KIND = flags.DEFINE_list(
  "kinds", list(OBJECTIVES), "Kinds of viewpoints to compare."
)
SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings of each kind.")
STEPS = flags.DEFINE_integer("steps", 300, "Steps under random viewpoints.")
FURTHER = flags.DEFINE_integer(
  "further", 60, "Steps under each kind of viewpoints."
)
RATE = flags.DEFINE_float(
  "render_rate", 1e-2, "Learning rate of viewpoints that move."
)


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.evaluation.average import resample

  out = pathlib.Path(OUT.value)
  seen, others = unseen.split_classes(pathlib.Path(DATA.value), INDEX.value)
  known = unseen.read_meshes(seen, rotated=False)
  gallery, queries = (
    unseen.read_meshes(others, rotated=rotated) for rotated in (False, True)
  )
  labels = np.array([label for label, _ in others])
  draws = resample(len(labels)) / len(labels)
  rows = []
  for count in map(int, VIEWS.value):
    found = {
      kind: np.mean(
        [
          _measure(
            out / f"{kind}_{count}_{seed}",
            known=(known, [label for label, _ in seen]),
            sides=(queries, gallery, labels),
            kind=kind,
            count=count,
            seed=seed,
          )
          for seed in range(SEEDS.value)
        ],
        axis=0,
      )
      for kind in KIND.value
    }
    for kind, values in found.items():
      row = [str(count), kind, f"{100 * values.mean():.1f}"]
      if kind != "learned" and "learned" in found:
        gap = 100 * (values - found["learned"])
        low, high = np.percentile(draws @ gap, [2.5, 97.5])
        row.append(f"{gap.mean():+.1f} ({low:+.1f} to {high:+.1f})")
      else:
        row.append("")
      rows.append(row)
  print(f"{len(seen)} models trained on, {len(others)} searched")
  print(format_table(("N", "views", "mAP", "minus learned"), rows))


def _measure(workdir, *, known, sides, kind, count, seed):
  """Trains if needed; returns the average precision of each query, [Q]."""
  path = workdir / "precision.npy"
  if path.exists():
    return np.load(path)
  pipeline = _train(workdir, known, kind=kind, count=count, seed=seed)
  values = unseen.measure_precision(pipeline, *sides)
  np.save(path, values)
  print(f"{workdir.name}: mAP {100 * values.mean():.1f}", flush=True)
  return values


def _train(workdir, known, *, kind, count, seed):
  import jax

  from dr3d.camera.view import (
    make_views,
    random_views,
    ring_views,
    sphere_views,
  )
  from dr3d.retrieval.train import train

  replace = dataclasses.replace
  around = _train_random(workdir.parent / f"around_{seed}", known, seed)
  match kind:
    case "learned":
      quaternion = around.views.quaternion[:count]
    case "ring":
      quaternion = ring_views(count)
    case "random":
      key = jax.random.fold_in(jax.random.key(seed), count)
      quaternion = random_views(key, count=count)
    case _:
      quaternion = sphere_views(count)
  init = replace(
    around,
    config=replace(around.config, view_count=count),
    views=make_views(quaternion),
  )
  objective = OBJECTIVES[kind]
  config = _configure(seed, objective=objective or "intent")
  config = replace(
    config,
    pipeline=init.config,
    optimizer=replace(
      config.optimizer,
      steps=FURTHER.value,
      render_rate=RATE.value,
      trainable=("viewpoint",) if objective else (),
    ),
  )
  return train(
    *known, config=config, workdir=workdir, init=init, progress=False
  )


def _train_random(workdir, known, seed):
  """Trains T under random viewpoints, then lets L_G choose viewpoints."""
  from dr3d.retrieval.train import train

  config = _configure(seed, objective="models")
  config = dataclasses.replace(
    config,
    pipeline=dataclasses.replace(
      config.pipeline, view_count=max(MAX_VIEWS, *map(int, VIEWS.value))
    ),
    optimizer=dataclasses.replace(
      config.optimizer, steps=STEPS.value, explore=STEPS.value, trainable=()
    ),
  )
  return train(*known, config=config, workdir=workdir, progress=False)


def _configure(seed, *, objective):
  from dr3d.retrieval.recipe import TrainConfig

  base = TrainConfig(seed=seed)
  return dataclasses.replace(
    base,
    batch=dataclasses.replace(base.batch, models_per_class=2),
    loss=dataclasses.replace(base.loss, objective=objective),
  )


if __name__ == "__main__":
  app.run(main)
