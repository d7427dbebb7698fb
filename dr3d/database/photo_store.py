"""Vectors by which photographs find models, beside those of the pipeline.

    photos/photos.sqlite    key of a model's shape → slot and digest; settings
    photos/vectors-G.f32    as in `vector_file`
    photos/writer.lock      one writer at a time

All of it is derived from the stored meshes: what is missing or damaged is
computed again when a photograph asks, and a database without the folder is
whole. Vectors are on the disk before the transaction that names them, so a
process that is killed leaves slots that nothing names, as in `vector_file`.
"""

import contextlib
import pathlib
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dr3d.database import sqlite_file, vector_file
from dr3d.error import DatabaseError

FOLDER = "photos"
"""Name of the folder in that of the database."""

_FILE = "photos.sqlite"
_LAYOUT = "layout"
_ENCODER = "encoder"
_SCHEMA = (
  "CREATE TABLE IF NOT EXISTS shape ("
  "key TEXT PRIMARY KEY, slot INTEGER NOT NULL, checksum INTEGER NOT NULL)",
  "CREATE TABLE IF NOT EXISTS setting ("
  "name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


def is_prepared(directory: pathlib.Path) -> bool:
  """Whether a database has been made findable by photographs before."""
  return (directory / FOLDER / _FILE).exists()


class PhotoStore:
  """The folder `photos` of one database.

  Attributes:
    directory: of the database.
  """

  def __init__(self, directory: pathlib.Path, *, encoder: str):
    """Names the folder; nothing is read or made yet.

    Args:
      directory: of the database.
      encoder: fingerprint of the pipeline for photographs. Vectors of another
        one count as missing.
    """
    self.directory = directory
    self._directory = directory / FOLDER
    self._encoder = encoder

  def read(self, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Vectors [N, D] of shapes, as far as they are stored and undamaged."""
    try:
      with self._open() as connection:
        if connection is None or not self._is_current(connection):
          return {}
        layout = _read_layout(connection)
        wanted = set(keys)
        rows = [
          vector_file.StoredRow(key, "", slot, checksum)
          for key, slot, checksum in connection.execute(
            "SELECT key, slot, checksum FROM shape ORDER BY slot"
          )
          if key in wanted
        ]
    except DatabaseError:  # damaged: all are computed again
      return {}
    try:
      features = vector_file.read(self._directory, layout, rows)
    except DatabaseError:
      return self._read_each(layout, rows)
    return dict(zip((row.name for row in rows), features, strict=True))

  def write(self, features: Mapping[str, np.ndarray]) -> None:
    """Stores vectors [N, D] by key of the shape, all of them or none.

    Raises:
      LockError: another process writes.
      DatabaseError: the disk does not accept them.
    """
    with self._writing() as connection:
      layout = _read_layout(connection)
      try:
        after = vector_file.append(
          self._directory, layout, list(features.values())
        )
      except OSError as error:
        raise DatabaseError(
          f"{self._directory} cannot store vectors ({error.strerror})."
        ) from error
      with sqlite_file.transaction(connection):
        connection.executemany(
          "REPLACE INTO shape (key, slot, checksum) VALUES (?, ?, ?)",
          [
            (key, slot, vector_file.hash_vectors(array))
            for slot, (key, array) in enumerate(features.items(), layout.count)
          ],
        )
        _set(connection, _LAYOUT, str(after))

  def read_setting(self, name: str) -> str | None:
    """Returns a setting of the present encoder; None if there is none."""
    try:
      with self._open() as connection:
        if connection is None or not self._is_current(connection):
          return None
        return _get(connection, name)
    except DatabaseError:
      return None

  def write_setting(self, name: str, value: str) -> None:
    """Writes a setting.

    Raises:
      LockError: another process writes.
      DatabaseError: the disk does not accept it.
    """
    with self._writing() as connection, sqlite_file.transaction(connection):
      _set(connection, name, value)

  @contextlib.contextmanager
  def _open(self) -> Iterator[sqlite3.Connection | None]:
    """Opens the file for reading; yields None if there is none."""
    path = self._directory / _FILE
    if self._directory.is_symlink() or not path.exists():
      yield None
      return
    mode = sqlite_file.reading_mode(path)
    with sqlite_file.connect(path, mode=mode) as connection:
      yield connection

  @contextlib.contextmanager
  def _writing(self) -> Iterator[sqlite3.Connection]:
    """Opens the file for writing, emptied if it is of another encoder."""
    if self._directory.is_symlink():
      # A database from elsewhere could name any folder of this machine.
      raise DatabaseError(f"{self._directory} is a link: remove it.")
    try:
      self._directory.mkdir(exist_ok=True)
    except OSError as error:
      raise DatabaseError(
        f"{self._directory} cannot be made ({error.strerror})."
      ) from error
    with (
      sqlite_file.writer_lock(self._directory),
      sqlite_file.connect(self._directory / _FILE, mode="rwc") as connection,
    ):
      sqlite_file.make_durable(connection)
      with sqlite_file.transaction(connection):
        for command in _SCHEMA:
          connection.execute(command)
        if not self._is_current(connection):
          layout = _read_layout(connection)
          connection.execute("DELETE FROM shape")
          connection.execute("DELETE FROM setting")
          _set(connection, _ENCODER, self._encoder)
          following = vector_file.Layout(layout.generation + 1)
          _set(connection, _LAYOUT, str(following))
      vector_file.remove_others(self._directory, _read_layout(connection))
      yield connection

  def _is_current(self, connection: sqlite3.Connection) -> bool:
    return _get(connection, _ENCODER) == self._encoder

  def _read_each(
    self, layout: vector_file.Layout, rows: Sequence[vector_file.StoredRow]
  ) -> dict[str, np.ndarray]:
    """Reads those that are undamaged."""
    found = {}
    for row in rows:
      with contextlib.suppress(DatabaseError):
        found[row.name] = vector_file.read(self._directory, layout, [row])[0]
    return found


def remove(directory: pathlib.Path) -> None:
  """Removes the folder from a database; it is made again when it is needed."""
  shutil.rmtree(directory / FOLDER, ignore_errors=True)


def _read_layout(connection: sqlite3.Connection) -> vector_file.Layout:
  try:
    return vector_file.Layout.parse(_get(connection, _LAYOUT))
  except ValueError:  # damaged: the shapes that it places are unreadable
    return vector_file.Layout()


def _get(connection: sqlite3.Connection, name: str) -> str | None:
  row = connection.execute(
    "SELECT value FROM setting WHERE name = ?", (name,)
  ).fetchone()
  return None if row is None else str(row[0])


def _set(connection: sqlite3.Connection, name: str, value: str) -> None:
  connection.execute(
    "REPLACE INTO setting (name, value) VALUES (?, ?)", (name, value)
  )
