"""A service on a small database."""

import contextlib
import threading

import httpx
import trimesh
import uvicorn

from dr3d.cli import serve
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.runtime.pool import Limits
from dr3d.server.app import make_app
from dr3d.server.connection import make_config
from dr3d.server.service import Service, wait_until_ready
from dr3d.server.settings import ServerConfig
from support.mesh_files import export
from support.standin import MeasuringPipeline

TOKEN = "a token that is long enough"


WRITE = {"Authorization": f"Bearer {TOKEN}"}


BODIES = {
  "box/flat.stl": trimesh.creation.box((30, 20, 2)),
  "box/long.stl": trimesh.creation.box((90, 8, 6)),
  "round/ball.stl": trimesh.creation.icosphere(1, 12),
  "round/rod #1.stl": trimesh.creation.cylinder(3, 40, sections=12),
}


def stl(body):
  return export(body, "stl")


def make_database(folder):
  for name, body in BODIES.items():
    path = folder / "models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stl(body))
  (folder / "models" / "empty.stl").write_bytes(b"")
  database = Database.create(
    folder / "parts.db",
    MeasuringPipeline(),
    load_pipeline=MeasuringPipeline.load,
  )
  database.update(folder / "models", reader=FileReader(jobs=0))
  return database


def make_service(directory, **options):
  config = ServerConfig(
    **{
      "token": TOKEN,
      "readers": 1,
      "rate": 0,
      "byte_limit": 1 << 20,
      "face_limit": 3000,
      "reading": Limits(seconds=60, memory=1 << 30),
      **options,
    }
  )
  return Service(directory, config, load_pipeline=MeasuringPipeline.load)


@contextlib.contextmanager
def serving(directory, **options):
  """Yields an HTTP client of a service that is ready, and the service."""
  running = make_service(directory, **options)
  listener = serve.listen("127.0.0.1", 0)
  config = make_config(make_app(running), running.config, running.metrics)
  server = uvicorn.Server(config)
  thread = threading.Thread(target=server.run, args=([listener],))
  thread.start()
  try:
    wait_until_ready(running, seconds=120)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, timeout=120) as client:
      client.stop = lambda: setattr(server, "should_exit", True)
      yield client, running
  finally:
    server.should_exit = True
    thread.join()
