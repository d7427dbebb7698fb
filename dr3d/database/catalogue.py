"""The catalogue of a database: one SQLite file that says what holds.

A model's row names the slot of its vectors, which stand in a file beside; that
was written before, so the two never disagree, whenever the process is killed.
The catalogue is in write-ahead mode: readers go on, with the state before,
while a writer writes.
"""

import contextlib
import dataclasses
import json
import pathlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from dr3d.database import row
from dr3d.database.sqlite_file import connect, reading_mode, transaction
from dr3d.error import DatabaseError

FILE = "catalogue.sqlite"
FORMAT = 3
"""Version of the tables; another one is not opened."""

INDEXED = "indexed"
FAILED = "failed"
MISSING = "missing"
OUTDATED = "outdated"
STATES = (INDEXED, FAILED, MISSING, OUTDATED)

FOLDER = "folder"
ADDED = "added"

_APPLICATION = 0x64723364  # "dr3d", in the head of the SQLite file

_PLAIN = (  # columns that are fields of `Model` as they stand
  "name",
  "label",
  "hash",
  "state",
  "reason",
  "fingerprint",
  "source",
  "unit",
  "geometry",
  "body_count",
  "area",
  "volume",
  "radius",
  "face_count",
)
_COLUMNS = (
  *_PLAIN,
  "metadata",
  "extent_a",
  "extent_b",
  "extent_c",
  "checksum",
  "slot",
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
  state TEXT NOT NULL
    CHECK (state IN ('indexed', 'failed', 'missing', 'outdated')),
  reason TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  source TEXT NOT NULL CHECK (source IN ('folder', 'added')),
  unit TEXT NOT NULL,
  geometry TEXT NOT NULL,
  body_count INTEGER,
  area REAL,
  volume REAL,
  radius REAL,
  face_count INTEGER,
  metadata TEXT NOT NULL,
  extent_a REAL,
  extent_b REAL,
  extent_c REAL,
  checksum INTEGER,
  slot INTEGER,
  CHECK (state <> 'indexed' OR (slot IS NOT NULL AND checksum IS NOT NULL))
);
CREATE TABLE shape (
  name TEXT PRIMARY KEY,
  mesh BLOB NOT NULL,
  thumbnail BLOB NOT NULL
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
      MISSING: the file was gone when the folder was last looked at; OUTDATED:
      the vectors are those of a former pipeline.
    reason: why it failed, one sentence; otherwise empty.
    fingerprint: of the pipeline that the row was made with.
    source: FOLDER: the folder of models that is looked through; ADDED: a file
      that was added by itself.
    unit: of the file; "mm, assumed" where the file does not say.
    geometry: hash of the triangles at their true size; see
      `processed_model.hash_geometry`.
    metadata: what else is known of the model, text by name.
    body_count: bodies that the file lists; None, like all that follows, in
      rows without vectors.
    area: of the surface as it is in the file, square millimetres.
    volume: within the surface, cubic millimetres; of an open one, what a lid
      of rays to the middle of its box would close.
    radius: of the smallest enclosing sphere, millimetres.
    extent: size along the principal axes, millimetres.
    face_count: faces that were rendered.
    features: float32 [N, D] unit vectors; None also in rows that were read
      without them.
    shape: what is drawn and compared; None as features.
  """

  name: str
  label: str
  hash: str
  state: str
  reason: str
  fingerprint: str
  source: str = FOLDER
  unit: str = ""
  geometry: str = ""
  metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
  body_count: int | None = None
  area: float | None = None
  volume: float | None = None
  radius: float | None = None
  extent: tuple[float, float, float] | None = None
  face_count: int | None = None
  features: np.ndarray | None = None
  shape: "Shape | None" = None


@dataclasses.dataclass(frozen=True)
class Shape:
  """A model to draw and to compare.

  Attributes:
    mesh: as `packing.pack_mesh` writes it.
    thumbnail: a small PNG.
  """

  mesh: bytes
  thumbnail: bytes


def create_catalogue(directory: pathlib.Path, settings: dict[str, str]) -> None:
  """Makes the catalogue of a new database, in one transaction.

  Raises:
    DatabaseError: it cannot be written.
  """
  with connect(directory / FILE, mode="rwc") as connection:
    connection.execute("PRAGMA journal_mode = WAL")
    with transaction(connection):
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
  mode = reading_mode(directory / FILE)
  with connect(directory / FILE, mode=mode) as connection:
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
  mode = reading_mode(directory / FILE)
  with connect(directory / FILE, mode=mode) as connection:
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
        f"reads {FORMAT}): update dr3d."
      )
    if version < FORMAT:
      raise DatabaseError(
        f"{directory} was written by an older dr3d (format {version}, this one "
        f"reads {FORMAT}): index the models into a new directory."
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
    "SELECT metadata, extent_a, extent_b, extent_c, "
    f"{', '.join(_PLAIN)} FROM model ORDER BY name"
  )
  return [
    Model(
      **dict(zip(_PLAIN, rest, strict=True)),
      metadata=json.loads(metadata),
      extent=None if a is None else (a, b, c),
    )
    for metadata, a, b, c, *rest in rows
  ]


def read_shapes(
  connection: sqlite3.Connection, names: Iterable[str]
) -> dict[str, Shape]:
  """Returns what is drawn of models, by name; those without are left out."""
  found = {}
  for name in names:
    row = connection.execute(
      "SELECT mesh, thumbnail FROM shape WHERE name = ?", (name,)
    ).fetchone()
    if row is not None:
      found[name] = Shape(*row)
  return found


def write_models(
  connection: sqlite3.Connection, models: Iterable[Model]
) -> None:
  """Adds rows or replaces those of the same name, all or none of them."""
  models = list(models)
  places = ", ".join("?" * len(_COLUMNS))
  with transaction(connection):
    stored = row.store(
      connection,
      {m.name: m.features for m in models if m.features is not None},
    )
    for model in models:
      connection.execute(
        f"REPLACE INTO model ({', '.join(_COLUMNS)}) VALUES ({places})",
        _to_row(model, stored.get(model.name, (None, None))),
      )
      connection.execute("DELETE FROM shape WHERE name = ?", (model.name,))
      if model.shape is not None:
        connection.execute(
          "INSERT INTO shape VALUES (?, ?, ?)",
          (model.name, model.shape.mesh, model.shape.thumbnail),
        )


def write_vectors(
  connection: sqlite3.Connection,
  features: Mapping[str, np.ndarray],
  *,
  fingerprint: str,
) -> None:
  """Makes models indexed with new vectors [N, D], all or none of them."""
  with transaction(connection):
    connection.executemany(
      "UPDATE model SET state = 'indexed', fingerprint = ?, checksum = ?, "
      "slot = ? WHERE name = ?",
      [
        (fingerprint, checksum, number, name)
        for name, (checksum, number) in row.store(connection, features).items()
      ],
    )


def write_metadata(
  connection: sqlite3.Connection, models: Iterable[Model]
) -> None:
  """Writes state, source, label and metadata; all else stays, all or none."""
  with transaction(connection):
    connection.executemany(
      "UPDATE model SET state = ?, reason = '', source = ?, label = ?, "
      "metadata = ? WHERE name = ?",
      [
        (
          model.state,
          model.source,
          model.label,
          _to_json(model.metadata),
          model.name,
        )
        for model in models
      ],
    )


def write_label(connection: sqlite3.Connection, name: str, label: str) -> None:
  """Gives a model another label; all else stays."""
  connection.execute("UPDATE model SET label = ? WHERE name = ?", (label, name))


def delete_models(connection: sqlite3.Connection, names: Iterable[str]) -> None:
  """Takes rows out with all that belongs to them, all or none."""
  rows = [(name,) for name in names]
  with transaction(connection):
    connection.executemany("DELETE FROM shape WHERE name = ?", rows)
    connection.executemany("DELETE FROM model WHERE name = ?", rows)


def change_pipeline(
  connection: sqlite3.Connection,
  settings: Mapping[str, str],
  *,
  keep_shapes: bool,
) -> None:
  """Writes settings and makes all that was indexed outdated, in one step.

  The vectors, which nothing compares with any more, are given up.

  Args:
    connection: the catalogue.
    settings: that name the new pipeline.
    keep_shapes: whether the stored meshes are simplified as it wants them.
  """
  with transaction(connection):
    for name, value in settings.items():
      write_setting(connection, name, value)
    connection.execute(
      "UPDATE model SET state = 'outdated' WHERE state = 'indexed'"
    )
    row.reset(connection)
    if not keep_shapes:
      connection.execute("DELETE FROM shape")
  row.collect_garbage(connection)


def compact(connection: sqlite3.Connection) -> None:
  """Checks every page and every vector, and gives free space back to the disk.

  The vectors are written anew in the order of the names, so that they can be
  mapped as they stand.

  Raises:
    DatabaseError: a file is damaged.
  """
  (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
  if verdict != "ok":
    raise DatabaseError(
      f"The catalogue is damaged ({verdict.splitlines()[-1]}): restore it from "
      "a copy, or index the models into a new database."
    )
  with transaction(connection):
    row.sort(connection)
  row.collect_garbage(connection)
  connection.execute("VACUUM")
  connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _to_row(model: Model, place: tuple[int | None, int | None]) -> tuple:
  return (
    *(getattr(model, column) for column in _PLAIN),
    _to_json(model.metadata),
    *(model.extent or (None, None, None)),
    *place,
  )


def _to_json(metadata: Mapping[str, str]) -> str:
  return json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True)
