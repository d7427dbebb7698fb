"""Builds the index of a large database in a process of its own.

Meanwhile the former index serves, and models that it does not know are compared
exactly. The process needs no writer's lock, so models can be added while it
runs: an index serves as long as it knows most models. A process that is killed
leaves a partial folder, which the next one removes.
"""

import pathlib
import shutil
import subprocess
import sys

from dr3d.database import catalogue, row, shared_index
from dr3d.database import snapshot as snapshot_lib
from dr3d.database.snapshot import is_good, read_snapshot
from dr3d.database.sqlite_file import writer_lock
from dr3d.error import DatabaseError, LockError
from dr3d.index.summary_file import can_save, save_summary

_LOCK = "index.lock"


def start(
  directory: pathlib.Path, *, exact_below: int, engine: str = "auto"
) -> bool:
  """Starts a process that builds the index, unless one is at work.

  Args:
    directory: of the database.
    exact_below: see `Database.open`.
    engine: see `Database.open`.

  Returns:
    Whether a process was started. It may outlive this one.
  """
  try:
    with writer_lock(directory, name=_LOCK):
      pass
  except DatabaseError:  # one is at work, or the directory is read only
    return False
  subprocess.Popen(
    [
      *(sys.executable, "-m", "dr3d.database.index_builder"),
      *(str(directory.absolute()), str(exact_below), engine),
    ],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    start_new_session=True,  # the end of a command does not end it
  )
  return True


def build(
  directory: pathlib.Path, *, exact_below: int, engine: str = "auto"
) -> bool:
  """Builds the index of the present state if the stored one is not good enough.

  Args:
    directory: of the database; its writer's lock may be held by others.
    exact_below: see `Database.open`.
    engine: see `Database.open`.

  Returns:
    Whether an index was stored. It is not if another process builds one, or if
    vectors were moved meanwhile, as when models are purged.

  Raises:
    DatabaseError: the database cannot be read.
    OSError: the disk does not accept the index.
  """
  try:
    with writer_lock(directory, name=_LOCK):
      generation = _read_generation(directory)
      snapshot = read_snapshot(
        directory, exact_below=exact_below, engine=engine
      )
      if is_good(snapshot.gallery.index):
        return False
      chosen = "scann" if engine == "auto" else engine
      index = snapshot_lib.build(snapshot, chosen)
      if not can_save(index):
        return False
      path = save_summary(index, directory, keys=snapshot.keys)
      if _read_generation(directory) != generation:
        # Purged models must not come back, not even as short vectors.
        shutil.rmtree(path, ignore_errors=True)
        return False
      shared_index.publish(directory, path)
      return True
  except LockError:
    return False


def _read_generation(directory: pathlib.Path) -> int:
  with catalogue.open_catalogue(directory) as connection:
    return row.read_layout(connection).generation


def main(argv: list[str]) -> None:
  """Builds an index; see `start`."""
  directory, exact_below, engine = argv[1:]
  build(pathlib.Path(directory), exact_below=int(exact_below), engine=engine)


if __name__ == "__main__":
  main(sys.argv)
