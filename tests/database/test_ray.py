"""A database indexed by a Ray cluster equals one indexed by one process."""

import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import trimesh
from support.standin import MeasuringPipeline, SlowPipeline

pytest.importorskip("ray")

import ray
from ray.cluster_utils import Cluster

from dr3d.database.file_reader import FileReader
from dr3d.database.ray_workers import RayWorkers
from dr3d.database.writer import Database
from dr3d.error import DatabaseError
from dr3d.runtime import cluster
from experiments.process import list_descendants

pytestmark = pytest.mark.skipif(
  sys.platform != "linux", reason="kills processes that it finds in /proc"
)
ROOT = pathlib.Path(__file__).parents[2]
COUNT = 150


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
  """A cluster of two nodes; the second one is named, so that it can be lost."""
  before = dict(os.environ)
  os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
  os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
  made = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 1, "include_dashboard": False},
  )
  made.add_node(num_cpus=1)
  cluster.connect(made.address)
  yield made
  ray.shutdown()
  made.shutdown()
  os.environ.clear()
  os.environ.update(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models")
  rng = np.random.default_rng(0)
  for i in range(COUNT):
    path = folder / f"kind {i % 5}" / f"{i:03d}.stl"
    path.parent.mkdir(exist_ok=True)
    trimesh.creation.box(rng.uniform(1, 9, 3)).export(path)
  (folder / "broken.stl").write_bytes(b"solid")
  return folder


@pytest.fixture(scope="module")
def expected(models, tmp_path_factory):
  """Rows and vectors of the folder, indexed by this process alone."""
  made = Database.create(
    tmp_path_factory.mktemp("local") / "db", MeasuringPipeline()
  )
  made.update(models, reader=FileReader(jobs=0))
  return read(made.directory)


def read(directory):
  """All rows but for the slots, and the vectors by name."""
  with sqlite3.connect(directory / "catalogue.sqlite") as connection:
    connection.row_factory = sqlite3.Row
    found = map(dict, connection.execute("SELECT * FROM model ORDER BY name"))
    rows = [{**row, "slot": row["slot"] is not None} for row in found]
  opened = Database.open(directory, load_pipeline=MeasuringPipeline.load)
  gallery = opened.gallery
  return rows, dict(zip(gallery.names, np.array(gallery.features), strict=True))


def assert_same(directory, expected):
  rows, vectors = read(directory)
  assert rows == expected[0]
  assert vectors.keys() == expected[1].keys()
  for name, array in vectors.items():
    np.testing.assert_array_equal(array, expected[1][name])


def list_workers(nodes):
  """Numbers of the processes that run tasks and actors, of all nodes."""
  found = []
  for node in nodes.list_all_nodes():
    for processes in node.all_processes.values():
      for started in processes:
        for number in list_descendants(started.process.pid):
          try:
            name = pathlib.Path(f"/proc/{number}/cmdline").read_bytes()
          except OSError:
            continue
          if re.match(rb"ray::(_Embedder|_read|_hash|IDLE)", name):
            found.append(number)
  return found


def test_ray_gives_the_same_rows_and_vectors(tmp_path, nodes, models, expected):
  workers = RayWorkers(nodes.address, load_pipeline=MeasuringPipeline.load)
  made = Database.create(tmp_path / "db", MeasuringPipeline())
  report = made.update(models, workers=workers)
  assert (report.new, len(report.failures)) == (COUNT, 1)
  assert_same(tmp_path / "db", expected)
  assert made.update(models, workers=workers).unchanged == COUNT


def test_error_of_the_pipeline_reaches_the_caller(tmp_path, nodes, models):
  def load(directory):
    raise DatabaseError("no such weights.")

  workers = RayWorkers(nodes.address, load_pipeline=load)
  made = Database.create(tmp_path / "db", MeasuringPipeline())
  with pytest.raises(DatabaseError, match="no such weights"):
    made.update(models, workers=workers)


def test_killed_driver_resumes(tmp_path, nodes, models, expected):
  Database.create(tmp_path / "db", MeasuringPipeline())
  program = f"""
from support.standin import MeasuringPipeline, SlowPipeline
from dr3d.database.ray_workers import RayWorkers
from dr3d.database.writer import Database
load = MeasuringPipeline.load
made = Database.open({str(tmp_path / "db")!r}, load_pipeline=load)
workers = RayWorkers({nodes.address!r}, load_pipeline=SlowPipeline.load)
made.update({str(models)!r}, workers=workers)
"""
  process = subprocess.Popen([sys.executable, "-c", program])
  opened = Database.open(tmp_path / "db", load_pipeline=MeasuringPipeline.load)
  wait_for_rows(opened, process)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert 0 < len(opened) < COUNT
  workers = RayWorkers(nodes.address, load_pipeline=MeasuringPipeline.load)
  report = opened.update(models, workers=workers)
  assert report.unchanged > 0
  assert_same(tmp_path / "db", expected)


def wait_for_rows(opened, process=None):
  while not len(opened):
    assert process is None or process.poll() is None
    time.sleep(0.05)


def test_killed_workers_and_a_lost_node_lose_and_double_nothing(
  tmp_path, nodes, models, expected
):
  made = Database.create(tmp_path / "db", MeasuringPipeline())
  rng = np.random.default_rng(1)
  killed = []

  def kill():
    wait_for_rows(Database.open(tmp_path / "db"))
    for _ in range(3):
      while not (found := list_workers(nodes)):
        time.sleep(0.05)
      number = rng.choice(found)
      os.kill(number, signal.SIGKILL)
      killed.append(number)
      time.sleep(0.3)
    (second,) = nodes.worker_nodes
    nodes.remove_node(second, allow_graceful=False)  # kill -9
    killed.append(second)

  thread = threading.Thread(target=kill)
  thread.start()
  workers = RayWorkers(nodes.address, load_pipeline=SlowPipeline.load)
  report = made.update(models, workers=workers)
  was_running = not thread.is_alive()
  thread.join()
  assert was_running
  assert len(killed) == 4
  assert report.new == COUNT
  assert_same(tmp_path / "db", expected)
