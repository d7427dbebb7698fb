"""One SQLite file, opened so that every failure is one clear sentence."""

import contextlib
import os
import pathlib
import shutil
import sqlite3
from collections.abc import Iterator
from typing import Literal

from dr3d.database.connection import Connection
from dr3d.database.postgres import SharedConnection
from dr3d.error import DatabaseError, FullDiskError, LockError

_LOCK = "writer.lock"
_TIMEOUT = 60.0  # seconds to wait for another process's short transaction
_MIN_FREE = 1 << 16  # bytes: the shared index of the log takes 32 KiB

Mode = Literal["rw", "rwc", "ro", "ro&immutable=1"]


@contextlib.contextmanager
def connect(
  path: pathlib.Path, *, mode: Mode = "rw", timeout: float = _TIMEOUT
) -> Iterator[sqlite3.Connection]:
  """Opens a file and turns SQLite's exceptions into sentences.

  Args:
    path: of the file.
    mode: as SQLite names it in a URI: "rw", "rwc" to make the file, "ro".
    timeout: seconds to wait for another process's short transaction.

  Raises:
    FullDiskError: the disk is full.
    DatabaseError: the file is damaged or cannot be used.
  """
  try:
    connection = sqlite3.connect(
      f"{path.absolute().as_uri()}?mode={mode}",
      uri=True,
      timeout=timeout,
      isolation_level=None,  # transactions begin where this module says so
    )
    with contextlib.closing(connection):
      yield connection
  except sqlite3.Error as error:
    raise _explain(error, path) from error


def make_durable(connection: sqlite3.Connection) -> None:
  """Sets how commits and deletions reach the disk."""
  # A commit is on the disk before it is reported, also in builds of SQLite
  # whose default is weaker.
  connection.execute("PRAGMA synchronous = FULL")
  # Deleted rows are overwritten with zeros, not only marked as free.
  connection.execute("PRAGMA secure_delete = ON")


def reading_mode(path: pathlib.Path) -> Mode:
  """How SQLite must open a file whose folder may be read-only or full.

  Even readers write to the file that coordinates them, unless they are told
  that there is nothing to coordinate. On a full disk they cannot make it, and
  neither can a writer, so there is nothing to coordinate either.

  Raises:
    DatabaseError: the folder is read-only and its last writer was interrupted,
      so that SQLite cannot tell which writes are complete.
  """
  shared = path.with_name(path.name + "-shm")
  if os.access(path.parent, os.W_OK) and (
    shared.exists() or not is_full(path.parent)
  ):
    return "rw"
  log = path.with_name(path.name + "-wal")
  if not log.exists() or not log.stat().st_size:
    return "ro&immutable=1"
  if is_full(path.parent):
    raise _report_full(path)
  if not shared.exists():
    raise DatabaseError(
      f"{path.parent} is read-only, and its last writer was interrupted: run"
      " dr3d info on it once where it can be written, then copy it again."
    )
  return "ro"


@contextlib.contextmanager
def transaction(
  connection: Connection,
  *,
  kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE",
) -> Iterator[None]:
  """All statements of the block are kept, or none of them.

  A block inside another one belongs to that one.

  Args:
    connection: of the file, or to PostgreSQL.
    kind: "IMMEDIATE" to write; with "DEFERRED" everything that the block reads
      is of one state of the file.
  """
  if connection.in_transaction:
    yield
    return
  if isinstance(connection, SharedConnection):
    connection.begin(kind)
  else:
    connection.execute(f"BEGIN {kind}")
  try:
    yield
    # Within the block that rolls back: a commit that the disk refuses leaves
    # the transaction open.
    connection.execute("COMMIT")
  except BaseException:
    if connection.in_transaction:  # SQLite may have rolled back by itself
      connection.execute("ROLLBACK")
    raise


@contextlib.contextmanager
def writer_lock(
  directory: pathlib.Path, *, name: str = _LOCK
) -> Iterator[None]:
  """Keeps a second writer out, in this process or another, until the end.

  A lock of SQLite on a file of its own, so that it works on every system and
  ends with the process, however that ends.

  Args:
    directory: of the database.
    name: of the file; another one for what does not write the catalogue.

  Raises:
    LockError: another process writes.
    DatabaseError: the directory cannot be written.
  """
  path = directory / name
  with connect(path, mode="rwc", timeout=0) as connection:
    try:
      # A journal on the disk would make the lock fail on a full one.
      connection.execute("PRAGMA journal_mode = MEMORY")
      connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
      code = _read_code(error)
      if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise DatabaseError(
          f"{path} is damaged. It holds no data: delete it and give the "
          "command again."
        ) from error
      if code != sqlite3.SQLITE_BUSY:
        raise
      raise LockError(
        f"{directory} is being written by another process: wait until it ends."
      ) from error
    yield


def is_full(directory: pathlib.Path) -> bool:
  """Whether SQLite cannot make its files here for want of space."""
  try:
    return shutil.disk_usage(directory).free < _MIN_FREE
  except OSError:
    return False


def is_damage(error: DatabaseError) -> bool:
  """Whether an error of `connect` is of the file, not of the moment."""
  cause = error.__cause__
  return isinstance(cause, sqlite3.Error) and _read_code(cause) not in (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
  )


def has_lock(directory: pathlib.Path) -> bool:
  """Whether a writer has ever used this directory."""
  return (directory / _LOCK).exists()


def _explain(error: sqlite3.Error, path: pathlib.Path) -> DatabaseError:
  """Makes the sentence that says what is wrong and what to do."""
  code = _read_code(error)
  is_refused = code in (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
  )
  if code == sqlite3.SQLITE_FULL or (is_refused and is_full(path.parent)):
    return _report_full(path)
  if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
    return DatabaseError(
      f"{path} is damaged ({error}): restore it from a backup, or index the "
      "models into a new database."
    )
  if code == sqlite3.SQLITE_READONLY or (
    code == sqlite3.SQLITE_CANTOPEN and not os.access(path.parent, os.W_OK)
  ):
    return DatabaseError(
      f"{path.parent} cannot be written: it is read-only for this user."
    )
  if code == sqlite3.SQLITE_IOERR:
    return DatabaseError(
      f"{path} cannot be used, because the disk reports an error ({error}): "
      "nothing of this change is kept; check the disk."
    )
  return DatabaseError(f"{path} cannot be used ({error}).")


def _report_full(path: pathlib.Path) -> FullDiskError:
  return FullDiskError(
    f"{path.parent} is on a disk that is full: make space and give the same "
    "command again; what was stored before is kept."
  )


def _read_code(error: sqlite3.Error) -> int:
  """Primary result code; the bits above it tell details."""
  return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
