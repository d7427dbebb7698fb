"""Kills parts of a cluster at random moments; nothing may be lost.

    python -m experiments.kill_cluster --minutes=8

A PostgreSQL server, a Milvus server (milvus-lite over the network), a Ray
cluster of two nodes, two services of one database, and an index on Ray, which
runs again and again while files are added and changed. The pipeline is the
stand-in of the tests, so that nothing is compiled. Two clients add models
through whichever service answers, and ask for them. What is killed (SIGKILL)
each time, by chance: the index command, a Ray process that reads or embeds, a
whole Ray node, a service, or all processes of PostgreSQL or of Milvus, which
are away for a moment. What ended is started again.

After each kill all rows must be readable. At the end, after one index without a
kill, each upload that got status 201 must be there with the same file, the
models of the folder must equal those of a database that was made without Ray,
PostgreSQL and kills, value by value and vector by vector, and both services
must give the same answers. Prints one line for each kill.
"""

import collections
import contextlib
import importlib
import logging
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import numpy as np
import trimesh
from absl import app, flags
from ray.cluster_utils import Cluster

from dr3d.client import Client
from dr3d.database.ray_workers import RayWorkers
from dr3d.database.record import to_values
from dr3d.database.writer import Database
from dr3d.error import Dr3dError
from experiments import postgres_server
from experiments.process import list_descendants

MINUTES = flags.DEFINE_float("minutes", 8.0, "How long things are killed.")
PAUSE = flags.DEFINE_float("pause", 4.0, "Mean seconds between kills.")
MODELS = flags.DEFINE_integer("models", 120, "Files in the folder.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the moments and the victims.")

INDEX = flags.DEFINE_string("index", None, "Database to index; internal.")
FOLDER = flags.DEFINE_string("folder", None, "Models to index; internal.")
ADDRESS = flags.DEFINE_string("address", None, "Of the cluster; internal.")
ENGINE = flags.DEFINE_string("engine", "auto", "Of the index; internal.")

TESTS = pathlib.Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))
STAND_IN = importlib.import_module("support.standin")
SERVICE = importlib.import_module("support.service")
MILVUS = importlib.import_module("support.milvus_server")

VICTIMS = (
  "index",
  "worker",
  "worker",
  "node",
  "service",
  "service",
  "catalogue",
  "milvus",
)
CLIENTS = 2


