"""Times `dr3d index`: models per second, and the share of each stage.

    python -m experiments.benchmark_ingest --models=96 --faces=5000 --views=12

Writes binary STL files of bumpy spheres and indexes them with an untrained
pipeline. Does so twice and reports the second run, since the first compiles.
Child processes read files while this process embeds. The table therefore gives
the CPU time of both, and how long this process waited for the readers. Memory
is this process's peak.
"""

import pathlib
import resource
import tempfile
import time

import numpy as np
import trimesh
from absl import app, flags

from dr3d.database import catalogue
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.evaluation.report.table import format_table
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig

MODELS = flags.DEFINE_integer("models", 96, "Files to index.", lower_bound=1)
FACES = flags.DEFINE_integer("faces", 5000, "Faces of each file, about.")
VIEWS = flags.DEFINE_integer("views", 12, "Views of a model.")
JOBS = flags.DEFINE_integer("jobs", None, "Processes that read files.")


class Clock:
  """Sums the time that calls take."""

  def __init__(self):
    self.seconds = 0.0

  def timed(self, function):
    """Wraps a function, so that its time is added."""

    def call(*args, **options):
      begin = time.perf_counter()
      try:
        return function(*args, **options)
      finally:
        self.seconds += time.perf_counter() - begin

    return call


def main(argv: list[str]) -> None:
  del argv
  pipeline = Pipeline.create(PipelineConfig(view_count=VIEWS.value))
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    write_models(folder / "models")
    run(folder / "first", folder / "models", pipeline)
    seconds, rows = run(folder / "second", folder / "models", pipeline)
    size = sum(p.stat().st_size for p in (folder / "second").rglob("*.sqlite"))
  print(format_table(("stage", "seconds", "share"), rows, right=(1, 2)))
  print(
    f"{MODELS.value / seconds:.1f} models per second of about {FACES.value} "
    f"faces, N = {VIEWS.value}, {pipeline.face_budget} faces rendered; "
    f"{size / MODELS.value / 1000:.1f} kB per model on disk"
  )


def run(directory, models, pipeline) -> tuple[float, list[tuple[str, ...]]]:
  """Indexes the folder; returns the seconds and rows of the table."""
  embedding, writing, wait = Clock(), Clock(), Clock()

  class Timed:
    face_budget = pipeline.face_budget
    fingerprint = pipeline.fingerprint
    save = staticmethod(pipeline.save)
    embed = staticmethod(embedding.timed(pipeline.embed))

  class Waited(FileReader):
    def read_each(self, files, **options):
      """As `FileReader`, timed."""
      results = super().read_each(files, **options)
      step = wait.timed(lambda: next(results, None))
      while (result := step()) is not None:
        yield result

  write_models = catalogue.write_models
  catalogue.write_models = writing.timed(write_models)
  before = cpu()
  begin = time.perf_counter()
  database = Database.create(directory, Timed())
  report = database.update(models, reader=Waited(jobs=JOBS.value))
  seconds = time.perf_counter() - begin
  catalogue.write_models = write_models
  assert report.new == MODELS.value, report
  own, children = np.subtract(cpu(), before)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  rows = [
    ("wall clock", f"{seconds:.1f}", "100 %"),
    ("embedding (this process)", f"{embedding.seconds:.1f}", ""),
    ("waiting for readers, hashing", f"{wait.seconds:.1f}", ""),
    ("writing", f"{writing.seconds:.1f}", ""),
    ("CPU of this process", f"{own:.1f}", ""),
    ("CPU of the readers", f"{children:.1f}", ""),
  ]
  rows = [(a, b, c or f"{float(b) / seconds:.0%}") for a, b, c in rows]
  return seconds, [*rows, ("peak memory, MiB", f"{peak:.0f}", "")]


def cpu() -> tuple[float, float]:
  """CPU seconds of this process and of its ended children."""
  own = resource.getrusage(resource.RUSAGE_SELF)
  children = resource.getrusage(resource.RUSAGE_CHILDREN)
  return (
    own.ru_utime + own.ru_stime,
    children.ru_utime + children.ru_stime,
  )


def write_models(folder: pathlib.Path) -> None:
  """Writes spheres, each with different bumps."""
  folder.mkdir()
  rng = np.random.default_rng(0)
  rings = 1 + round((1 + FACES.value / 4) ** 0.5)  # 4 rings (rings - 2) faces
  sphere = trimesh.creation.uv_sphere(count=[rings, rings])
  for i in range(MODELS.value):
    waves = rng.normal(size=(5, 3)) * 3
    bump = np.sin(sphere.vertices @ waves.T + rng.uniform(0, 6, 5)).sum(axis=1)
    shape = sphere.copy()
    shape.vertices = sphere.vertices * rng.uniform(0.5, 2, 3)
    shape.vertices *= 1 + 0.06 * bump[:, None]
    shape.export(folder / f"{i:05d}.stl")


if __name__ == "__main__":
  app.run(main)
