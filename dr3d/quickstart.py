"""Shows the pipeline that ships at work on the sample parts, in a minute."""

import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import trimesh

from dr3d.data.folder import ModelFile, find_models
from dr3d.data.sample import split, unpack
from dr3d.database.writer import Database
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.evaluation.report import sheet
from dr3d.mesh import Mesh, load_mesh
from dr3d.mesh.io.reader import read_geometry
from dr3d.mesh.view_picture import draw_view
from dr3d.retrieval.pipeline import Pipeline
from dr3d.search.answer import Answer
from dr3d.search.query import Query

HELD_OUT = 2  # parts of each class that are queries and not in the database
SHEET_QUERIES = 8  # on the contact sheet
SHEET_MATCHES = 3  # of a query on the contact sheet
SHEET_VIEWS = 3  # of a query on the contact sheet; of a match one less
VIEW_SIZE = 144  # on the contact sheet, pixels
_DISTANCE = 4.0  # of its cameras, radii
SCANNED = Protocol("so3", scan=True)
_UNKNOWN = 2  # every second scan asks as one of an unknown kind, too
_QUERIES_AT_ONCE = 2  # the machine that must be done in a minute has two cores

T = TypeVar("T")

ShowStage = Callable[[str, int, int], None]
"""Takes the name of a stage, the items done and all items."""


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
  """A simulated scan and its answers.

  Attributes:
    file: the scan; its label is the true one.
    query: the scan as the database searches for it.
    answer: from the whole database.
    unknown: from the database without the models of the true label; None if
      that was not asked.
  """

  file: ModelFile
  query: Query
  answer: Answer
  unknown: Answer | None


