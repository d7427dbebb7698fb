"""The catalogue in a PostgreSQL database, which several machines share.

It has the tables of the SQLite file, and three more:

    vector    what stands in vectors-G.f32: a row for each slot
    object    files that belong to models, the pipeline, notes about uploads
    state     format, a number that each change raises, and an epoch

Rows, vectors and objects are written in one transaction. Write transactions
follow each other, as SQLite's do, so a writer sees what was committed before.
Any number of writers may add and edit models. What moves vectors of all models,
such as a rebuild, waits until it is the only writer, and begins an epoch. The
right to write ends with a session, however that ends. Each transaction compares
the epoch, so a writer that lost its session, as when the server was started
again, changes nothing after another one was alone.
"""

import contextlib
import pathlib
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from dr3d.database import shared
from dr3d.error import DatabaseError, Dr3dError, FullDiskError, LockError

_LOCK_SECONDS = 60  # that a writer waits for another one
_CONNECT_SECONDS = 20.0  # that a server may take to start again
_PAUSE_SECONDS = 0.25  # between attempts
_MAX_IDLE = 8  # connections that are kept for the next statements
_WRITER, _TRANSACTION = 0x64723301, 0x64723302  # keys of advisory locks

TABLES = """
CREATE TABLE vector (
  generation BIGINT,
  slot BIGINT,
  data BYTEA NOT NULL,
  PRIMARY KEY (generation, slot)
);
CREATE TABLE object (
  name TEXT COLLATE "C" PRIMARY KEY,
  data BYTEA NOT NULL
);
CREATE TABLE state (
  format BIGINT NOT NULL,
  identity TEXT NOT NULL,
  number BIGINT NOT NULL,
  epoch BIGINT NOT NULL
);
CREATE FUNCTION dr3d_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE state SET number = number + 1;
  RETURN NULL;
END $$;
CREATE TRIGGER dr3d_setting AFTER INSERT OR UPDATE OR DELETE ON setting
  FOR EACH STATEMENT EXECUTE FUNCTION dr3d_count();
CREATE TRIGGER dr3d_model AFTER INSERT OR UPDATE OR DELETE ON model
  FOR EACH STATEMENT EXECUTE FUNCTION dr3d_count();
"""

_idle: dict[str, list[Any]] = {}
_idle_lock = threading.Lock()
_rights = threading.local()  # `epochs`: of a thread that may write, by URI


class SharedConnection:
  """A connection to PostgreSQL with the calls of SQLite's.

  Attributes:
    directory: this machine's folder of the database.
    uri: of the server.
    objects: see `setting.OBJECTS`; None until it is read.
  """

  def __init__(self, raw: Any, directory: pathlib.Path, uri: str):
    self.directory = directory
    self.uri = uri
    self.objects: str | None = None
    self._raw = raw

  @property
  def in_transaction(self) -> bool:
    """Whether a transaction is open."""
    from psycopg.pq import TransactionStatus

    status = self._raw.info.transaction_status
    return status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)

  def execute(self, command: str, parameters: Any = (), /) -> Any:
    """Runs a statement; returns a cursor."""
    return self._raw.execute(_translate(command), parameters or None)

  def executemany(self, command: str, rows: Iterable[Any], /) -> Any:
    """Runs a statement for each row of parameters."""
    cursor = self._raw.cursor()
    cursor.executemany(_translate(command), rows)
    return cursor

  def begin(self, kind: Literal["IMMEDIATE", "DEFERRED"]) -> None:
    """Begins a transaction, as SQLite's of this kind.

    Raises:
      LockError: this thread has lost its right to write.
    """
    if kind == "DEFERRED":
      self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
      return
    self.execute("BEGIN")
    self.execute(
      "SELECT pg_advisory_xact_lock(?, hashtext(current_schema()))",
      (_TRANSACTION,),
    )
    epoch = _list_epochs().get(self.uri)
    if epoch is not None:
      (now,) = self.execute("SELECT epoch FROM state").fetchone()
      if now != epoch:
        raise LockError(
          f"{shared.hide_password(self.uri)} has ended the session of this"
          " writer, and another one has changed all models: give the same"
          " command again."
        )

  def read_state(self) -> tuple[int, str, int] | None:
    """Format, identity and number of changes; None if there are no tables."""
    try:
      return self.execute(
        "SELECT format, identity, number FROM state"
      ).fetchone()
    except import_psycopg().errors.UndefinedTable:
      return None


