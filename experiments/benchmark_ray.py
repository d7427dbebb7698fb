"""Times `dr3d index --ray` with one and with more workers.

    python -m experiments.benchmark_ray --models=192 --workers=1,2

A worker is a Ray node that is bound to one core. The head embeds nothing; it
and this process, which commits, run on any core. Files and pipeline are those
of `benchmark_ingest`. Columns: seconds of the whole run, in which each worker
imports and compiles, so take far more models than it embeds meanwhile; CPU of
this process for a model, which bounds what one writer can take.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time

from absl import app, flags
from ray.cluster_utils import Cluster

from dr3d.database.file_reader import FileReader, IngestWorkers
from dr3d.database.ray_workers import RayWorkers
from dr3d.database.writer import Database
from dr3d.evaluation.report.table import format_table
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.runtime import cluster
from experiments.benchmark_ingest import MODELS, VIEWS, write_models

WORKERS = flags.DEFINE_list("workers", ["1", "2"], "Numbers of workers.")

HEADER = ("workers", "seconds", "CPU ms of the writer")


def main(argv: list[str]) -> None:
  del argv
  pipeline = Pipeline.create(PipelineConfig(view_count=VIEWS.value))
  rows = []
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    write_models(folder / "models")
    os.sched_setaffinity(0, {0})
    run(folder, pipeline, FileReader())  # compiles
    rows.append(("none, 1 core", *run(folder, pipeline, FileReader())))
    print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    for count in map(int, WORKERS.value):
      rows.append((f"{count}", *run_on_ray(folder, pipeline, count)))
      print("  ".join(rows[-1]), file=sys.stderr, flush=True)
  print(format_table(HEADER, rows, right=(1, 2)))


def run_on_ray(
  folder: pathlib.Path, pipeline: Pipeline, count: int
) -> tuple[str, ...]:
  """Starts a cluster, and indexes the folder on it."""
  cores = range(os.cpu_count() or 1)
  os.sched_setaffinity(0, cores)
  made = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 0, "include_dashboard": False},
  )
  for number in range(count):
    os.sched_setaffinity(0, {cores[number % len(cores)]})
    made.add_node(num_cpus=1)
  os.sched_setaffinity(0, cores)
  cluster.connect(made.address)
  try:
    return run(folder, pipeline, RayWorkers(made.address))
  finally:
    cluster.import_ray().shutdown()
    made.shutdown()


def run(
  folder: pathlib.Path, pipeline: Pipeline, workers: IngestWorkers
) -> tuple[str, ...]:
  """Indexes the folder; returns the cells of a row."""
  shutil.rmtree(folder / "db", ignore_errors=True)
  database = Database.create(folder / "db", pipeline)
  begin, spent = time.perf_counter(), time.process_time()
  report = database.update(folder / "models", workers=workers)
  spent = time.process_time() - spent
  assert report.new == MODELS.value, report
  return (
    f"{time.perf_counter() - begin:.1f}",
    ""
    if isinstance(workers, FileReader)
    else f"{1000 * spent / MODELS.value:.1f}",
  )


if __name__ == "__main__":
  app.run(main)
