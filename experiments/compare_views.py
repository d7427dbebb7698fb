r"""Learned viewpoints beside viewpoints that are not, on classes not seen.

    python -m experiments.compare_views --data=parts --out=work/views

Every second class of the table is trained on, the others are searched: each of
their models, turned at random, among all the others as filed (leave-one-out).
For each number of views and each seed, T is trained from scratch under
viewpoints that are

* `sphere`, `ring`, `random`: fixed;
* `task`: moved by the loss of T (MVTN);
* `learned`: moved by L_G as it is meant;
* `literal`: moved by L_G as it is printed;

the last three from those of the sphere. Lights, cameras and material stay.
Prints mAP, the mean over queries and seeds, and how far each is behind or ahead
of `learned`, with the interval of 95 % of that difference over queries.

The same command goes on where an interrupted one stopped: what is done is kept
in OUT, a folder for each training.
"""

import csv
import dataclasses
import pathlib

import numpy as np
from absl import app, flags

from dr3d.cli import environment, report
from dr3d.table import format_table

KINDS = ("sphere", "ring", "random", "task", "learned", "literal")

DATA = flags.DEFINE_string("data", None, "Folder of mesh files.", required=True)
INDEX = flags.DEFINE_string(
  "index_csv", None, "Columns class and file. Default: DATA/index.csv."
)
OUT = flags.DEFINE_string("out", None, "Folder of the runs.", required=True)
VIEWS = flags.DEFINE_list("views", ["1", "2", "3", "6", "12"], "Numbers N.")
KIND = flags.DEFINE_list("kinds", list(KINDS), "Viewpoints to compare.")
SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings of each.")
STEPS = flags.DEFINE_integer("steps", 300, "Of a training.")
RATE = flags.DEFINE_float("render_rate", 1e-2, "Of the viewpoints that move.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.evaluation.average import resample

  out = pathlib.Path(OUT.value)
  seen, unseen = _split(pathlib.Path(DATA.value), INDEX.value)
  known = _read(seen, turned=False)
  gallery, queries = (_read(unseen, turned=turned) for turned in (False, True))
  labels = np.array([label for label, _ in unseen])
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
  print(f"{len(seen)} models trained on, {len(unseen)} searched")
  print(format_table(("N", "views", "mAP", "beside learned"), rows))


def _split(root, table):
  """Labels and files of every second class, and of the others."""
  with pathlib.Path(table or root / "index.csv").open(newline="") as file:
    rows = [(row["class"], root / row["file"]) for row in csv.DictReader(file)]
  chosen = set(sorted({label for label, _ in rows})[::2])
  seen = [row for row in rows if row[0] in chosen]
  return seen, [row for row in rows if row[0] not in chosen]


def _read(rows, *, turned):
  from dr3d.evaluation.protocol import Protocol, make_query
  from dr3d.mesh.meshfile import read_geometry
  from dr3d.pipeline import PipelineConfig

  protocol = Protocol(rotation="so3" if turned else "none")
  meshes = []
  with report.progress(len(rows), "reading") as progress:
    for done, (_, path) in enumerate(rows, start=1):
      meshes.append(
        make_query(
          *read_geometry(path),
          name=path.name,
          protocol=protocol,
          face_budget=PipelineConfig().face_budget,
        )
      )
      progress(done, len(rows))
  return meshes


def _measure(workdir, *, known, sides, kind, count, seed):
  """Average precision of each query, [Q]."""
  from dr3d.evaluation import metric
  from dr3d.evaluation.likeness import compare_vectors

  path = workdir / "precision.npy"
  if path.exists():
    return np.load(path)
  pipeline = _train(workdir, known, kind=kind, count=count, seed=seed)
  queries, gallery, labels = sides
  likeness = compare_vectors(
    pipeline.embed(queries), pipeline.embed(gallery), kind="posed"
  )
  relevant = labels[:, None] == labels
  own = np.arange(len(labels))
  relevant[own, own] = False
  order = metric.rank_models(likeness.whole, relevant, excluded=own)
  values = metric.average_precision(metric.take_hits(relevant, order))
  np.save(path, values)
  print(f"{workdir.name}: mAP {100 * values.mean():.1f}", flush=True)
  return values


def _train(workdir, known, *, kind, count, seed):
  import jax

  from dr3d.pipeline import Pipeline
  from dr3d.training.train import TrainConfig, train
  from dr3d.view import make_views, random_views, ring_views

  base = TrainConfig()
  replace = dataclasses.replace
  moves = kind in ("task", "learned", "literal")
  objective = {"task": "task", "literal": "literal"}.get(kind, "intent")
  config = replace(
    base,
    seed=seed,
    pipeline=replace(base.pipeline, view_count=count),
    loss=replace(base.loss, objective=objective),
    optimizer=replace(
      base.optimizer,
      steps=STEPS.value,
      render_rate=RATE.value,
      trainable=("viewpoint",) if moves else (),
    ),
  )
  init = Pipeline.create(config.pipeline, seed=seed)
  if kind in ("ring", "random"):
    quaternion = (
      ring_views(count)
      if kind == "ring"
      else random_views(jax.random.key(seed), count=count)
    )
    init = replace(init, views=make_views(quaternion))
  return train(
    *known, config=config, workdir=workdir, init=init, progress=False
  )


if __name__ == "__main__":
  app.run(main)
