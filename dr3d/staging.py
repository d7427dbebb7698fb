"""Directories that appear whole or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator


@contextlib.contextmanager
def staged(directory: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields an empty directory that becomes `directory` when the block ends.

  The files are written to the disk before the new name is given, so after a
  kill or a power cut `directory` is either whole or absent. What stood there
  before is replaced. A killed run leaves `directory` + `.partial` behind,
  which the next run removes; two writers at once must be kept apart by a lock.

  Args:
    directory: the directory to make; its parent must exist.

  Yields:
    The path of the directory to write into.
  """
  partial = directory.with_name(directory.name + ".partial")
  shutil.rmtree(partial, ignore_errors=True)
  partial.mkdir()
  try:
    yield partial
    for path in [*partial.rglob("*"), partial]:
      _sync(path)
    if directory.exists():
      shutil.rmtree(directory)
    partial.rename(directory)
    _sync(directory.parent)
  except BaseException:
    shutil.rmtree(partial, ignore_errors=True)
    raise


def _sync(path: pathlib.Path) -> None:
  """Waits until a file or a directory is on the disk."""
  if path.is_dir() and os.name == "nt":  # Windows cannot open directories
    return
  descriptor = os.open(path, os.O_RDONLY)
  try:
    with contextlib.suppress(OSError):  # some network file systems refuse
      os.fsync(descriptor)
  finally:
    os.close(descriptor)