@contextlib.contextmanager
def connect(directory: pathlib.Path, uri: str) -> Iterator[SharedConnection]:
  """Opens a connection and turns PostgreSQL's errors into sentences.

  A server that is being started again is waited for.

  Args:
    directory: this machine's folder of the database.
    uri: of the server.

  Raises:
    DatabaseError: the server does not answer, or rejects a statement.
  """
  psycopg = import_psycopg()
  raw = None
  try:
    raw = _take(uri)
    yield SharedConnection(raw, directory, uri)
  except psycopg.Error as error:
    if raw is not None and raw.broken:
      _forget_idle(uri)
    raise _explain(error, uri) from error
  finally:
    if raw is not None:
      _give_back(uri, raw)


@contextlib.contextmanager
def writer_lock(
  directory: pathlib.Path,
  uri: str,
  *,
  alone: bool,
  seconds: float | None = None,
) -> Iterator[None]:
  """Makes this thread a writer until the block ends.

  Args:
    directory: this machine's folder of the database.
    uri: of the server.
    alone: whether there may be no other writer.
    seconds: that it waits for others; None for a minute.

  Raises:
    LockError: another process has kept this one waiting for a minute.
    DatabaseError: the server does not answer.
  """
  psycopg = import_psycopg()
  raw = None
  limit = _LOCK_SECONDS if seconds is None else seconds
  try:
    raw = _open(uri)
    connection = SharedConnection(raw, directory, uri)
    _take_lock(connection, limit, alone=alone)
    epoch = None
    if connection.read_state() is not None:
      if alone:
        connection.execute("UPDATE state SET epoch = epoch + 1")
      (epoch,) = connection.execute("SELECT epoch FROM state").fetchone()
  except psycopg.Error as error:
    if raw is not None:
      raw.close()
    raise _explain(error, uri) from error
  except LockError:
    assert raw is not None, "only a session can ask for the lock"
    raw.close()
    raise
  try:
    if epoch is not None:
      _list_epochs()[uri] = epoch
    yield
  finally:
    _list_epochs().pop(uri, None)
    raw.close()  # ends the session, and the lock with it


def _take_lock(
  connection: SharedConnection, limit: float, *, alone: bool
) -> None:
  """Takes the writer's lock.

  Raises:
    LockError: it did not become free in time.
  """
  mode = "" if alone else "_shared"
  end = time.monotonic() + limit
  # Asked for again and again: behind one who waits to be alone, PostgreSQL
  # would make all other writers wait as well.
  while True:
    (is_taken,) = connection.execute(
      f"SELECT pg_try_advisory_lock{mode}(?, hashtext(current_schema()))",
      (_WRITER,),
    ).fetchone()
    if is_taken:
      return
    if time.monotonic() > end:
      raise LockError(
        f"{shared.hide_password(connection.uri)} is being written by another"
        " process: wait until it ends."
      )
    time.sleep(_PAUSE_SECONDS)


def create_tables(connection: SharedConnection, version: int) -> None:
  """Makes what SQLite does not have; the caller is in a transaction."""
  for statement in _split(TABLES):
    connection.execute(statement)
  connection.execute(
    "INSERT INTO state VALUES (?, ?, 0, 0)", (version, uuid.uuid4().hex)
  )


def adapt_tables(tables: str) -> str:
  """SQLite's definitions of tables as those of PostgreSQL."""
  for before, after in (
    (" WITHOUT ROWID", ""),
    ("INTEGER", "BIGINT"),
    ("REAL", "DOUBLE PRECISION"),
    ("BLOB NOT NULL", "BYTEA"),  # or `object` names where they are
    ("thumbnail BYTEA", "thumbnail BYTEA,\n  object TEXT"),
    # SQLite orders text by its bytes.
    ("name TEXT PRIMARY", 'name TEXT COLLATE "C" PRIMARY'),
  ):
    tables = tables.replace(before, after)
  return tables


