r"""Kills a process that changes a database, and checks what is left.

    python -m experiments.kill_database --kills=200

A child process stores, labels and removes models, rebuilds, changes the
pipeline, backs up, restores and migrates a stored database of format 3, in
random order, and prints each change when it is reported as done. It is killed
(SIGKILL) at a random moment and started again. After every kill all models that
were reported must be there with their labels, removed ones must not, all of
them must be searched, `check` must find no damage, and a backup that exists
must restore. Prints one line a kill; about two seconds each on one core.

The pipeline is a stand-in whose vectors are measures of a mesh, so that the
time goes into the database.
"""

import collections
import dataclasses
import functools
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable

import numpy as np
import trimesh
from absl import app, flags

from dr3d.data.folder import ModelFile
from dr3d.database import backup, catalogue, check, migration, sqlite_file
from dr3d.database.processed_model import read_processed_model
from dr3d.database.writer import Database
from dr3d.mesh import Mesh, make_mesh

KILLS = flags.DEFINE_integer("kills", 200, "Times that the child is killed.")
SEED = flags.DEFINE_integer("seed", 0, "Of the moments and the changes.")
STORED = flags.DEFINE_string(
  "stored",
  "tests/database/stored/format-3.zip",
  "Database of format 3 that is migrated.",
)
CHILD = flags.DEFINE_string("child", "", "Folder; set for the child only.")

MODELS = 24  # at most so many are kept
CHANGES = (
  *("store", "store", "label", "remove"),
  *("rebuild", "switch", "backup", "migrate"),
)


@dataclasses.dataclass(frozen=True)
class Measures:
  """A pipeline whose vectors are measures of a mesh."""

  fingerprint: str
  face_budget: int | None = 200

  def embed(self, meshes: list[Mesh]) -> np.ndarray:
    """See `EmbeddingPipeline`."""
    rows = np.array([[*mesh.extent, 0.3 * mesh.extent[0]] for mesh in meshes])
    rows = rows[:, None, :] * np.array([[1, 1, 1, 1], [1, 1, 1, -1]])
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows.astype(np.float32)

  def save(self, directory: pathlib.Path) -> None:
    """See `EmbeddingPipeline`."""
    directory.mkdir(exist_ok=True)
    (directory / "name").write_text(self.fingerprint)

  @classmethod
  def load(cls, directory: pathlib.Path) -> "Measures":
    """Reads it again."""
    return cls((directory / "name").read_text())


def open_database(directory: pathlib.Path) -> Database:
  """Opens a database of the stand-in."""
  return Database.open(directory, load_pipeline=Measures.load)


def main(argv: list[str]) -> None:
  del argv
  if CHILD.value:
    run_child(pathlib.Path(CHILD.value), random.Random(SEED.value))
    return
  chance = random.Random(SEED.value)
  tally: collections.Counter[str] = collections.Counter()
  with tempfile.TemporaryDirectory() as temporary:
    root = pathlib.Path(temporary)
    Database.create(root / "db", Measures("first"))
    labels: dict[str, str] = {}
    for number in range(KILLS.value):
      lines = run_and_kill(root, chance)
      doubtful = read_lines(lines, labels)
      for line in lines:
        tally[line.split()[1]] += line.startswith("done")
      verify(root, labels, doubtful)
      during = " ".join(doubtful) or "between changes"
      print(f"{number + 1}: {len(labels)} models, killed {during}", flush=True)
  print(", ".join(f"{n} {name}" for name, n in sorted(tally.items())))
  print("nothing that was reported is lost")


