"""Trains on the sample parts, with learned and with fixed viewpoints."""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence

from dr3d.data.collection import ModelCollection, read_models
from dr3d.data.folder import ModelFile
from dr3d.database.writer import Database
from dr3d.evaluation.average import resample
from dr3d.evaluation.method import make_pipeline_method
from dr3d.evaluation.model_set import list_files
from dr3d.evaluation.protocol import Protocol
from dr3d.evaluation.report.summary import VOTES, format_value, summarize
from dr3d.evaluation.report.table import format_table
from dr3d.evaluation.run import EvaluateConfig, Evaluation, evaluate
from dr3d.evaluation.task import VERIFIED
from dr3d.mesh import Mesh, load_mesh
from dr3d.quickstart import (
  SHEET_QUERIES,
  draw_answers,
  split_parts,
  write_queries,
)
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.state import OptimizerConfig
from dr3d.retrieval.train import train
from dr3d.search.answer import Answer

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
  directory: str | os.PathLike[str],
  *,
  config: TrainConfig = CONFIG,
  command: str = "dr3d",
) -> None:
  """Trains twice, indexes and queries the shipped catalogue; prints a table.

  Writes into the directory: `known/` and `held_out/`, the parts; `learned/` and
  `fixed/`, two training runs; `trained.db/`, the database; `rotated/` and
  `scanned/`, the held-out parts in random orientation and as simulated scans;
  `answers.png`, some queries beside their best matches. After an interruption
  the same call resumes.

  Args:
    directory: made if missing.
    config: of both runs; the run with fixed views freezes all of G.
    command: how the user calls dr3d, for the command that is printed.

  Raises:
    Dr3dError: the directory cannot be used.
  """
  begin = time.perf_counter()
  directory = pathlib.Path(directory)
  known, held_out = split_parts(directory)
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
  database = Database.create(directory / "trained.db", pipelines["learned"])
  database.update(directory / "known")
  files = {"original": held_out}
  for name, protocol in PROTOCOLS.items():
    if protocol.changes:
      files[name] = list(write_queries(held_out, protocol, directory / name))
  rows = _evaluate(pipelines, gallery, files)
  learned = pipelines["learned"]
  draw_answers(
    _answer(database, learned, files["rotated"], files["scanned"]),
    learned,
    directory / "known",
    directory / "answers.png",
  )

  print(format_table(HEADER, rows, right=range(2, len(HEADER))))
  print(
    "\nAll figures in percent. vote: held-out parts whose class the majority"
    f" vote names; guessing\nreaches {100 / classes:.1f}. accepted: accepted"
    " predictions. right: right ones among these.\nfalse_accept: predictions"
    " that would be accepted if the database held no part of their class.\n"
    f"\n{explain(rows)}\n"
    f"{time.perf_counter() - begin:.0f} s in all. Look at"
    f" {directory / 'answers.png'}, then try a query yourself:\n"
    f"  {command} query --db={directory / 'trained.db'}"
    f" {files['scanned'][0].path}"
  )


def explain(rows: Sequence[Sequence[str]]) -> str:
  """Says in words how learned views compare with fixed ones.

  Args:
    rows: of `HEADER`, with learned and fixed views for each protocol.
  """
  vote = HEADER.index("vote")
  totals = dict.fromkeys(("learned", "fixed"), 0.0)
  for row in rows:
    totals[row[1]] += float(row[vote]) * int(row[2]) / 100
  count = sum(int(row[2]) for row in rows) // len(totals)
  learned, fixed = (round(total) for total in totals.values())
  # Votes are right or wrong, so a count varies by the square root of the
  # number of wrong ones; two counts differ by chance by twice that.
  chance = 2 * (2 * count - learned - fixed) ** 0.5
  if abs(learned - fixed) <= chance:
    verdict = (
      "a difference that chance explains. So short a training moves them"
    )
    verdict += " little from the even spread that both start from."
  else:
    better = "learned" if learned > fixed else "fixed"
    verdict = f"so {better} viewpoints are better here, beyond chance."
  return (
    f"Learned viewpoints answer {learned} of {count} queries rightly, fixed"
    f" ones {fixed}: {verdict}"
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


def _answer(
  database: Database,
  pipeline: Pipeline,
  rotated: Sequence[ModelFile],
  scanned: Sequence[ModelFile],
) -> Iterator[tuple[ModelFile, Mesh, Answer]]:
  """Answers queries that are spread over the classes."""
  step = max(1, len(rotated) // SHEET_QUERIES)
  for i in range(min(SHEET_QUERIES, len(rotated))):
    files = rotated if i % 2 else scanned
    file = files[min(i * step, len(rotated) - 1)]
    mesh = load_mesh(file.path, face_budget=pipeline.face_budget)
    yield file, mesh, database.query(mesh, k=3)


def _tell(text: str) -> None:
  print(text, file=sys.stderr, flush=True)
