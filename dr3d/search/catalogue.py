"""The catalogue of a database: one SQLite file with models and vectors.

A model's vectors stand in the same row as its state, so the two can never
disagree, whenever the process is killed. The file is in write-ahead mode:
readers go on, with the state before, while a writer writes.
"""

import contextlib
import dataclasses
import os
import pathlib
import sqlite3
from collections.abc import Iterable, Iterator

import numpy as np

from dr3d.error import DatabaseError

FILE = "catalogue.sqlite"
FORMAT = 1
"""Version of the tables; a newer one is not opened."""

INDEXED = "indexed"
FAILED = "failed"
MISSING = "missing"

_APPLICATION = 0x64723364  # "dr3d", in the head of the SQLite file
_LOCK = "writer.lock"
_PATIENCE = 60.0  # seconds to wait for another process's short transaction

_PLAIN = (  # columns that are fields of `Model` as they stand
  "name",
  "label",
  "hash",
  "state",
  "reason",
  "fingerprint",
  "radius",
  "face_count",
)
_SCHEMA = """
CREATE TABLE setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE model (
  name TEXT PRIMARY KEY,
  label TEXT NOT NULL,
  hash TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('indexed', 'failed', 'missing')),
  reason TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  radius REAL,
  extent_a REAL,
  extent_b REAL,
  extent_c REAL,
  face_count INTEGER,
  views INTEGER,
  vectors BLOB,
  CHECK (state <> 'indexed' OR vectors IS NOT NULL)
);
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
  """A row of the catalogue.

  Attributes:
    name: unique; path of the file relative to the folder of models.
    label: empty for none.
    hash: SHA-256 of the file, empty where it could not be read.
    state: INDEXED; FAILED: the file cannot become a mesh or has no vectors;
      MISSING: the file was gone when the folder was last looked at.
    reason: why it failed, one sentence; otherwise empty.
    fingerprint: of the pipeline that the row was made with.
    radius: of the smallest enclosing sphere, in the unit of the file; None,
      like all that follows, in rows without vectors.
    extent: size along the principal axes, in the unit of the file.
    face_count: faces that were rendered.
    features: float32 [N, D] unit vectors; None also in rows that were read
      without them.
  """

  name: str
  label: str
  hash: str
  state: str
  reason: str
  fingerprint: str
  radius: float | None = None
  extent: tuple[float, float, float] | None = None
  face_count: int | None = None
  features: np.ndarray | None = None


def create_catalogue(directory: pathlib.Path, settings: dict[str, str]) -> None:
  """Makes the catalogue of a new database, in one transaction.

  Raises:
    DatabaseError: it cannot be written.
  """
  with _connect(directory / FILE, mode="rwc") as connection:
    connection.execute("PRAGMA journal_mode = WAL")
    with _transaction(connection):
      for statement in filter(str.strip, _SCHEMA.split(";")):
        connection.execute(statement)
      connection.executemany(
        "INSERT INTO setting VALUES (?, ?)", settings.items()
      )
      connection.execute(f"PRAGMA application_id = {_APPLICATION}")
      connection.execute(f"PRAGMA user_version = {FORMAT}")


def is_complete(directory: pathlib.Path) -> bool:
  """Whether a catalogue is there whose creation was not cut short."""
  if not (directory / FILE).exists():
    return False
  mode = _reading_mode(directory)
  with _connect(directory / FILE, mode=mode) as connection:
    tables = connection.execute("SELECT count(*) FROM sqlite_master")
    return bool(tables.fetchone()[0])


@contextlib.contextmanager
def open_catalogue(directory: pathlib.Path) -> Iterator[sqlite3.Connection]:
  """Opens the catalogue of a database for a few statements.

  Raises:
    DatabaseError: the directory holds no catalogue, or it is unfinished,
      newer, damaged, or cannot be used for the moment.
  """
  if not (directory / FILE).exists():
    raise DatabaseError(f"{directory} holds no dr3d database.")
  mode = _reading_mode(directory)
  with _connect(directory / FILE, mode=mode) as connection:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute(
      "SELECT count(*) FROM sqlite_master"
    ).fetchone()
    if not tables:
      raise DatabaseError(
        f"{directory} is unfinished: run the command that makes the database "
        "again."
      )
    if application != _APPLICATION:
      raise DatabaseError(f"{directory / FILE} is no catalogue of dr3d.")
    if version > FORMAT:
      raise DatabaseError(
        f"{directory} was written by a newer dr3d (format {version}, this one "
        f"reads up to {FORMAT}): update dr3d."
      )
    yield connection


def read_settings(connection: sqlite3.Connection) -> dict[str, str]:
  """Returns the settings of the database, text by name."""
  return dict(connection.execute("SELECT name, value FROM setting"))


def write_setting(
  connection: sqlite3.Connection, name: str, value: str
) -> None:
  """Writes one setting."""
  connection.execute("REPLACE INTO setting VALUES (?, ?)", (name, value))


def read_models(connection: sqlite3.Connection) -> list[Model]:
  """Returns all rows, by name, without their vectors."""
  rows = connection.execute(
    f"SELECT extent_a, extent_b, extent_c, {', '.join(_PLAIN)} FROM model "
    "ORDER BY name"
  )
  return [
    Model(
      **dict(zip(_PLAIN, rest, strict=True)),
      extent=None if a is None else (a, b, c),
    )
    for a, b, c, *rest in rows
  ]


def read_features(
  connection: sqlite3.Connection,
) -> tuple[list[str], list[str], np.ndarray]:
  """Reads what is searched: the indexed models.

  Returns:
    B names, ascending; B labels; float32 [B, N, D] vectors, with B = 0 and
    N = D = 0 where nothing is indexed.

  Raises:
    DatabaseError: the vectors of a model have another shape than those of
      the first.
  """
  names, labels, blobs = [], [], []
  shape = None
  rows = connection.execute(
    "SELECT name, label, views, vectors FROM model WHERE state = ? "
    "ORDER BY name",
    (INDEXED,),
  )
  for name, label, views, blob in rows:
    shape = shape or (views, len(blob) // 4 // max(1, views))
    if views != shape[0] or len(blob) != 4 * views * shape[1]:
      raise DatabaseError(
        f"The catalogue is damaged: the vectors of {name!r} have another "
        "shape than those of the models before; restore it from a copy."
      )
    names.append(name)
    labels.append(label)
    blobs.append(blob)
  features = np.frombuffer(b"".join(blobs), "<f4").astype(np.float32)
  return names, labels, features.reshape(len(names), *(shape or (0, 0)))


def write_models(
  connection: sqlite3.Connection, models: Iterable[Model]
) -> None:
  """Adds rows or replaces those of the same name, all or none of them."""
  with _transaction(connection):
    connection.executemany(
      "REPLACE INTO model VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      map(_to_row, models),
    )


def write_states(
  connection: sqlite3.Connection, changes: Iterable[tuple[str, str, str]]
) -> None:
  """Gives models a new state and label and keeps all else, all or none.

  Args:
    connection: the catalogue.
    changes: state, label and name of each model.
  """
  with _transaction(connection):
    connection.executemany(
      "UPDATE model SET state = ?, reason = '', label = ? WHERE name = ?",
      changes,
    )


@contextlib.contextmanager
def writer_lock(directory: pathlib.Path) -> Iterator[None]:
  """Keeps a second writer out, in this process or another, until the end.

  A lock of SQLite on a file of its own, so that it works on every system and
  ends with the process, however that ends.

  Raises:
    DatabaseError: another writer is at work.
  """
  with _connect(directory / _LOCK, mode="rwc", patience=0) as connection:
    try:
      connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
      if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
        raise
      raise DatabaseError(
        f"{directory} is being written by another process: wait until it ends."
      ) from error
    yield


def has_lock(directory: pathlib.Path) -> bool:
  """Whether a writer has ever been at work here."""
  return (directory / _LOCK).exists()


@contextlib.contextmanager
def _connect(
  path: pathlib.Path, *, mode: str = "rw", patience: float = _PATIENCE
) -> Iterator[sqlite3.Connection]:
  """Opens a file and turns SQLite's exceptions into sentences."""
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
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
      raise DatabaseError(
        f"{path} is damaged ({error}): restore it from a copy, or index the "
        "models into a new database."
      ) from error
    raise DatabaseError(f"{path} cannot be used ({error}).") from error


def _reading_mode(directory: pathlib.Path) -> str:
  """How SQLite must open a catalogue that may stand where none can write.

  Even readers write to the file that coordinates them, unless they are told
  that there is nothing to coordinate.
  """
  if os.access(directory, os.W_OK):
    return "rw"
  writing = (directory / f"{FILE}-wal").exists()
  return "ro" if writing else "ro&immutable=1"


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
  connection.execute("BEGIN IMMEDIATE")
  try:
    yield
  except BaseException:
    if connection.in_transaction:  # SQLite may have rolled back by itself
      connection.execute("ROLLBACK")
    raise
  connection.execute("COMMIT")


def _to_row(model: Model) -> tuple:
  features = model.features
  return (
    model.name,
    model.label,
    model.hash,
    model.state,
    model.reason,
    model.fingerprint,
    model.radius,
    *(model.extent or (None, None, None)),
    model.face_count,
    None if features is None else len(features),
    None if features is None else features.astype("<f4").tobytes(),
  )
