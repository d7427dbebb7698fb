"""Every second class is trained on; the models of the others are searched.

The split, the meshes and the measure that several comparisons share.
"""

import collections
import csv
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dr3d.cli import console
from experiments.partition import second_classes

if TYPE_CHECKING:
  from dr3d.mesh import Mesh
  from dr3d.retrieval.pipeline import Pipeline

Row = tuple[str, pathlib.Path]
"""Class and file of a model."""


def split_classes(
  root: pathlib.Path, table: str | os.PathLike[str] | None = None
) -> tuple[list[Row], list[Row]]:
  """Returns the models of every second class, and those of the others.

  Args:
    root: folder of the mesh files.
    table: columns class and file; `index.csv` in the folder if None.
  """
  with pathlib.Path(table or root / "index.csv").open(newline="") as file:
    rows = [(row["class"], root / row["file"]) for row in csv.DictReader(file)]
  chosen = second_classes(label for label, _ in rows)
  seen = [row for row in rows if row[0] in chosen]
  return seen, [row for row in rows if row[0] not in chosen]


def limit_models(rows: Sequence[Row], largest: int) -> list[Row]:
  """The first models of each class, at most so many; all if 0."""
  count: collections.Counter[str] = collections.Counter()
  kept = []
  for label, path in rows:
    count[label] += 1
    if not largest or count[label] <= largest:
      kept.append((label, path))
  return kept


def read_meshes(rows: Sequence[Row], *, rotated: bool) -> "list[Mesh]":
  """Reads models in their original pose, or each rotated at random."""
  from dr3d.evaluation.protocol import Protocol, make_query
  from dr3d.mesh.io.reader import read_geometry
  from dr3d.retrieval.pipeline import PipelineConfig

  protocol = Protocol(rotation="so3" if rotated else "none")
  meshes = []
  with console.progress(len(rows), "reading") as progress:
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


def measure_precision(
  pipeline: "Pipeline",
  queries: "Sequence[Mesh]",
  gallery: "Sequence[Mesh]",
  labels: np.ndarray,
) -> np.ndarray:
  """Average precision of each query among the other models: [Q].

  Args:
    pipeline: embeds both.
    queries: Q models.
    gallery: the same models, of which a query leaves out its own.
    labels: str [Q].
  """
  from dr3d.evaluation import metric
  from dr3d.evaluation.similarity import compare_vectors

  similarity = compare_vectors(
    pipeline.embed(queries), pipeline.embed(gallery), kind="view_aligned"
  )
  relevant = labels[:, None] == labels
  own = np.arange(len(labels))
  relevant[own, own] = False
  order = metric.rank_models(similarity.whole, relevant, excluded=own)
  return metric.average_precision(metric.take_hits(relevant, order))
