"""Runs all of dr3d on the shipped sample parts, within minutes."""

import dataclasses
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Sequence

import trimesh

from dr3d.data.collection import ModelCollection, read_models
from dr3d.data.folder import ModelFile, find_models
from dr3d.data.sample import split, unpack
from dr3d.database.writer import Database
from dr3d.evaluation.average import resample
from dr3d.evaluation.method import make_pipeline_method
from dr3d.evaluation.model_set import list_files
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.evaluation.report import sheet
from dr3d.evaluation.report.summary import VOTES, format_value, summarize
from dr3d.evaluation.report.table import format_table
from dr3d.evaluation.run import EvaluateConfig, Evaluation, evaluate
from dr3d.evaluation.task import VERIFIED
from dr3d.mesh import load_mesh
from dr3d.mesh.io.reader import read_geometry
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.state import OptimizerConfig
from dr3d.retrieval.train import train

HELD_OUT = 2  # parts of each class that are queries and not in the database
SHEET_QUERIES = 8  # on the contact sheet
VIEW_SIZE = 144  # on the contact sheet, pixels
PROTOCOLS = {
  "original": Protocol(),
  "rotated": Protocol("so3"),
  "scanned": Protocol("so3", scan=True),
}
MEASURES = ("NN", "mAP", *VOTES)
HEADER = ("queries", "views", "count", *MEASURES)

# A query verifies ten models; five take half the time.
EVALUATION = EvaluateConfig(searches=(VERIFIED,), verify=5)
# A fraction of a full training, which suffices to tell these classes apart.
CONFIG = TrainConfig(
  optimizer=OptimizerConfig(steps=200),
  checkpoint_every=60,  # steps; what an interruption can cost
)


def run(
  directory: str | os.PathLike[str], *, config: TrainConfig = CONFIG
) -> None:
  """Trains, indexes and queries the shipped catalogue; prints a table.

  Writes into the directory: `known/` and `held_out/`, the parts; `learned/` and
  `fixed/`, two training runs; `parts.db/`, the database; `rotated/` and
  `scanned/`, the held-out parts in random orientation and as simulated scans;
  `answers.png`, some queries beside their best matches. After an interruption
  the same call resumes.

  Args:
    directory: made if missing.
    config: of both runs; the run with fixed views freezes all of G.

  Raises:
    Dr3dError: the directory cannot be used.
  """
  begin = time.perf_counter()
  directory = pathlib.Path(directory)
  known, held_out = _split_parts(directory)
  budget = config.pipeline.face_budget
  gallery = read_models(known, face_budget=budget)
  classes = len(set(gallery.labels))
  _tell(
    f"{len(known)} known parts of {classes} classes, {len(held_out)} held out."
  )

  frozen = dataclasses.replace(config.optimizer, trainable=())
  runs = {
    "learned": config,
    "fixed": dataclasses.replace(config, optimizer=frozen),
  }
  pipelines = {}
  for name, run_config in runs.items():
    _tell(f"Training with {name} views, {config.optimizer.steps} steps.")
    pipelines[name] = train(
      gallery.meshes,
      gallery.labels,
      config=run_config,
      workdir=directory / name,
    )

  _tell("Indexing the known parts.")
  database = Database.create(directory / "parts.db", pipelines["learned"])
  database.update(directory / "known")
  files = {"original": held_out}
  for name, protocol in PROTOCOLS.items():
    if protocol.changes:
      files[name] = _write_queries(held_out, protocol, directory / name)
  rows = _evaluate(pipelines, gallery, files)
  _draw_answers(
    database,
    pipelines["learned"],
    files["rotated"],
    files["scanned"],
    directory / "answers.png",
  )

  print(format_table(HEADER, rows, right=range(2, len(HEADER))))
  print(
    "\nAll figures in percent. vote: held-out parts whose class the majority"
    f" vote names; guessing\nreaches {100 / classes:.1f}. accepted: accepted"
    " predictions. right: right ones among these.\nfalse_accept: predictions"
    " that would be accepted if the database held no part of their class.\n"
    f"{time.perf_counter() - begin:.0f} s in all. Look at"
    f" {directory / 'answers.png'}, then try a query yourself:\n"
    f"  dr3d query --db={directory / 'parts.db'} {files['scanned'][0].path}"
  )


def _split_parts(
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


def _evaluate(
  pipelines: dict[str, Pipeline],
  gallery: ModelCollection,
  files: dict[str, list[ModelFile]],
) -> list[list[str]]:
  """Evaluates each pipeline under each protocol; returns rows of `HEADER`."""
  known = {
    name: dataclasses.replace(
      list_files(gallery.files),
      meshes=gallery.meshes,
      features=pipeline.embed(list(gallery.meshes)),
    )
    for name, pipeline in pipelines.items()
  }
  rows = []
  for protocol, query_files in files.items():
    budget = pipelines["learned"].face_budget
    reading = read_models(query_files, face_budget=budget)
    queries = dataclasses.replace(
      list_files(reading.files), meshes=reading.meshes
    )
    for name, pipeline in pipelines.items():
      evaluation = evaluate(
        queries,
        known[name],
        [make_pipeline_method(pipeline, kind=EVALUATION.similarity)],
        own=False,
        config=EVALUATION,
      )
      rows.append([protocol, name, *_summarize(evaluation)])
  return rows


def _summarize(evaluation: Evaluation) -> list[str]:
  """Formats the number of queries, and the measures in percent."""
  count = len(evaluation.task.queries)
  means = summarize(
    evaluation.results[0],
    evaluation.task,
    target_precision=evaluation.config.target_precision,
    draws=resample(count, resamples=1),
  )
  return [str(count), *(format_value(means[name].micro) for name in MEASURES)]


def _write_queries(
  held_out: Sequence[ModelFile], protocol: Protocol, directory: pathlib.Path
) -> list[ModelFile]:
  """Applies the protocol to the held-out parts; writes an STL file of each."""
  files = []
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
    files.append(ModelFile(path, path.name, file.label))
  return files


def _draw_answers(
  database: Database,
  pipeline: Pipeline,
  rotated: Sequence[ModelFile],
  scanned: Sequence[ModelFile],
  path: pathlib.Path,
) -> None:
  """Draws queries, spread over the classes, beside their best matches."""
  white = sheet.with_white_light(pipeline)
  known = path.parent / "known"
  step = max(1, len(rotated) // SHEET_QUERIES)
  chosen = [
    (rotated if i % 2 else scanned)[min(i * step, len(rotated) - 1)]
    for i in range(min(SHEET_QUERIES, len(rotated)))
  ]

  def read(path):
    return load_mesh(path, face_budget=pipeline.face_budget)

  def draw(mesh):
    return sheet.render_preview(white, mesh, size=VIEW_SIZE)

  rows = []
  for file in chosen:
    mesh = read(file.path)
    answer = database.query(mesh, k=3)
    rows.append(
      sheet.Row(
        name=f"{file.path.parent.parent.name}: {file.name}",
        images=draw(mesh),
        matches=[
          sheet.RenderedMatch(match, draw(read(known / match.model)))
          for match in answer.matches
        ],
        label=file.label,
        prediction=answer.prediction,
      )
    )
  sheet.save(sheet.draw_answers(rows), path)


def _tell(text: str) -> None:
  print(text, file=sys.stderr, flush=True)
