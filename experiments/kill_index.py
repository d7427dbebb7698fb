r"""Kills `dr3d index` at random moments and looks at what is left.

    python -m experiments.kill_index --kills=50

Indexes a folder of small meshes again and again with the command, each run
killed (SIGKILL) at a random moment after its first write, within the time that
a whole run writes; one that had ended before does not count. Between kills some
files change, come or go. After every kill the database must open, hold no row
twice, and have for each indexed row the vectors that were written; at the end
one run is left to finish, and the catalogue must be that of a fresh database of
the same folder, to the byte. Prints one line a kill.
"""

import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import trimesh
from absl import app, flags

from dr3d.cli import environment
from dr3d.database.catalogue import FILE, open_catalogue
from dr3d.database.row import read_features
from dr3d.database.sqlite_file import transaction
from experiments.tiny import make_tiny_pipeline

KILLS = flags.DEFINE_integer("kills", 50, "Runs that are killed.")
MODELS = flags.DEFINE_integer("models", 300, "Files in the folder.")
SEED = flags.DEFINE_integer("seed", 0, "Of the moments and the changes.")


def main(argv: list[str]) -> None:
  del argv
  environment.set_cache()
  chance = random.Random(SEED.value)
  with tempfile.TemporaryDirectory() as temporary:
    root = pathlib.Path(temporary)
    make_tiny_pipeline().save(root / "pipeline")
    models = root / "models"
    for i in range(MODELS.value):
      write_model(models / f"{i % 7}" / f"{i:04d}.stl", chance)
    finish(start(root / "warm", root))
    timed = start(root / "timed", root)
    wait_for_write(root / "timed", timed)
    begin = time.perf_counter()
    finish(timed)
    span = time.perf_counter() - begin
    print(f"a whole run writes for {span:.1f} s", flush=True)
    landed = late = 0
    while landed < KILLS.value:
      process = start(root / "db", root)
      wait_for_write(root / "db", process)
      moment = chance.uniform(0, span)
      time.sleep(moment)
      if process.poll() is None:
        landed += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = check(root / "db")
        print(f"{landed}: after {moment:.2f} s, {found} rows", flush=True)
      else:
        late += 1
        span *= 0.9
      for _ in range(MODELS.value // 4):
        i = chance.randrange(2 * MODELS.value)
        write_model(models / f"{i % 7}" / f"{i:04d}.stl", chance)
      chance.choice(sorted(models.rglob("*.stl"))).unlink()
    finish(start(root / "db", root))
    finish(start(root / "fresh", root))
    same = rows(root / "db") == rows(root / "fresh")
  print(f"{landed} runs killed, {late} had ended before")
  print("the same as a fresh database" if same else "NOT the same")
  sys.exit(not same)


def wait_for_write(directory: pathlib.Path, process: subprocess.Popen) -> None:
  """Returns when the process has written vectors, or has ended."""
  before = list_vectors(directory)
  while process.poll() is None and list_vectors(directory) == before:
    time.sleep(0.005)


def list_vectors(directory: pathlib.Path) -> list[tuple]:
  """Name, size and time of the files of vectors."""
  found = []
  for path in sorted(directory.glob("vectors-*.f32")):
    status = path.stat()
    found.append((path.name, status.st_size, status.st_mtime_ns))
  return found


def start(directory: pathlib.Path, root: pathlib.Path) -> subprocess.Popen:
  """Starts `dr3d index`."""
  return subprocess.Popen(
    [
      sys.executable,
      *("-m", "dr3d", "index", f"--db={directory}"),
      *(f"--models={root / 'models'}", f"--pipeline={root / 'pipeline'}"),
    ],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
  )


def finish(process: subprocess.Popen) -> None:
  """Waits for a run that must succeed."""
  _, errors = process.communicate()
  if process.returncode:
    sys.exit(errors.decode())


def check(directory: pathlib.Path) -> int:
  """Asks SQLite whether all is well; returns the number of rows."""
  if not (directory / FILE).exists():
    return 0
  with sqlite3.connect(directory / FILE) as connection:
    (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    assert verdict == "ok", verdict
    tables = connection.execute("SELECT count(*) FROM sqlite_master")
    if not tables.fetchone()[0]:
      return 0
    (count, names, broken) = connection.execute(
      "SELECT count(*), count(DISTINCT name), sum(state = 'indexed' AND "
      "(slot IS NULL OR name NOT IN (SELECT name FROM shape))) FROM model"
    ).fetchone()
  assert count == names, (count, names)
  assert not broken, broken
  with (
    open_catalogue(directory) as opened,
    transaction(opened, kind="DEFERRED"),
  ):
    read_features(opened)  # raises where a checksum is not that of the vectors
  return count


def rows(directory: pathlib.Path) -> list[tuple]:
  """All that a catalogue says of models with a file, but where vectors stand.

  Their checksum is among it, and `check` looks whether it holds.
  """
  with sqlite3.connect(directory / FILE) as connection:
    connection.row_factory = sqlite3.Row
    found = connection.execute(
      "SELECT * FROM model LEFT JOIN shape USING (name) "
      "WHERE state <> 'missing' ORDER BY name"
    )
    return [
      tuple(row[key] for key in row.keys() if key != "slot")  # noqa: SIM118
      for row in found
    ]


def write_model(path: pathlib.Path, chance: random.Random) -> None:
  """Writes a box of random sides; one in twenty is no mesh."""
  path.parent.mkdir(parents=True, exist_ok=True)
  box = trimesh.creation.box([chance.uniform(1, 9) for _ in range(3)])
  data = b"nothing" if chance.random() < 0.05 else box.export(file_type="stl")
  path.write_bytes(data)


if __name__ == "__main__":
  app.run(main)
