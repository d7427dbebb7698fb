"""Times the answer to one query, in a new process and in a running one.

    python -m experiments.benchmark_query --vectors=100000 --faces=10000

Fills a database with synthetic models of N vectors each and writes one mesh as
the query. Runs `dr3d query` first to compile, then cold: in a new process that
finds compiled programs in the cache. Then it times a running process: reading
the file, embedding it and searching, medians of ten. The stages of a cold start
are timed in a new process one after the other; the command itself reads the
mesh in a child process meanwhile. Wall and CPU seconds include the child. On a
busy machine only CPU seconds are meaningful.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import trimesh
from absl import app, flags

from dr3d.evaluation.report.table import format_table

VECTORS = flags.DEFINE_integer("vectors", 100_000, "Stored vectors.")
FACES = flags.DEFINE_integer("faces", 10_000, "Faces of the mesh, about.")
VIEWS = flags.DEFINE_integer("views", 12, "Views of a model.")
STAGES = flags.DEFINE_list("stages", None, "Database and mesh; internal.")

CLOCKED = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def main(argv: list[str]) -> None:
  del argv
  if STAGES.value:
    print(json.dumps(measure_stages(*map(pathlib.Path, STAGES.value))))
    return
  with tempfile.TemporaryDirectory() as temporary:
    root = pathlib.Path(temporary)
    environment = {**os.environ, "DR3D_CACHE": str(root / "cache")}
    fill(root / "db")
    rings = 1 + round((1 + FACES.value / 4) ** 0.5)  # 4 rings (rings - 2) faces
    mesh = trimesh.creation.uv_sphere(count=[rings, rings])
    mesh.vertices *= [1, 2, 3] + 0.2 * np.sin(5 * mesh.vertices)
    mesh.export(root / "query.stl")
    command = [sys.executable, "-m", "dr3d", "query", f"--db={root / 'db'}"]
    command += [str(root / "query.stl"), "--json"]
    cold = []
    for _ in range(4):
      begin = read_clocks()
      subprocess.run(command, env=environment, check=True, capture_output=True)
      cold.append(read_clocks() - begin)
    child = [sys.executable, "-m", "experiments.benchmark_query"]
    child += [f"--stages={root / 'db'},{root / 'query.stl'}"]
    output = [
      subprocess.run(
        child, env=environment, check=True, capture_output=True, text=True
      ).stdout
      for _ in range(2)
    ][-1]
    stages = json.loads(output.splitlines()[-1])
  stages = {
    "dr3d query, compiling": cold[0],
    "dr3d query, cold": np.median(cold[1:], axis=0),
    **stages,
  }
  rows = [
    (name, f"{clock:.3f}", f"{cpu:.3f}")
    for name, (clock, cpu) in stages.items()
  ]
  print(format_table(("what", "s", "CPU s"), rows, right=(1, 2)))


def fill(directory: pathlib.Path) -> None:
  """Makes a database of random vectors and writes its index."""
  from dr3d.database import catalogue
  from dr3d.database.writer import Database
  from dr3d.retrieval.pipeline import Pipeline, PipelineConfig

  pipeline = Pipeline.create(PipelineConfig(view_count=VIEWS.value))
  database = Database.create(directory, pipeline)
  rng = np.random.default_rng(0)
  size = pipeline.config.embed.feature_size
  classes = rng.normal(size=(200, 1, size))
  models = []
  for i in range(-(-VECTORS.value // VIEWS.value)):
    features = classes[i % 200] + 0.7 * rng.normal(size=(VIEWS.value, size))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    models.append(
      catalogue.Model(
        f"{i:06d}.stl",
        f"class {i % 200}",
        "0",
        catalogue.INDEXED,
        "",
        pipeline.fingerprint,
        radius=1.0,
        extent=(1.0, 1.0, 1.0),
        face_count=1,
        features=features.astype(np.float32),
      )
    )
  with catalogue.open_catalogue(directory) as connection:
    catalogue.write_models(connection, models)
  database.rebuild()


def measure_stages(directory: pathlib.Path, path: pathlib.Path) -> dict:
  """Times the stages of a first query, and later queries."""
  times = {}
  begin = read_clocks()

  def lap(name: str) -> None:
    nonlocal begin
    now = read_clocks()
    times[name] = (now - begin).tolist()
    begin = now

  from dr3d.database.writer import Database
  from dr3d.mesh import load_mesh

  lap("  imports without jax")
  database = Database.open(directory)
  gallery = database.gallery
  lap(f"  vectors and index ({gallery.index.engine})")
  pipeline = database.pipeline
  lap("  jax and the pipeline")
  mesh = load_mesh(path, face_budget=pipeline.face_budget)
  lap("  reading the mesh")
  pipeline.embed([mesh])
  lap("  embedding, program from the cache")
  database.query(mesh)
  lap("  second query of the mesh")
  laps = []
  for _ in range(10):
    start = read_clocks()
    mesh = load_mesh(path, face_budget=pipeline.face_budget)
    read = read_clocks()
    pipeline.embed([mesh])
    embedded = read_clocks()
    database.query(mesh)
    end = read_clocks()
    laps.append([read - start, embedded - read, end - embedded])
  reading, embedding, answer = np.median(laps, axis=0)
  times["warm, mesh to answer"] = answer.tolist()
  times["  of it embedding"] = embedding.tolist()
  times["warm, reading the mesh before"] = reading.tolist()
  return times


def read_clocks() -> np.ndarray:
  """Wall seconds, and CPU seconds of this process and its children."""
  spent = [resource.getrusage(who) for who in CLOCKED]
  cpu = sum(usage.ru_utime + usage.ru_stime for usage in spent)
  return np.array([time.perf_counter(), cpu])


if __name__ == "__main__":
  app.run(main)
