r"""Kills `dr3d serve` while models are added; no accepted one may be lost.

    python -m experiments.kill_service --kills=10

Four clients add different models while the service is killed (SIGKILL) at a
random moment. The next service must have each model that got status 201, with
the same file, whatever the kill interrupted. At the end a restarted service
must answer queries as the one before. Prints one line per kill.
"""

import logging
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import trimesh
from absl import app, flags

from dr3d.client import Client
from dr3d.database.writer import Database
from dr3d.error import Dr3dError
from experiments.tiny import make_tiny_pipeline

KILLS = flags.DEFINE_integer("kills", 10, "Number of kills.")
SEED = flags.DEFINE_integer("seed", 0, "Of the moments and of the models.")

CLIENTS = 4
TOKEN = "a token for this test alone"


def main(argv: list[str]) -> None:
  del argv
  logging.getLogger("httpx").setLevel(logging.WARNING)
  chance = random.Random(SEED.value)
  lost = 0
  with tempfile.TemporaryDirectory() as temporary:
    root = pathlib.Path(temporary)
    Database.create(root / "db", make_tiny_pipeline())
    (root / "token").write_text(TOKEN)
    accepted: dict[str, pathlib.Path] = {}
    for kill in range(KILLS.value):
      process, client = start(root)
      lost += check(client, accepted)
      adders = [
        threading.Thread(
          target=add, args=(client.url, root, accepted, f"{kill}-{number}")
        )
        for number in range(CLIENTS)
      ]
      for adder in adders:
        adder.start()
      before = len(accepted)
      while len(accepted) < before + CLIENTS:
        time.sleep(0.01)
      moment = chance.uniform(0.0, 3.0)
      time.sleep(moment)
      process.send_signal(signal.SIGKILL)
      process.wait()
      for adder in adders:
        adder.join()
      print(
        f"{kill + 1}: after {moment:.2f} s, {len(accepted)} accepted",
        flush=True,
      )
    process, client = start(root)
    lost += check(client, accepted)
    queries = list(accepted.values())[::5]
    answers = [client.query(path, verify=2) for path in queries]
    stop(process)
    process, client = start(root)
    same = answers == [client.query(path, verify=2) for path in queries]
    more = len(client.models()) - len(accepted)
    stop(process)
  print(
    f"{len(accepted)} accepted, {lost} of them lost, {more} more completed; "
    f"{len(queries)} answers {'the same' if same else 'NOT the same'} after a "
    "restart"
  )
  sys.exit(bool(lost) or not same)


def start(root: pathlib.Path) -> tuple[subprocess.Popen, Client]:
  """Starts the service and waits until it is ready."""
  command = [sys.executable, "-m", "dr3d", "serve", f"--db={root / 'db'}"]
  process = subprocess.Popen(
    [*command, "--port=0", "--rate=0", f"--token-file={root / 'token'}"],
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout is not None
  found = re.search(r"http://[^;\s]+", process.stdout.readline())
  assert found is not None
  client = Client(found.group(), token=TOKEN, retry_timeout=300)
  while client.describe_service()["views"] is None:
    time.sleep(0.1)
  return process, client


def stop(process: subprocess.Popen) -> None:
  """Ends the service by SIGTERM."""
  process.send_signal(signal.SIGTERM)
  assert process.wait(60) == 0


def add(
  url: str, root: pathlib.Path, accepted: dict[str, pathlib.Path], mark: str
) -> None:
  """Adds models until the service is gone; records the accepted ones."""
  chance = random.Random(mark)
  client = Client(url, token=TOKEN, retry_timeout=0)
  for number in range(10_000):
    path = root / "sent" / f"{mark}-{number}.stl"
    path.parent.mkdir(exist_ok=True)
    box = trimesh.creation.box([chance.uniform(1, 9) for _ in range(3)])
    path.write_bytes(box.export(file_type="stl"))
    try:
      assert not client.add([path], label=mark).failures
    except Dr3dError:
      return
    accepted[path.name] = path


def check(client: Client, accepted: dict[str, pathlib.Path]) -> int:
  """Counts models that are missing, not indexed, or have another file."""
  rows = {model.name: model for model in client.models()}
  lost = 0
  for name, path in accepted.items():
    is_kept = (
      name in rows
      and rows[name].state == "indexed"
      and client.read_file(name) == path.read_bytes()
    )
    lost += not is_kept
  return lost


if __name__ == "__main__":
  app.run(main)