@dataclasses.dataclass(frozen=True)
class Tally:
  """What the answers to all scans amount to; each field counts scans.

  Attributes:
    count: all.
    right: those whose predicted label is the true one.
    accepted: those whose prediction is accepted.
    accepted_right: accepted, with the true label.
    unknown: asked without the models of the true label as well.
    false_accepts: of these, accepted nevertheless.
    classes: labels in the database.
  """

  count: int
  right: int
  accepted: int
  accepted_right: int
  unknown: int
  false_accepts: int
  classes: int


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a quickstart leaves.

  Attributes:
    tally: of the answers.
    database: folder of the database.
    picture: some scans beside their best matches.
    scan: the scan of the picture's first row.
    seconds: duration.
  """

  tally: Tally
  database: pathlib.Path
  picture: pathlib.Path
  scan: pathlib.Path
  seconds: float


def run(directory: str | os.PathLike[str], *, show: ShowStage) -> Outcome:
  """Indexes the sample parts and asks for others by simulated scans.

  Writes into the directory: `known/` and `held_out/`, the parts; `parts.db/`,
  the database of the known ones; `scanned/`, the held-out parts as simulated
  scans in random orientation; `answers.png`, some scans beside their best
  matches. After an interruption the same call resumes.

  Args:
    directory: made if missing.
    show: told how far each stage is.

  Raises:
    Dr3dError: the directory cannot be used.
  """
  begin = time.perf_counter()
  directory = pathlib.Path(directory)
  known, held_out = split_parts(directory)
  scans = list(
    _count(
      write_queries(held_out, SCANNED, directory / "scanned"),
      "simulating scans",
      len(held_out),
      show,
    )
  )
  pipeline = Pipeline.load()
  database = Database.create(directory / "parts.db", pipeline)
  show("indexing", 0, len(known))

  def show_indexing(done: int, total: int, failed: int = 0, /) -> None:
    del failed
    show("indexing", done, total)

  database.update(directory / "known", progress=show_indexing)
  questions = _ask(database, pipeline, scans[::HELD_OUT], show)
  step = max(1, len(questions) // SHEET_QUERIES)
  chosen = questions[::step][:SHEET_QUERIES]
  picture = directory / "answers.png"
  _draw_questions(chosen, pipeline, directory / "known", picture, show)
  return Outcome(
    tally=count_answers(questions, classes=len({f.label for f in known})),
    database=directory / "parts.db",
    picture=picture,
    scan=chosen[0].file.path,
    seconds=time.perf_counter() - begin,
  )


def count_answers(questions: Sequence[Question], *, classes: int) -> Tally:
  """Counts right and accepted answers."""
  predictions = [(q.answer.prediction, q.file.label) for q in questions]
  accepted = [(p, label) for p, label in predictions if p.accepted]
  unknown = [q.unknown for q in questions if q.unknown is not None]
  return Tally(
    count=len(questions),
    right=sum(p.label == label for p, label in predictions),
    accepted=len(accepted),
    accepted_right=sum(p.label == label for p, label in accepted),
    unknown=len(unknown),
    false_accepts=sum(answer.prediction.accepted for answer in unknown),
    classes=classes,
  )


def split_parts(
  directory: pathlib.Path,
) -> tuple[list[ModelFile], list[ModelFile]]:
  """Unpacks the parts and copies them to the known and the held-out ones."""
  catalogue = unpack(directory / "catalogue")
  parts = split(find_models(catalogue), held_out=HELD_OUT)
  for name, files in zip(("known", "held_out"), parts, strict=True):
    for file in files:
      target = directory / name / file.name
      target.parent.mkdir(parents=True, exist_ok=True)
      shutil.copyfile(file.path, target)
  return (
    find_models(directory / "known"),
    find_models(directory / "held_out"),
  )


def write_queries(
  held_out: Sequence[ModelFile], protocol: Protocol, directory: pathlib.Path
) -> Iterator[ModelFile]:
  """Applies the protocol to the held-out parts; yields an STL file of each."""
  for file in held_out:
    mesh = make_query(
      *read_geometry(file.path),
      name=file.name,
      protocol=protocol,
      face_budget=None,
    )
    path = (directory / file.name).with_suffix(".stl")
    path.parent.mkdir(parents=True, exist_ok=True)
    surface = trimesh.Trimesh(
      mesh.vertices * mesh.radius, mesh.faces, process=False
    )
    surface.export(path)
    yield ModelFile(path, path.name, file.label)


def draw_answers(
  answers: Iterable[tuple[ModelFile, Mesh, Answer]],
  pipeline: Pipeline,
  known: pathlib.Path,
  path: pathlib.Path,
) -> None:
  """Draws queries beside their best matches.

  Args:
    answers: files with their meshes and answers.
    pipeline: from whose viewpoints they are drawn.
    known: folder of the matches' files.
    path: image to write.
  """
  budget = pipeline.face_budget
  rows = []
  for file, mesh, answer in answers:
    matches = answer.matches[:SHEET_MATCHES]
    found = [load_mesh(known / m.model, face_budget=budget) for m in matches]
    query = _draw_model(mesh, pipeline, SHEET_VIEWS)
    images = [_draw_model(each, pipeline, SHEET_VIEWS - 1) for each in found]
    rows.append(
      sheet.Row(
        name=f"{file.path.parent.parent.name}: {file.name}",
        images=query,
        matches=[
          sheet.RenderedMatch(match, drawn)
          for match, drawn in zip(matches, images, strict=True)
        ],
        label=file.label,
        prediction=answer.prediction,
      )
    )
  sheet.save(sheet.draw_answers(rows, views=SHEET_VIEWS), path)


def _draw_model(mesh: Mesh, pipeline: Pipeline, count: int) -> np.ndarray:
  """Draws a mesh from the first viewpoints of a pipeline, in white light.

  The cameras are not the learned ones, which may cut off what does not help T.

  Returns:
    float32 `[count, VIEW_SIZE, VIEW_SIZE, 4]`.
  """
  return np.stack(
    [
      draw_view(mesh, quaternion, distance=_DISTANCE, size=VIEW_SIZE)
      for quaternion in np.asarray(pipeline.views.quaternion)[:count]
    ]
  )


def _ask(
  database: Database,
  pipeline: Pipeline,
  scans: Sequence[ModelFile],
  show: ShowStage,
) -> list[Question]:
  """Queries with each scan; some also without the models of their label."""
  show("asking", 0, len(scans))
  gallery = database.gallery
  budget = pipeline.face_budget
  meshes = [load_mesh(scan.path, face_budget=budget) for scan in scans]
  # Together, because the program for a batch is compiled already.
  features = pipeline.embed(meshes)

  def ask(
    number: int, scan: ModelFile, mesh: Mesh, vectors: np.ndarray
  ) -> Question:
    query = Query(vectors, mesh=mesh)
    same = {
      name
      for name, label in zip(gallery.names, gallery.labels, strict=True)
      if label == scan.label
    }
    return Question(
      scan,
      query,
      answer=database.query(query),
      unknown=database.query(query, exclude=same)
      if number % _UNKNOWN == 0
      else None,
    )

  # Registration keeps one core busy; two queries at a time use two.
  with concurrent.futures.ThreadPoolExecutor(_QUERIES_AT_ONCE) as executor:
    questions = executor.map(ask, range(len(scans)), scans, meshes, features)
    return list(_count(questions, "asking", len(scans), show))


def _draw_questions(
  questions: Sequence[Question],
  pipeline: Pipeline,
  known: pathlib.Path,
  path: pathlib.Path,
  show: ShowStage,
) -> None:
  """Draws the answers to some scans."""
  answers = [
    (question.file, question.query.mesh, question.answer)
    for question in questions
    if question.query.mesh is not None
  ]
  shown = _count(answers, "drawing", len(answers), show)
  draw_answers(shown, pipeline, known, path)


def _count(
  items: Iterable[T], what: str, total: int, show: ShowStage
) -> Iterator[T]:
  """Yields items and shows how many there were."""
  show(what, 0, total)
  for done, item in enumerate(items, start=1):
    yield item
    show(what, done, total)
