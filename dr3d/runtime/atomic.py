"""Files and directories that appear whole or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator


@contextlib.contextmanager
def atomic_directory(directory: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields an empty directory that becomes `directory` when the block ends.

  The files are written to the disk before the new name is given, and what
  stood there before is set aside until then, so after a kill or a power cut
  the old directory or the new one is whole: where `find_whole` says. What a
  killed run leaves behind is put back or removed by the next one; two writers
  at once must be kept apart by a lock.

  Args:
    directory: the directory to make; its parent must exist.

  Yields:
    The path of the directory to write into.
  """
  _settle(directory)
  partial = directory.with_name(directory.name + ".partial")
  former = _set_aside(directory)
  shutil.rmtree(partial, ignore_errors=True)
  partial.mkdir()
  try:
    yield partial
    for path in [*partial.rglob("*"), partial]:
      sync(path)
    if directory.exists():
      directory.rename(former)
    partial.rename(directory)
    sync(directory.parent)
    shutil.rmtree(former, ignore_errors=True)
  except BaseException:
    _settle(directory)
    shutil.rmtree(partial, ignore_errors=True)
    raise


@contextlib.contextmanager
def atomic_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a path whose file takes the place of `path` when the block ends.

  Its folder is made if need be. If the block fails, `path` stays as it was.

  Args:
    path: the file to make.

  Yields:
    The path to write to, in the same folder, with the same ending.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f".{path.stem}.partial{path.suffix}")
  try:
    yield partial
    partial.replace(path)
  finally:
    partial.unlink(missing_ok=True)


def find_whole(directory: pathlib.Path) -> pathlib.Path:
  """Returns where to read what `atomic_directory` wrote.

  That is `directory`, or what stood there before, where a run was killed
  after it had set this aside.
  """
  former = _set_aside(directory)
  return former if former.exists() and not directory.exists() else directory


def _settle(directory: pathlib.Path) -> None:
  """Puts back what a killed run set aside, or removes it if replaced."""
  former = _set_aside(directory)
  if find_whole(directory) == former:
    former.rename(directory)
  elif former.exists():
    shutil.rmtree(former, ignore_errors=True)


def _set_aside(directory: pathlib.Path) -> pathlib.Path:
  return directory.with_name(directory.name + ".former")


def sync(path: pathlib.Path) -> None:
  """Waits until a file or a directory is on the disk."""
  if path.is_dir() and os.name == "nt":  # Windows cannot open directories
    return
  descriptor = os.open(path, os.O_RDONLY)
  try:
    with contextlib.suppress(OSError):  # some network file systems refuse
      os.fsync(descriptor)
  finally:
    os.close(descriptor)