class World:
  """Everything that is killed."""

  def __init__(self, root: pathlib.Path, chance: random.Random):
    programs = postgres_server.find_programs()
    assert programs is not None, "PostgreSQL is not installed"
    self.root, self.chance = root, chance
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dr3d-kill-", dir="/tmp"))
    self.server = postgres_server.Server(folder, programs)
    self.server.start()
    self.uri = self.server.create()
    os.environ["DR3D_CACHE"] = str(root / "cache")
    os.environ["PYTHONPATH"] = f"{TESTS.parent}{os.pathsep}{TESTS}"
    self.milvus = MILVUS.MilvusServer(root / "milvus")
    Database.create(self.uri, STAND_IN.MeasuringPipeline())
    self.cluster = Cluster(
      initialize_head=True,
      head_node_args={"num_cpus": 1, "include_dashboard": False},
    )
    self.node = self.add_node()
    self.files = 0
    self.change_files()
    self.services = [self.start_service(number) for number in range(2)]
    self.index = self.start_index()

  def add_node(self) -> Any:
    """Starts a second node of the Ray cluster."""
    while True:
      try:
        return self.cluster.add_node(num_cpus=1)
      except Exception as error:  # Ray has no kind of its own for it
        # Ray waits for 30 s at most, which a busy machine may exceed.
        if "timed out during startup" not in str(error):
          raise

  def start_service(self, number: int) -> tuple[subprocess.Popen, str]:
    """Starts a service with a cache of its own; returns it and its address."""
    process = subprocess.Popen(
      [
        *(sys.executable, "-m", "support.service_program"),
        *(self.uri, self.milvus.engine),
      ],
      stdin=subprocess.PIPE,
      env={**os.environ, "DR3D_CACHE": str(self.root / f"cache-{number}")},
      stdout=subprocess.PIPE,
      stderr=(self.root / f"service-{number}.log").open("a"),
      text=True,
    )
    assert process.stdout is not None
    found = re.search(r"http://[^;\s]+", process.stdout.readline())
    assert found is not None, (self.root / f"service-{number}.log").read_text()
    return process, found.group()

  def start_index(self) -> subprocess.Popen:
    """Starts the command that indexes the folder."""
    return subprocess.Popen(
      [
        *(sys.executable, "-m", "experiments.kill_cluster"),
        *(f"--index={self.uri}", f"--folder={self.root / 'models'}"),
        *(
          f"--address={self.cluster.address}",
          f"--engine={self.milvus.engine}",
        ),
      ],
      stdout=subprocess.DEVNULL,
      stderr=(self.root / "index.log").open("a"),
    )

  def kill(self) -> str:
    """Kills something; returns what."""
    what = self.chance.choice(VICTIMS)
    if what == "index":
      self.index.kill()
    elif what == "worker":
      found = self.list_workers()
      if not found:
        return ""
      with contextlib.suppress(ProcessLookupError):
        os.kill(self.chance.choice(found), signal.SIGKILL)
    elif what == "node":
      self.cluster.remove_node(self.node, allow_graceful=False)
      self.node = self.add_node()
    elif what == "service":
      number = self.chance.randrange(2)
      self.services[number][0].kill()
      self.services[number][0].wait()
      self.services[number] = self.start_service(number)
    elif what == "milvus":
      self.milvus.kill()
      time.sleep(self.chance.uniform(0, 5))
      self.milvus.start()
    else:
      self.server.kill()
      time.sleep(self.chance.uniform(0, 2))
      self.server.start()
    return what

  def list_workers(self) -> list[int]:
    """Numbers of the Ray processes that read and embed."""
    found = []
    for node in self.cluster.list_all_nodes():
      for started in node.all_processes.get("raylet", []):
        for number in list_descendants(started.process.pid):
          with contextlib.suppress(OSError):
            name = pathlib.Path(f"/proc/{number}/cmdline").read_bytes()
            if re.match(rb"ray::(_Embedder|_read|_hash|IDLE)", name):
              found.append(number)
    return found

  def change_files(self) -> None:
    """Adds some files to the folder, and changes some."""
    numbers = list(range(MODELS.value))
    if self.files:
      some = MODELS.value // 8
      numbers = [*range(self.files, self.files + some)]
      numbers += self.chance.choices(range(self.files), k=some)
    self.files = max(self.files, *numbers) + 1
    for number in numbers:
      path = self.root / "models" / f"kind {number % 5}" / f"{number:04d}.stl"
      write_box(path, self.chance)

  def close(self) -> None:
    """Ends everything."""
    for process in (self.index, *(process for process, _ in self.services)):
      process.kill()
      process.wait()
    self.cluster.shutdown()
    self.milvus.kill()
    self.server.stop()


