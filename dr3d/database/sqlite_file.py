"""One SQLite file, opened so that every failure is one clear sentence."""

import contextlib
import os
import pathlib
import sqlite3
from collections.abc import Iterator

from dr3d.error import DatabaseError, LockError

_LOCK = "writer.lock"
_PATIENCE = 60.0


@contextlib.contextmanager
def connect(
  path: pathlib.Path, *, mode: str = "rw", patience: float = _PATIENCE
) -> Iterator[sqlite3.Connection]:
  """Opens a file and turns SQLite's exceptions into sentences.

  Args:
    path: of the file.
    mode: as SQLite names it in a URI: "rw", "rwc" to make the file, "ro".
    patience: seconds to wait for another process's short transaction.

  Raises:
    DatabaseError: the file is damaged or cannot be used.
  """
  try:
    connection = sqlite3.connect(
      f"{path.absolute().as_uri()}?mode={mode}",
      uri=True,
      timeout=patience,
      isolation_level=None,  # transactions begin where this module says so
    )
    with contextlib.closing(connection):
      yield connection
  except sqlite3.Error as error:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
      raise DatabaseError(
        f"{path.parent} is on a disk that is full: make space and give the "
        "same command again; what was stored before is kept."
      ) from error
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
      raise DatabaseError(
        f"{path} is damaged ({error}): restore it from a copy, or index the "
        "models into a new database."
      ) from error
    raise DatabaseError(f"{path} cannot be used ({error}).") from error


def reading_mode(path: pathlib.Path) -> str:
  """How SQLite must open a file that may stand where none can write.

  Even readers write to the file that coordinates them, unless they are told
  that there is nothing to coordinate.
  """
  if os.access(path.parent, os.W_OK):
    return "rw"
  writing = path.with_name(path.name + "-wal").exists()
  return "ro" if writing else "ro&immutable=1"


@contextlib.contextmanager
def transaction(
  connection: sqlite3.Connection, *, kind: str = "IMMEDIATE"
) -> Iterator[None]:
  """All statements of the block are kept, or none of them.

  Args:
    connection: of the file.
    kind: "IMMEDIATE" to write; with "DEFERRED" all that is read in the block
      is of one state of the file.
  """
  connection.execute(f"BEGIN {kind}")
  try:
    yield
  except BaseException:
    if connection.in_transaction:  # SQLite may have rolled back by itself
      connection.execute("ROLLBACK")
    raise
  connection.execute("COMMIT")


@contextlib.contextmanager
def writer_lock(directory: pathlib.Path) -> Iterator[None]:
  """Keeps a second writer out, in this process or another, until the end.

  A lock of SQLite on a file of its own, so that it works on every system and
  ends with the process, however that ends.

  Raises:
    LockError: another writer is at work.
  """
  with connect(directory / _LOCK, mode="rwc", patience=0) as connection:
    try:
      connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
      if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
        raise
      raise LockError(
        f"{directory} is being written by another process: wait until it ends."
      ) from error
    yield


def has_lock(directory: pathlib.Path) -> bool:
  """Whether a writer has ever been at work here."""
  return (directory / _LOCK).exists()
