"""Kills `dr3d index` at random moments and checks the database.

    python -m experiments.kill_index --kills=50

Indexes a folder of small meshes repeatedly. Each run is killed (SIGKILL) at a
random moment after its first write; runs that ended before do not count.
Between kills some files change, are added or removed. After every kill the
database must open, hold no row twice, and have the written vectors of each
indexed row. At the end one run finishes, and the catalogue must equal that of a
new database of the same folder, byte for byte. Prints one line per kill.
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

from dr3d.database.catalogue import FILE, open_catalogue
from dr3d.database.row import read_features
from dr3d.database.sqlite_file import transaction
from experiments.tiny import make_tiny_pipeline

KILLS = flags.DEFINE_integer("kills", 50, "Runs to kill.")
MODELS = flags.DEFINE_integer("models", 300, "Files in the folder.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the moments and the changes.")


def main(argv: list[str]) -> None:
  del argv
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
  print("the same as a new database" if same else "NOT the same")
  sys.exit(not same)


def wait_for_write(directory: pathlib.Path, process: subprocess.Popen) -> None:
  """Returns when the process has written vectors or has ended."""
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
  """Checks the integrity of a database; returns its number of rows."""
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
    read_features(opened)  # raises if a checksum does not match
  return count


def rows(directory: pathlib.Path) -> list[tuple]:
  """Returns all rows of models with a file, without the slot of the vectors.

  The slot depends on the order of writes. The row holds the vectors' checksum,
  which `check` compares.
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
  """Writes a box of random size; one file in twenty is not a mesh."""
  path.parent.mkdir(parents=True, exist_ok=True)
  box = trimesh.creation.box([chance.uniform(1, 9) for _ in range(3)])
  data = b"nothing" if chance.random() < 0.05 else box.export(file_type="stl")
  path.write_bytes(data)


if __name__ == "__main__":
  app.run(main)