def run_and_kill(root: pathlib.Path, chance: random.Random) -> list[str]:
  """Runs the child until it is killed; returns the lines that it printed."""
  child = subprocess.Popen(
    [
      *(sys.executable, "-m", "experiments.kill_database"),
      *(f"--child={root}", f"--seed={chance.randrange(1 << 30)}"),
      f"--stored={STORED.value}",
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert child.stdout is not None
  first = child.stdout.readline()
  time.sleep(chance.uniform(0, 1.5))
  child.send_signal(signal.SIGKILL)
  rest, errors = child.communicate()
  if child.returncode != -signal.SIGKILL:
    sys.exit(errors)
  lines = (first + rest).splitlines()
  # A line that the kill cut off was not reported.
  return lines if (first + rest).endswith("\n") else lines[:-1]


def read_lines(lines: list[str], labels: dict[str, str]) -> list[str]:
  """Notes the changes that were reported; returns the one that was not."""
  started: list[str] = []
  for line in lines:
    state, what, *rest = line.split()
    if state == "begin":
      started = [what, *rest]
      continue
    started = []
    if what in ("store", "label"):
      labels[rest[0]] = rest[1]
    elif what == "remove":
      del labels[rest[0]]
  return started


def verify(
  root: pathlib.Path, labels: dict[str, str], doubtful: list[str]
) -> None:
  """Raises AssertionError if a reported change is lost."""
  database = open_database(root / "db")
  database.recover()
  found = {model.name: model for model in database.models()}
  name = doubtful[1] if len(doubtful) > 1 else ""
  if name and doubtful[0] in ("store", "label", "remove"):
    if name in found:  # either state is right; later kills start from this one
      labels[name] = found[name].label
    else:
      assert doubtful[0] != "label", doubtful
      labels.pop(name, None)
  assert {n: m.label for n, m in found.items()} == labels, (doubtful, found)
  assert database.count_states()["indexed"] == len(labels)
  kinds = [f for f in scan(root / "db") if f.kind != "leftover"]
  assert not kinds, kinds
  if labels:
    box = trimesh.creation.box([1, 2, 3])
    query = make_mesh(box.vertices, box.faces)
    matches = database.query(query, k=999, verify=0).matches
    assert {match.model for match in matches} <= set(labels)
  check_copies(root)


def check_copies(root: pathlib.Path) -> None:
  """Restores what backups exist, and completes a migration."""
  for path in root.glob("backup-*"):
    if not path.name.endswith(".partial"):
      backup.restore(path, root / "good", load_pipeline=Measures.load)
      shutil.rmtree(root / "good")
    shutil.rmtree(path)
  for path in root.glob("restored-*"):
    if not path.name.endswith(".partial"):
      assert not scan(path)
    shutil.rmtree(path)
  former = root / "former" / "db"
  if (former / catalogue.FILE).exists():
    with sqlite_file.writer_lock(former):
      migration.migrate(former)
    with catalogue.open_catalogue(former) as connection:
      assert len(catalogue.read_models(connection)) == 7
  shutil.rmtree(root / "former", ignore_errors=True)  # the child may have begun


def scan(directory: pathlib.Path) -> list[check.Finding]:
  """What `check` finds."""
  return list(check.scan(directory, load_pipeline=Measures.load))


def run_child(root: pathlib.Path, chance: random.Random) -> None:
  """Changes the database until it is killed."""
  database = open_database(root / "db")
  names = [model.name for model in database.models()]
  for number in range(1 << 30):
    what = chance.choice(CHANGES)
    if what == "backup":
      copy(root, number)
    elif what == "migrate":
      migrate(root)
    else:
      change(what, root, database, names, chance, most=MODELS)


def change(
  what: str,
  root: pathlib.Path,
  database: Database,
  names: list[str],
  chance: random.Random,
  *,
  most: int,
) -> bool:
  """Changes a database and reports it.

  Args:
    what: store, label, remove, rebuild or switch.
    root: folder for the files of new models.
    database: to change.
    names: of its models, which are changed as it is.
    chance: chooses models and labels.
    most: models; none is stored beyond them.

  Returns:
    Whether anything was changed.
  """
  if what in ("label", "remove") and not names:
    what = "store"
  if what == "store":
    if len(names) >= most:
      return False
    names.append(store(root, database, chance))
  elif what == "label":
    name, label = chance.choice(names), f"l{chance.randrange(99)}"
    report(
      what, name, label, act=functools.partial(database.label, name, label)
    )
  elif what == "remove":
    name = names.pop(chance.randrange(len(names)))
    report(what, name, act=functools.partial(database.remove, [name]))
  elif what == "rebuild":
    report(what, act=database.rebuild)
  else:
    other = Measures(f"p{chance.randrange(1 << 30)}")
    report(what, act=functools.partial(database.rebuild, other))
  return True


def report(what: str, *words: str, act: Callable[[], object]) -> None:
  """Says that a change begins, makes it, and says that it is done."""
  print("begin", what, *words, flush=True)
  act()
  print("done", what, *words, flush=True)


def store(root: pathlib.Path, database: Database, chance: random.Random) -> str:
  """Stores a box of random sides; returns its name."""
  name = f"m{chance.randrange(1 << 40)}.stl"
  path = root / "upload.stl"
  trimesh.creation.box([chance.uniform(1, 9) for _ in range(3)]).export(path)
  processed = read_processed_model(path, face_budget=200)
  file = ModelFile(path, name, "new")
  report(
    "store",
    name,
    "new",
    act=lambda: database.store_file(file, processed=processed),
  )
  return name


def copy(root: pathlib.Path, number: int) -> None:
  """Backs the database up and restores the backup."""
  source = root / f"backup-{number}"
  report("backup", act=lambda: backup.back_up(root / "db", source))
  report(
    "restore",
    act=lambda: backup.restore(
      source, root / f"restored-{number}", load_pipeline=Measures.load
    ),
  )


def migrate(root: pathlib.Path) -> None:
  """Migrates a new copy of the stored database."""
  former = root / "former"
  for path in (former, root / "unpacked"):
    shutil.rmtree(path, ignore_errors=True)
  with zipfile.ZipFile(STORED.value) as archive:
    archive.extractall(root / "unpacked")
  (root / "unpacked").rename(former)  # whole, or not there

  def act() -> None:
    with sqlite_file.writer_lock(former / "db"):
      migration.migrate(former / "db")

  report("migrate", act=act)


if __name__ == "__main__":
  app.run(main)
