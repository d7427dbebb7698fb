"""Files and directories that are replaced atomically."""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""Errors of file systems that cannot flush; any other means lost data."""


@contextlib.contextmanager
def atomic_directory(directory: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields an empty directory that replaces `directory` when the block ends.

  Files reach the disk before the rename, and the former directory is kept until
  then. So after a kill or a power cut either the old or the new directory is
  complete; `find_whole` tells which. The next call restores or removes what a
  killed one left. Two writers at the same time need a lock.

  Args:
    directory: the directory to replace; its parent must exist.

  Yields:
    The path of the directory to write into.
  """
  _recover(directory)
  partial = directory.with_name(directory.name + ".partial")
  former = _former_path(directory)
  shutil.rmtree(partial, ignore_errors=True)
  partial.mkdir()
  try:
    yield partial
    # Without this a power cut can leave the new name with empty files.
    for path in [*partial.rglob("*"), partial]:
      sync(path)
    if directory.exists():
      directory.rename(former)
    partial.rename(directory)
    sync(directory.parent)
    shutil.rmtree(former, ignore_errors=True)
  except BaseException:
    _recover(directory)
    shutil.rmtree(partial, ignore_errors=True)
    raise


@contextlib.contextmanager
def atomic_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a path whose file replaces `path` when the block ends.

  Creates the folder if it is missing. If the block raises, or the disk does not
  store the file, `path` is unchanged.

  Args:
    path: the file to replace.

  Yields:
    The path to write to, in the same folder, with the same extension.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f".{path.stem}.partial{path.suffix}")
  try:
    yield partial
    sync(partial)  # else a power cut can leave the new name with no content
    partial.replace(path)
    sync(path.parent)
  finally:
    partial.unlink(missing_ok=True)


def find_whole(directory: pathlib.Path) -> pathlib.Path:
  """Returns the path at which to read what `atomic_directory` wrote.

  That is `directory`, or the former directory if a run was killed between the
  two renames.
  """
  former = _former_path(directory)
  return former if former.exists() and not directory.exists() else directory


def _recover(directory: pathlib.Path) -> None:
  """Restores the former directory after a kill, or removes it if replaced."""
  former = _former_path(directory)
  if find_whole(directory) == former:
    former.rename(directory)
  elif former.exists():
    shutil.rmtree(former, ignore_errors=True)


def _former_path(directory: pathlib.Path) -> pathlib.Path:
  return directory.with_name(directory.name + ".former")


def sync(path: pathlib.Path) -> None:
  """Flushes a file or a directory to the disk.

  File systems that cannot flush, such as some network ones, are accepted.

  Raises:
    OSError: the disk did not store it. Nothing may then be reported as stored:
      the system can drop what it could not write, and a second flush would
      succeed without it.
  """
  if path.is_dir() and os.name == "nt":  # Windows cannot open directories
    return
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  except OSError as error:
    if error.errno not in _UNSUPPORTED:
      raise
  finally:
    os.close(descriptor)