def write_box(path: pathlib.Path, chance: random.Random) -> None:
  """Writes a box of random sides, whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  box = trimesh.creation.box([chance.uniform(1, 9) for _ in range(3)])
  partial = path.with_suffix(".partial")
  partial.write_bytes(box.export(file_type="stl"))
  partial.replace(path)


def main(argv: list[str]) -> None:
  del argv
  if INDEX.value and FOLDER.value and ADDRESS.value:
    load = STAND_IN.SlowPipeline.load
    database = Database.open(
      INDEX.value, load_pipeline=load, engine=ENGINE.value
    )
    workers = RayWorkers(ADDRESS.value, load_pipeline=load)
    database.update(FOLDER.value, workers=workers)
    return
  chance = random.Random(SEED.value)
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
    root = pathlib.Path(temporary)
    world = World(root, chance)
    try:
      sys.exit(torture(world))
    finally:
      world.close()


def torture(world: World) -> int:
  """Kills for some minutes; returns the number of faults."""
  logging.getLogger("httpx").setLevel(logging.WARNING)
  accepted: dict[str, pathlib.Path] = {}
  reasons: collections.Counter[str] = collections.Counter()
  is_over = threading.Event()
  adders = [
    threading.Thread(
      target=add,
      args=(world, number, accepted, reasons, is_over),
      daemon=True,
    )
    for number in range(CLIENTS)
  ]
  for adder in adders:
    adder.start()
  while len(accepted) < CLIENTS:  # the services compile first
    time.sleep(0.1)
  database = Database.open(
    world.uri, load_pipeline=STAND_IN.MeasuringPipeline.load
  )
  kills: collections.Counter[str] = collections.Counter()
  runs = 0
  end = time.monotonic() + 60 * MINUTES.value
  while time.monotonic() < end:
    time.sleep(world.chance.uniform(0, 2 * PAUSE.value))
    what = world.kill()
    if what:
      kills[what] += 1
      count = len(database.models())  # reads and compares all rows
      print(
        f"{sum(kills.values())}: {what}; {count} rows, {len(accepted)} uploads,"
        f" {runs} whole index runs",
        flush=True,
      )
    if world.index.poll() is not None:
      runs += world.index.returncode == 0
      world.change_files()
      world.index = world.start_index()
  is_over.set()
  for adder in adders:
    adder.join()
  world.index.wait()
  world.index = world.start_index()
  assert world.index.wait() == 0, (world.root / "index.log").read_text()[-2000:]
  print(f"kills: {dict(kills)}; errors of uploads: {dict(reasons)}")
  return verify(world, accepted)


def verify(world: World, accepted: dict[str, pathlib.Path]) -> int:
  """Compares with what must be there; returns the number of faults."""
  faults = 0
  clients = [Client(url, token=SERVICE.TOKEN) for _, url in world.services]
  database = Database.open(
    world.uri, load_pipeline=STAND_IN.MeasuringPipeline.load
  )
  rows = {model.name: model for model in database.models()}
  for name, path in accepted.items():
    is_there = name in rows and rows[name].state == "indexed"
    if not is_there or clients[0].read_file(name) != path.read_bytes():
      faults += 1
      print(f"lost: {name}")
  local = Database.create(world.root / "local", STAND_IN.MeasuringPipeline())
  local.update(world.root / "models")
  for model in local.models():
    other = rows.get(model.name)
    if other is None or to_values(model, 0, 0) != to_values(other, 0, 0):
      faults += 1
      print(f"differs: {model.name}")
    elif not np.allclose(
      local.gallery.features[local.gallery.rows[model.name]],
      database.gallery.features[database.gallery.rows[model.name]],
      atol=1e-5,
    ):
      faults += 1
      print(f"vectors differ: {model.name}")
  names = [*local.gallery.names, *accepted]
  for client in clients:
    while len(client.models()) != len(rows):
      time.sleep(0.2)
  query = world.root / "models" / local.gallery.names[0]
  answers = [client.query(query, verify=2) for client in clients]
  faults += answers[0] != answers[1]
  print(
    f"{len(local)} models of the folder, {len(accepted)} accepted uploads,"
    f" {len(rows) - len(names)} more completed; {faults} faults; answers of the"
    f" services {'the same' if answers[0] == answers[1] else 'DIFFER'}"
  )
  return faults


def add(
  world: World,
  number: int,
  accepted: dict[str, pathlib.Path],
  reasons: collections.Counter[str],
  is_over: threading.Event,
) -> None:
  """Adds models through the services in turn; records the accepted ones."""
  chance = random.Random(f"client {number}")
  for turn in range(1_000_000):
    if is_over.is_set():
      return
    path = world.root / "sent" / f"upload-{number}-{turn}.stl"
    write_box(path, chance)
    _, url = world.services[turn % 2]
    try:
      with Client(url, token=SERVICE.TOKEN, retry_timeout=0) as client:
        assert not client.add([path], label="sent").failures
        accepted[path.name] = path
        client.query(path, verify=0)
    except Dr3dError as error:
      text = re.sub(r"127\.0\.0\.1:\d+|upload-\S+", "", str(error))
      assert "\n" not in text, text
      reasons[text[:80]] += 1
      time.sleep(0.2)


if __name__ == "__main__":
  app.run(main)