def import_psycopg() -> Any:
  """Returns the module.

  Raises:
    Dr3dError: it is not installed.
  """
  try:
    import psycopg
  except ImportError as error:
    raise Dr3dError(
      "psycopg is not installed: pip install 'dr3d[postgres]'."
    ) from error
  return psycopg


def _list_epochs() -> dict[str, int]:
  if not hasattr(_rights, "epochs"):
    _rights.epochs = {}
  return _rights.epochs


def _split(statements: str) -> Iterator[str]:
  """Yields statements; a function's body holds semicolons."""
  part = ""
  for piece in statements.split(";"):
    part += piece
    if part.count("$$") % 2:
      part += ";"
    else:
      if part.strip():
        yield part
      part = ""


def _translate(command: str) -> bytes:
  return command.replace("%", "%%").replace("?", "%s").encode()


def _take(uri: str) -> Any:
  """An idle connection that still answers, or a new one."""
  psycopg = import_psycopg()
  while True:
    with _idle_lock:
      raw = _idle.get(uri, []).pop() if _idle.get(uri) else None
    if raw is None:
      return _open(uri)
    try:
      raw.execute(b"SELECT 1")
    except psycopg.Error:  # the server was started again meanwhile
      raw.close()
    else:
      return raw


def _give_back(uri: str, raw: Any) -> None:
  from psycopg.pq import TransactionStatus

  is_idle = raw.info.transaction_status == TransactionStatus.IDLE
  with _idle_lock:
    kept = _idle.setdefault(uri, [])
    if is_idle and len(kept) < _MAX_IDLE:
      kept.append(raw)
      return
  raw.close()


def _forget_idle(uri: str) -> None:
  with _idle_lock:
    lost = _idle.pop(uri, [])
  for raw in lost:
    raw.close()


def _open(uri: str) -> Any:
  """Connects; waits for a server that is being started."""
  psycopg = import_psycopg()
  end = time.monotonic() + _CONNECT_SECONDS
  while True:
    try:
      raw = psycopg.connect(uri, autocommit=True, connect_timeout=10)
      break
    except psycopg.OperationalError as error:
      # One that answers has a reason, such as a wrong password.
      if not _is_away(error) or time.monotonic() > end:
        raise
      time.sleep(_PAUSE_SECONDS)
  # A commit is on the disk before it is reported, whatever the server's
  # default is; and a machine that is gone gives its lock back after a minute.
  raw.execute(b"SET synchronous_commit = on")
  raw.execute(b"SET tcp_keepalives_idle = 30")
  raw.execute(b"SET tcp_keepalives_interval = 10")
  raw.execute(b"SET tcp_keepalives_count = 3")
  raw.execute(b"SET client_min_messages = warning")
  return raw


def _is_away(error: Exception) -> bool:
  """Whether a server is away, starts or ends, and not one that rejects."""
  parts = (
    *("refused", "No such file", "closed the connection", "timeout"),
    *("starting up", "shutting down", "not yet accepting", "in recovery mode"),
  )
  return any(part in str(error) for part in parts)


def _explain(error: Exception, uri: str) -> DatabaseError:
  """Makes the sentence that says what is wrong and what to do."""
  psycopg = import_psycopg()
  name = shared.hide_password(uri)
  lines = str(error).strip().splitlines()
  reason = (lines[0] if lines else type(error).__name__).rstrip(".")
  if isinstance(error, psycopg.errors.LockNotAvailable):
    return LockError(
      f"{name} is being written by another process: wait until it ends."
    )
  if isinstance(error, psycopg.errors.DiskFull):
    return FullDiskError(
      f"{name} is on a disk that is full: make space and give the same command"
      " again; what was stored before is kept."
    )
  if isinstance(error, psycopg.errors.UndefinedTable):
    return DatabaseError(f"{name} holds no dr3d database ({reason}).")
  is_lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
  if is_lost:
    return DatabaseError(
      f"{name} does not answer ({reason}): what was reported as stored is kept;"
      " give the same command again when the server is back."
    )
  return DatabaseError(f"{name} cannot be used ({reason}).")
