"""How often is the answer right? Protocols and their measures.

A protocol is what is done to a query before it is asked: `"filed"` nothing;
`"turned"` a random rotation; `"scanned"` an imitated scan (noise, holes, coarse
mesh) in a random rotation. The gallery stays as its files are.
"""

import csv
import dataclasses
import hashlib
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dr3d.error import LabelError
from dr3d.folder import ModelFile
from dr3d.mesh import Mesh, make_mesh
from dr3d.mesh.meshfile import read_geometry
from dr3d.mesh.scan import imitate_scan, random_rotation
from dr3d.reading import Reading
from dr3d.search.query import Answer, find_matches, make_gallery

if TYPE_CHECKING:
  from dr3d.pipeline import Pipeline

PROTOCOLS = ("filed", "turned", "scanned")

_COLUMNS = ("class", "file", "split")


@dataclasses.dataclass(frozen=True)
class Score:
  """What a list of answers is worth.

  Attributes:
    count: answers.
    accuracy: share whose predicted label is right.
    accepted: share that is called reliable.
    precision: share of the reliable ones that is right; NaN where none is.
  """

  count: int
  accuracy: float
  accepted: float
  precision: float


@dataclasses.dataclass(frozen=True)
class Result:
  """A pipeline under a protocol.

  Attributes:
    protocol: one of `PROTOCOLS`.
    score: of all queries.
    seconds: to embed all queries and to find their matches.
  """

  protocol: str
  score: Score
  seconds: float


def read_splits(
  directory: str | os.PathLike[str],
  table: str | os.PathLike[str] | None = None,
) -> dict[str, list[ModelFile]]:
  """Reads which files are for training and which for testing.

  Args:
    directory: folder of the mesh files.
    table: CSV file with at least the columns class, file (relative to the
      folder) and split; `index.csv` in the folder where None.

  Returns:
    The models of each split, in the order of the table.

  Raises:
    LabelError: the table cannot be read, lacks a column, or has no row.
  """
  root = pathlib.Path(directory)
  path = root / "index.csv" if table is None else pathlib.Path(table)
  try:
    with path.open(encoding="utf-8-sig", newline="") as file:
      rows = csv.DictReader(file)
      missing = [c for c in _COLUMNS if c not in (rows.fieldnames or ())]
      if missing:
        raise LabelError(f"{path} lacks the column {' and '.join(missing)}.")
      splits: dict[str, list[ModelFile]] = {}
      for row in rows:
        label, name, split = (row[column] or "" for column in _COLUMNS)
        model = ModelFile(root / name, name, label)
        splits.setdefault(split, []).append(model)
  except OSError as error:
    raise LabelError(f"{path} cannot be read ({error.strerror}).") from error
  except (csv.Error, UnicodeDecodeError) as error:
    raise LabelError(f"{path} is no CSV file in UTF-8 ({error}).") from error
  if not splits:
    raise LabelError(f"{path} lists no file.")
  return splits


def make_query(
  vertices: np.ndarray,
  faces: np.ndarray,
  rng: np.random.Generator,
  *,
  protocol: str,
  face_budget: int | None,
) -> Mesh:
  """Does to a model what the protocol says.

  Args:
    vertices: float `[V, 3]`, in any unit.
    faces: int `[F, 3]`.
    rng: source of the rotation and of the scan.
    protocol: one of `PROTOCOLS`.
    face_budget: at most so many faces.

  Raises:
    MeshError: the arrays are no mesh.
    ValueError: the protocol is unknown.
  """
  if protocol not in PROTOCOLS:
    raise ValueError(f"protocol must be one of {PROTOCOLS}, got {protocol!r}.")
  if protocol != "filed":
    vertices = vertices @ random_rotation(rng).T
  if protocol == "scanned":
    vertices, faces = imitate_scan(vertices, faces, rng=rng)
  return make_mesh(vertices, faces, face_budget=face_budget)


def read_queries(
  files: Sequence[ModelFile],
  *,
  face_budget: int | None,
  seed: int = 0,
  progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Mesh]]:
  """Reads the queries of all protocols.

  A query hangs on the seed and the file's name alone.

  Args:
    files: the models to ask for.
    face_budget: at most so many faces.
    seed: another one turns and scans otherwise.
    progress: called after each file with the files done and all files.

  Returns:
    The meshes by protocol, in the order of the files.

  Raises:
    MeshError: a file cannot become a mesh.
  """
  queries: dict[str, list[Mesh]] = {protocol: [] for protocol in PROTOCOLS}
  for done, file in enumerate(files, start=1):
    vertices, faces = read_geometry(file.path)
    for protocol, meshes in queries.items():
      text = f"{seed}/{protocol}/{file.name}"
      digest = hashlib.sha256(text.encode()).digest()
      rng = np.random.default_rng(list(digest))
      meshes.append(
        make_query(
          vertices, faces, rng, protocol=protocol, face_budget=face_budget
        )
      )
    if progress is not None:
      progress(done, len(files))
  return queries


def evaluate(
  pipeline: "Pipeline",
  gallery: Reading,
  queries: Mapping[str, Sequence[Mesh]],
  labels: Sequence[str],
) -> list[Result]:
  """Indexes a gallery and asks for the queries of each protocol.

  Args:
    pipeline: makes the vectors.
    gallery: the known models.
    queries: meshes by protocol.
    labels: what the queries of every protocol are.

  Returns:
    A result for each protocol, in their order.
  """
  index = make_gallery(
    pipeline.embed(list(gallery.meshes)),
    [file.name for file in gallery.files],
    gallery.labels,
  )
  results = []
  for protocol, meshes in queries.items():
    begin = time.perf_counter()
    answers = [
      find_matches(features, index) for features in pipeline.embed(list(meshes))
    ]
    seconds = time.perf_counter() - begin
    results.append(Result(protocol, score_answers(answers, labels), seconds))
  return results


def score_answers(answers: Sequence[Answer], labels: Sequence[str]) -> Score:
  """Compares answers with what the queries are.

  Args:
    answers: at least one.
    labels: the true label of each.

  Raises:
    ValueError: no answers, or another number of labels.
  """
  if not answers or len(answers) != len(labels):
    raise ValueError(
      "there must be answers and as many labels, got"
      f" {len(answers)} answers and {len(labels)} labels."
    )
  predictions = [answer.prediction for answer in answers]
  right = [
    p.label == label for p, label in zip(predictions, labels, strict=True)
  ]
  trusted = [r for r, p in zip(right, predictions, strict=True) if p.reliable]
  return Score(
    count=len(answers),
    accuracy=sum(right) / len(right),
    accepted=len(trusted) / len(right),
    precision=sum(trusted) / len(trusted) if trusted else math.nan,
  )


def tabulate(results: Mapping[str, Sequence[Result]]) -> list[list[str]]:
  """The results of several pipelines as rows, equal protocols together.

  Args:
    results: of each pipeline, by its name.

  Returns:
    Rows of `HEADER`.
  """
  rows = [
    [
      result.protocol,
      name,
      str(result.score.count),
      f"{result.score.accuracy:.3f}",
      f"{result.score.accepted:.3f}",
      f"{result.score.precision:.3f}",
      f"{1000 * result.seconds / result.score.count:.1f}",
    ]
    for name, several in results.items()
    for result in several
  ]
  order = {protocol: i for i, protocol in enumerate(PROTOCOLS)}
  return sorted(rows, key=lambda row: order[row[0]])


HEADER = (
  "queries",
  "pipeline",
  "count",
  "accuracy",
  "reliable",
  "accuracy of these",
  "ms a query",
)
