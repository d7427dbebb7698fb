r"""Backs a database up each second while another process changes it.

    python -m experiments.back_up_while_writing --writes=1000

A child process stores, labels and removes models, rebuilds and changes the
pipeline, in random order, and reports each change before and after it. Each
second a backup is made. At the end every backup is restored, which checks all
of it, and is compared with the reports: a model that was stored before the
backup began, and not touched until it ended, must be in it with its label; no
other model may be, unless it was touched meanwhile. Prints one line for each
backup that fails, and the counts; the exit status is 1 if any failed.

The pipeline is a stand-in, as in `kill_database`.
"""

import dataclasses
import os
import pathlib
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from dr3d.database import backup
from dr3d.database.writer import Database
from dr3d.error import DatabaseError
from experiments.kill_database import Measures, change, open_database

WRITES = flags.DEFINE_integer("writes", 1000, "Changes that the child makes.")
WRITER = flags.DEFINE_string("writer", "", "Folder; set for the child only.")

MODELS = 200  # at most so many are kept
CHANGES = (
  *("store", "store", "label", "remove") * 5,
  *("rebuild", "switch"),
)
PERIOD = 1.0  # seconds between the starts of two backups


@dataclasses.dataclass
class Reports:
  """What the child has said so far.

  Attributes:
    labels: of the models that are stored, by name.
    touched: names of changes that began since the last `forget`.
    active: name of the change that has not ended; empty if none.
    done: number of changes that ended.
  """

  labels: dict[str, str] = dataclasses.field(default_factory=dict)
  touched: set[str] = dataclasses.field(default_factory=set)
  active: str = ""
  done: int = 0

  def forget(self) -> None:
    """Starts `touched` again, with the change that has not ended."""
    self.touched = {self.active}

  def read(self, line: str) -> None:
    """Notes a line of the child."""
    state, what, *rest = line.split()
    name = rest[0] if rest else ""
    if state == "begin":
      self.active = name
      self.touched.add(name)
      return
    self.active, self.done = "", self.done + 1
    if what in ("store", "label"):
      self.labels[name] = rest[1]
    elif what == "remove":
      del self.labels[name]


@dataclasses.dataclass(frozen=True)
class Copy:
  """A backup, and what it must hold.

  Attributes:
    path: of the backup.
    seconds: that it took.
    labels: of the models that were stored when it began.
    touched: names that changed while it was made, and may be in either state.
  """

  path: pathlib.Path
  seconds: float
  labels: dict[str, str]
  touched: set[str]


def main(argv: list[str]) -> None:
  del argv
  if WRITER.value:
    write(pathlib.Path(WRITER.value))
    return
  with tempfile.TemporaryDirectory() as temporary:
    root = pathlib.Path(temporary)
    Database.create(root / "db", Measures("first"))
    begin = time.monotonic()
    copies, reports = back_up_each_second(root)
    seconds = time.monotonic() - begin
    wrong = 0
    for copy in copies:
      try:
        reason = compare(root, copy)
      except DatabaseError as error:
        reason = str(error)
      wrong += bool(reason)
      if reason:
        print(f"{copy.path.name}: {reason}", flush=True)
  longest = max(copy.seconds for copy in copies)
  print(
    f"{reports.done} changes in {seconds:.0f} s, {len(copies)} backups of at"
    f" most {longest:.2f} s, {wrong} of them wrong"
  )
  sys.exit(bool(wrong))


def back_up_each_second(root: pathlib.Path) -> tuple[list[Copy], Reports]:
  """Makes backups until the child has made all its changes."""
  child = subprocess.Popen(
    [
      *(sys.executable, "-m", "experiments.back_up_while_writing"),
      *(f"--writer={root}", f"--writes={WRITES.value}"),
    ],
    stdout=subprocess.PIPE,
  )
  assert child.stdout is not None
  descriptor = child.stdout.fileno()
  copies: list[Copy] = []
  reports, rest = Reports(), b""

  def drain() -> bool:
    """Reads what the child has said; False if it has ended."""
    nonlocal rest
    while select.select([descriptor], [], [], 0)[0]:
      data = os.read(descriptor, 1 << 16)
      if not data:
        return False
      *lines, rest = (rest + data).split(b"\n")
      for line in lines:
        reports.read(line.decode())
    return True

  try:
    while drain():
      start = time.monotonic()
      reports.forget()
      labels = dict(reports.labels)
      path = root / "backups" / str(len(copies))
      backup.back_up(root / "db", path)
      seconds = time.monotonic() - start
      drain()
      copies.append(Copy(path, seconds, labels, set(reports.touched)))
      time.sleep(max(0.0, PERIOD - seconds))
  finally:
    if child.poll() is None:
      child.kill()
  if child.wait():
    sys.exit("the child failed")
  return copies, reports


def compare(root: pathlib.Path, copy: Copy) -> str:
  """Restores a backup; returns what is wrong with it, or nothing."""
  home = root / "restored"
  backup.restore(copy.path, home, load_pipeline=Measures.load)
  found = {m.name: m.label for m in open_database(home).models()}
  shutil.rmtree(home)
  for name in (found.keys() | copy.labels.keys()) - copy.touched:
    if found.get(name) != copy.labels.get(name):
      return (
        f"{name} has the label {found.get(name)}, not {copy.labels.get(name)}"
      )
  return ""


def write(root: pathlib.Path) -> None:
  """Makes the changes; runs in the child."""
  chance = random.Random(0)
  database = open_database(root / "db")
  names: list[str] = []
  made = 0
  while made < WRITES.value:
    what = chance.choice(CHANGES)
    made += change(what, root, database, names, chance, most=MODELS)


if __name__ == "__main__":
  app.run(main)
