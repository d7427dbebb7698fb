r"""Measures precision and false-accept rate of accepted predictions.

    python -m experiments.measure_calibration --data=parts --third
    unzip dr3d/data/catalogue.zip -d catalogue
    python -m experiments.measure_calibration --data=catalogue
    python -m experiments.make_general --families=150 --members=4 --seed=77 \
      --out=work/families
    python -m experiments.measure_calibration --data=work/families

Each model is a query to all others, or with --third a third of the models to
the rest: in original pose, rotated, and as simulated scans of several seeds.

A row of the first table is a rule that accepts predictions. "all votes": all
views vote for the label. "probable": the probability reaches the target
precision of 99 %. "near": also, the nearest model is nearer than unknown-class
queries. "accepted": the same with verified matches, as dr3d does. Columns: the
share of predictions that are accepted, the share of right ones among them, the
number of wrong ones, and the false-accept rate. This is the share that would be
accepted if the gallery held no model of the query's class. The second table
compares predicted probabilities with the share of right predictions.
"""

import csv
import functools
import itertools
import os
import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags

from dr3d.data.folder import ModelFile, find_models
from dr3d.error import Dr3dError
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.evaluation.report.table import format_table
from dr3d.mesh import Mesh
from dr3d.mesh.io.reader import read_geometry
from dr3d.mesh.packing import pack_mesh
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.registration.surface import Fit
from dr3d.retrieval.pipeline import Pipeline
from dr3d.runtime import pool
from dr3d.search import verification
from dr3d.search.answer import AMBIGUOUS, Prediction
from dr3d.search.gallery import Gallery, make_gallery
from dr3d.search.matching import find_matches
from dr3d.search.query import Query
from experiments.partition import read_splits

DATA = flags.DEFINE_string(
  "data", None, "Folder of models, by class.", required=True
)
PIPELINE = flags.DEFINE_string(
  "pipeline", None, "Folder of a pipeline; default: the shipped one."
)
THIRD = flags.DEFINE_bool(
  "third", False, "Query with a third of the train split of DATA/index.csv."
)
SEEDS = flags.DEFINE_integer("seeds", 2, "Seeds of the scans.", lower_bound=1)

RULES = {
  "all votes": lambda vote, _: vote.label != "" and vote.confidence == 1,
  "probable": lambda vote, _: vote.reject_reason != AMBIGUOUS,
  "near": lambda vote, _: vote.accepted,
  "accepted": lambda _, verified: verified.accepted,
}
BIN_EDGES = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.0001)


def main(_) -> None:
  pipeline = Pipeline.load(PIPELINE.value)
  files, asked = read_models()
  labels = [file.label for file in files]
  names = [file.name for file in files]
  shapes = [read_geometry(file.path) for file in files]

  def embed(which, protocol):
    meshes = [
      make_query(
        *shapes[i],
        name=names[i],
        protocol=protocol,
        face_budget=pipeline.face_budget,
      )
      for i in which
    ]
    return meshes, pipeline.embed(meshes)

  meshes, every = embed(range(len(files)), Protocol())
  packed = dict(zip(names, map(pack_mesh, meshes), strict=True))
  stored = [i for i in range(len(files)) if not (THIRD.value and i in asked)]
  gallery = make_gallery(
    every[stored], [names[i] for i in stored], [labels[i] for i in stored]
  )
  shared = [i for i in asked if labels[i] in gallery.labels]
  others = {
    label: [
      n
      for n, l in zip(gallery.names, gallery.labels, strict=True)
      if l != label
    ]
    for label in set(gallery.labels)
  }
  runs = {
    "original pose": [([meshes[i] for i in shared], every[shared])],
    "rotated": [embed(shared, Protocol(rotation="so3"))],
    "scans": [
      embed(shared, Protocol(rotation="so3", scan=True, seed=seed))
      for seed in range(SEEDS.value)
    ],
  }
  rows: list[list[str]] = []
  found: list[tuple[float, bool]] = []
  for run, several in runs.items():
    queries = [mesh for asked_meshes, _ in several for mesh in asked_meshes]
    vectors = np.concatenate([features for _, features in several])
    models = shared * len(several)
    known, unknown = (
      predict_each(queries, vectors, gallery, packed, options)
      for options in (
        [{"exclude": [names[i]]} for i in models],
        [{"only": others[labels[i]]} for i in models],
      )
    )
    right = np.array(
      [
        verified.label == labels[i]
        for (_, verified), i in zip(known, models, strict=True)
      ]
    )
    found += [
      (verified.probability, is_right)
      for (_, verified), is_right in zip(known, right, strict=True)
    ]
    for rule, accept in RULES.items():
      chosen = np.array([accept(*one) for one in known])
      false_accept = np.mean([accept(*one) for one in unknown])
      rows.append(
        [
          f"{run}, {len(known)}",
          rule,
          f"{chosen.mean():.3f}",
          f"{right[chosen].mean():.4f}" if chosen.any() else "-",
          str((chosen & ~right).sum()),
          f"{false_accept:.3f}",
        ]
      )
  print(f"{len(shared)} query models, {len(stored)} models searched.\n")
  header = ["queries", "rule", "accepted", "right", "wrong", "false_accept"]
  print(format_table(header, rows, right=range(2, 6)))
  print()
  print_calibration(np.array(found))


