"""Disk space that is given up so that models can be deleted on a full disk.

SQLite writes a deletion to its log before it frees anything, so without a
reserve nothing can be deleted from a disk that is full.
"""

import contextlib
import os
import pathlib
import shutil

FILE = "reserve"
SIZE = 4 << 20
"""Bytes: the log of about a hundred deleted models of 40 kB each."""


def keep(directory: pathlib.Path) -> None:
  """Writes the reserve if it is missing and the disk has twice the space."""
  path = directory / FILE
  if path.exists() or shutil.disk_usage(directory).free < 2 * SIZE:
    return
  try:
    with path.open("wb") as file:
      file.write(bytes(SIZE))  # a sparse file would reserve nothing
      file.flush()
      os.fsync(file.fileno())
  except OSError:
    with contextlib.suppress(OSError):
      path.unlink(missing_ok=True)


def spend(directory: pathlib.Path) -> bool:
  """Gives the reserve up; returns whether there was one."""
  path = directory / FILE
  if not path.exists():
    return False
  path.unlink()
  return True
