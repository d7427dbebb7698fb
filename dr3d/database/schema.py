"""Tables of the catalogue, its format, and how it is opened.

Formats, by what first wrote them:

    1   before version 0.1: vectors in the rows; no units, metadata or meshes
    2   before version 0.1: vectors in the rows; later with area and volume
    3   version 0.1: vectors in a file beside the catalogue
    4   version 0.2: a digest of each row, mesh and setting; where a label and
        a unit come from

Formats 3 and 4 can be read. The first write to a database of format 3, or
`dr3d migrate`, turns it into format 4; formats 1 and 2 need `dr3d migrate`.
See `migration`.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping

from dr3d.database import local_copy, postgres, shared
from dr3d.database.connection import Connection
from dr3d.database.digest import hash_values
from dr3d.database.postgres import SharedConnection
from dr3d.database.sqlite_file import (
  connect,
  make_durable,
  reading_mode,
  transaction,
)
from dr3d.error import DatabaseError

FILE = "catalogue.sqlite"
FORMAT = 4
READABLE = (3, FORMAT)

_APPLICATION = 0x64723364  # "dr3d", in the header of the SQLite file

TABLES = """
CREATE TABLE IF NOT EXISTS setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  digest INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS model (
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
  shape_digest INTEGER,
  slot INTEGER,
  label_source TEXT NOT NULL DEFAULT 'folder'
    CHECK (label_source IN ('folder', 'table', 'hand')),
  unit_source TEXT NOT NULL DEFAULT 'default'
    CHECK (unit_source IN ('default', 'given')),
  digest INTEGER,
  CHECK (state <> 'indexed' OR (slot IS NOT NULL AND checksum IS NOT NULL))
);
CREATE TABLE IF NOT EXISTS shape (
  name TEXT PRIMARY KEY,
  mesh BLOB NOT NULL,
  thumbnail BLOB NOT NULL
);
"""


def create_catalogue(
  directory: pathlib.Path, settings: Mapping[str, str]
) -> None:
  """Makes the catalogue of a new database, in one transaction.

  Raises:
    DatabaseError: it cannot be written.
  """
  uri = shared.find_uri(directory)
  if uri is not None:
    _create_shared(directory, uri, settings)
    return
  with connect(directory / FILE, mode="rwc") as connection:
    connection.execute("PRAGMA journal_mode = WAL")
    make_durable(connection)
    with transaction(connection):
      create_tables(connection)
      connection.executemany(
        "INSERT INTO setting VALUES (?, ?, ?)",
        [(*item, hash_values(item)) for item in settings.items()],
      )
      connection.execute(f"PRAGMA application_id = {_APPLICATION}")
      connection.execute(f"PRAGMA user_version = {FORMAT}")


def _create_shared(
  directory: pathlib.Path, uri: str, settings: Mapping[str, str]
) -> None:
  """As `create_catalogue`, in PostgreSQL; stores the pipeline as well."""
  with (
    postgres.connect(directory, uri) as connection,
    transaction(connection),
  ):
    for statement in filter(
      str.strip, postgres.adapt_tables(TABLES).split(";")
    ):
      connection.execute(statement)
    postgres.create_tables(connection, FORMAT)
    connection.executemany(
      "INSERT INTO setting VALUES (?, ?, ?)",
      [(*item, hash_values(item)) for item in settings.items()],
    )
    folder = settings.get("pipeline_folder", "pipeline")
    local_copy.put_pipeline(connection, folder, directory / folder)


def create_tables(connection: Connection) -> None:
  """Makes the tables that do not exist; the caller is in a transaction."""
  for statement in filter(str.strip, TABLES.split(";")):
    connection.execute(statement)


def is_complete(directory: pathlib.Path) -> bool:
  """Whether a catalogue exists whose creation was not interrupted."""
  uri = shared.find_uri(directory)
  if uri is not None:
    with postgres.connect(directory, uri) as shared_connection:
      return shared_connection.read_state() is not None
  if not (directory / FILE).exists():
    return False
  mode = reading_mode(directory / FILE)
  with connect(directory / FILE, mode=mode) as connection:
    return bool(_count_tables(connection))


@contextlib.contextmanager
def open_catalogue(
  directory: pathlib.Path, *, any_format: bool = False
) -> Iterator[Connection]:
  """Opens the catalogue of a database for a few statements.

  Args:
    directory: of the database.
    any_format: open former formats too, which only `migration` can read.

  Raises:
    DatabaseError: the directory holds no catalogue, or it is unfinished,
      of another format, damaged, or cannot be used at the moment.
  """
  uri = shared.find_uri(directory)
  if uri is not None:
    with postgres.connect(directory, uri) as connection:
      _check_shared(connection)
      yield connection
    return
  if not (directory / FILE).exists():
    raise DatabaseError(
      f"{directory} holds no dr3d database: make one of a folder of models "
      f"with dr3d index --db={directory} --models=DIR."
    )
  mode = reading_mode(directory / FILE)
  with connect(directory / FILE, mode=mode) as connection:
    _check_format(connection, directory, any_format)
    make_durable(connection)
    yield connection


def read_format(connection: Connection) -> int:
  """Returns the format that a catalogue has."""
  if isinstance(connection, SharedConnection):
    return FORMAT  # `open_catalogue` has compared it
  return connection.execute("PRAGMA user_version").fetchone()[0]


def find_directory(connection: Connection) -> pathlib.Path:
  """Returns the directory of the database that a catalogue belongs to."""
  if isinstance(connection, SharedConnection):
    return connection.directory
  _, _, path = connection.execute("PRAGMA database_list").fetchone()
  return pathlib.Path(path).parent


def _check_shared(connection: SharedConnection) -> None:
  """Raises unless this version can use the tables."""
  name = shared.hide_password(connection.uri)
  state = connection.read_state()
  if state is None:
    raise DatabaseError(
      f"{name} holds no dr3d database: make one of a folder of models with"
      f" dr3d index --db={name} --models=DIR, or copy one with dr3d migrate."
    )
  version, identity, _ = state
  if version != FORMAT:
    raise DatabaseError(
      f"{name} has format {version}, and this dr3d uses {FORMAT}: update dr3d."
    )
  local_copy.check_identity(connection, identity)


def _check_format(
  connection: Connection, directory: pathlib.Path, any_format: bool
) -> None:
  """Raises unless this version can read the catalogue."""
  if not _count_tables(connection):
    raise DatabaseError(
      f"{directory} is unfinished: run the command that makes the database "
      "again."
    )
  (application,) = connection.execute("PRAGMA application_id").fetchone()
  if application != _APPLICATION:
    raise DatabaseError(f"{directory / FILE} is not a catalogue of dr3d.")
  version = read_format(connection)
  if version > FORMAT:
    raise DatabaseError(
      f"{directory} was written by a newer dr3d (format {version}, this one "
      f"reads up to {FORMAT}): update dr3d."
    )
  if version not in READABLE and not any_format:
    raise DatabaseError(
      f"{directory} was written by an older dr3d (format {version}): convert "
      f"it with dr3d migrate --db={directory}."
    )


def _count_tables(connection: Connection) -> int:
  return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