def read_models() -> tuple[list[ModelFile], list[int]]:
  """Returns the models, and the indices of those that are queries."""
  root = pathlib.Path(DATA.value)
  if not THIRD.value:
    files = find_models(root)
    return files, list(range(len(files)))
  files = read_splits(root)["train"]
  with (root / "index.csv").open(newline="") as table:
    group = {
      row["file"]: row.get("near_duplicate_group") or row["file"]
      for row in csv.DictReader(table)
    }
  third = [zlib.crc32(group[file.name].encode()) % 3 == 0 for file in files]
  return files, [int(i) for i in np.flatnonzero(third)]


def predict_each(
  queries: Sequence[Mesh],
  vectors: np.ndarray,
  gallery: Gallery,
  packed: dict[str, bytes],
  options: Sequence[dict[str, Any]],
) -> list[tuple[Prediction, Prediction]]:
  """Predicts by votes alone, and with verified matches."""
  votes = [
    find_matches(one, gallery, k=VERIFIED_COUNT, **chosen)
    for one, chosen in zip(vectors, options, strict=True)
  ]
  several = [[match.model for match in answer.matches] for answer in votes]
  calls = (
    {"mesh": mesh, "packed": [packed[name] for name in names]}
    for mesh, names in zip(queries, several, strict=True)
  )
  distances = pool.call_each(
    f"{verification.__name__}:{verification.measure_fits.__name__}",
    calls,
    limits=pool.Limits(),
    count=os.cpu_count() or 1,
  )
  found = []
  for answer, one, chosen, names, measured in zip(
    votes, vectors, options, several, distances, strict=True
  ):
    if isinstance(measured, Dr3dError):
      raise measured
    fits = dict(zip(names, measured, strict=True))
    again = find_matches(
      Query(one), gallery, register=functools.partial(_choose, fits), **chosen
    )
    found.append((answer.prediction, again.prediction))
  return found


def _choose(fits: dict[str, Fit], names: Sequence[str]) -> dict[str, Fit]:
  return {name: fits[name] for name in names}


def print_calibration(found: np.ndarray) -> None:
  """Prints predicted probabilities [S, 2] beside the share of right ones."""
  rows = []
  for low, high in itertools.pairwise(BIN_EDGES):
    inside = found[(found[:, 0] >= low) & (found[:, 0] < high)]
    if len(inside):
      mean, right = inside.mean(axis=0)
      span = f"{low:g} to {min(high, 1):g}"
      rows.append([span, str(len(inside)), f"{mean:.3f}", f"{right:.3f}"])
  header = ["probability", "predictions", "predicted", "right"]
  print(format_table(header, rows, right=range(1, 4)))


if __name__ == "__main__":
  app.run(main)
