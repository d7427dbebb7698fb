"""The whole of dr3d at work on the parts that travel with it, in minutes."""

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

HELD_OUT = 2  # parts of each class that are asked for
PICTURED = 8  # queries on the contact sheet
PICTURE_SIZE = 144  # pixels
PROTOCOLS = {
  "filed": Protocol(),
  "turned": Protocol("so3"),
  "scanned": Protocol("so3", scan=True),
}
MEASURES = ("NN", "mAP", *VOTES)
HEADER = ("queries", "views", "count", *MEASURES)

EVALUATION = EvaluateConfig(searches=(VERIFIED,), verify=5)  # half the time
CONFIG = TrainConfig(
  optimizer=OptimizerConfig(steps=200),
  checkpoint_every=60,
)


def run(
  directory: str | os.PathLike[str], *, config: TrainConfig = CONFIG
) -> None:
  """Trains, indexes and queries the shipped catalogue; prints a table.

  Writes into the directory: `known/` and `held_out/`, the parts; `learned/` and
  `fixed/`, two training runs; `parts.db/`, the index; `turned/` and `scanned/`,
  the held-out parts in random orientation and as imitated scans; `answers.png`,
  some of the queries beside the parts that they were taken for. Called again
  after an interruption, it goes on.

  Args:
    directory: made if missing.
    config: of both runs; that of the fixed views moves nothing of G.

  Raises:
    Dr3dError: the directory cannot be used.
  """
  begin = time.perf_counter()
  directory = pathlib.Path(directory)
  known, held_out = _lay_out(directory)
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
  files = {"filed": held_out}
  for name, protocol in PROTOCOLS.items():
    if protocol.changes:
      files[name] = _write_queries(held_out, protocol, directory / name)
  rows = _evaluate(pipelines, gallery, files)
  _draw_answers(
    database,
    pipelines["learned"],
    files["turned"],
    files["scanned"],
    directory / "answers.png",
  )

  print(format_table(HEADER, rows, right=range(2, len(HEADER))))
  print(
    f"\nPercent: vote is the share of held-out parts whose class the vote"
    f" names; guessing gives {100 / classes:.1f}.\n"
    "accepted is the share of answers called reliable, right that of right"
    " ones among\nthese; strangers, how many would be accepted if no known part"
    " were of their class.\n"
    f"{time.perf_counter() - begin:.0f} s in all. Look at"
    f" {directory / 'answers.png'}, then ask for a part yourself:\n"
    f"  dr3d query --db={directory / 'parts.db'} {files['scanned'][0].path}"
  )


def _lay_out(
  directory: pathlib.Path,
) -> tuple[list[ModelFile], list[ModelFile]]:
  """Unpacks the parts and sorts them into known and held-out ones."""
  everything = unpack(directory / "catalogue")
  parts = split(find_models(everything), held_out=HELD_OUT)
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
  """Asks the pipelines for the files of each protocol: rows of `HEADER`."""
  known = {
    name: dataclasses.replace(
      list_files(gallery.files),
      meshes=gallery.meshes,
      features=pipeline.embed(list(gallery.meshes)),
    )
    for name, pipeline in pipelines.items()
  }
  rows = []
  for protocol, several in files.items():
    budget = pipelines["learned"].face_budget
    reading = read_models(several, face_budget=budget)
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
  """How many queries, and the measures in percent."""
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
  """Writes the held-out parts as the protocol has them, one STL file each."""
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
  turned: Sequence[ModelFile],
  scanned: Sequence[ModelFile],
  path: pathlib.Path,
) -> None:
  """A contact sheet: queries of classes far apart beside their matches."""
  painter = sheet.with_white_light(pipeline)
  known = path.parent / "known"
  every = max(1, len(turned) // PICTURED)
  chosen = [
    (turned if i % 2 else scanned)[min(i * every, len(turned) - 1)]
    for i in range(min(PICTURED, len(turned)))
  ]

  def read(path):
    return load_mesh(path, face_budget=pipeline.face_budget)

  def render_preview(mesh):
    return sheet.render_preview(painter, mesh, size=PICTURE_SIZE)

  rows = []
  for file in chosen:
    mesh = read(file.path)
    answer = database.query(mesh, k=3)
    rows.append(
      sheet.Row(
        name=f"{file.path.parent.parent.name}: {file.name}",
        images=render_preview(mesh),
        matches=[
          sheet.RenderedMatch(match, render_preview(read(known / match.model)))
          for match in answer.matches
        ],
        label=file.label,
      )
    )
  sheet.save(sheet.draw_answers(rows), path)


def _tell(text: str) -> None:
  print(text, file=sys.stderr, flush=True)
