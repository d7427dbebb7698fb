"""Which slot of the file of vectors each row of the catalogue names.

A connection is that of a catalogue; the file stands beside it.
"""

import dataclasses
import pathlib
import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np

from dr3d.database import vector_file
from dr3d.error import DatabaseError

_SETTING = "vectors"  # holds the layout


@dataclasses.dataclass(frozen=True, eq=False)
class SearchableModels:
  """The indexed models, by name.

  Attributes:
    names: B names, ascending.
    labels: B labels.
    features: float32 [B, N, D]; N = D = 0 where nothing was ever indexed.
    keys: uint64 [B], equal for models of equal vectors.
  """

  names: tuple[str, ...]
  labels: tuple[str, ...]
  features: np.ndarray
  keys: np.ndarray


def read_features(connection: sqlite3.Connection) -> SearchableModels:
  """Reads what is searched: the indexed models.

  The connection is in a transaction, so that no row is newer than another.

  Raises:
    DatabaseError: the vectors are missing or damaged.
  """
  slots = _read_slots(connection, "state = 'indexed'")
  layout = _read_layout(connection)
  return SearchableModels(
    tuple(slot.name for slot in slots),
    tuple(slot.label for slot in slots),
    vector_file.read(_find_home(connection), layout, slots),
    np.array([slot.checksum for slot in slots], np.int64).view(np.uint64),
  )


def store(
  connection: sqlite3.Connection, features: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, int]]:
  """Writes vectors of models, by name, into the next slots.

  The caller is in a transaction, in which it names them.

  Returns:
    Checksum and slot by name.

  Raises:
    DatabaseError: the disk does not take them.
  """
  layout = _read_layout(connection)
  after = _append(_find_home(connection), layout, list(features.values()))
  _write_layout(connection, after)
  return {
    name: (vector_file.hash_vectors(vectors), number)
    for number, (name, vectors) in enumerate(features.items(), layout.count)
  }


def sort(connection: sqlite3.Connection) -> None:
  """Writes the vectors of all rows as the next generation, sorted by name.

  Nothing is written where they are all there, sorted and without gaps. The
  caller is in a transaction, and calls `collect_garbage` after it.

  Raises:
    DatabaseError: the vectors are damaged, or the disk does not take them.
  """
  home = _find_home(connection)
  layout = _read_layout(connection)
  rows = _read_slots(connection, "slot IS NOT NULL")
  features = vector_file.read(home, layout, rows)
  if [row.number for row in rows] == list(range(layout.count)):
    return
  fresh = dataclasses.replace(layout, generation=layout.generation + 1, count=0)
  _write_layout(connection, _append(home, fresh, features))
  connection.executemany(
    "UPDATE model SET slot = ? WHERE name = ?",
    [(number, row.name) for number, row in enumerate(rows)],
  )


def reset(connection: sqlite3.Connection) -> None:
  """Gives up all vectors, of rows that are indexed no more.

  The caller is in a transaction, and calls `collect_garbage` after it.
  """
  layout = _read_layout(connection)
  _write_layout(connection, vector_file.Layout(layout.generation + 1))
  connection.execute("UPDATE model SET slot = NULL, checksum = NULL")


def collect_garbage(connection: sqlite3.Connection) -> None:
  """Removes the files of former generations."""
  layout = _read_layout(connection)
  vector_file.remove_others(_find_home(connection), layout)


def _append(
  home: pathlib.Path,
  layout: vector_file.Layout,
  features: Sequence[np.ndarray] | np.ndarray,
) -> vector_file.Layout:
  """Writes vectors.

  Raises:
    DatabaseError: the disk does not take them.
  """
  try:
    return vector_file.append(home, layout, features)
  except OSError as error:
    raise DatabaseError(
      f"{home} does not take the vectors ({error.strerror}): make space and "
      "give the same command again; what was stored before is kept."
    ) from error


def _read_slots(
  connection: sqlite3.Connection, condition: str
) -> list[vector_file.StoredRow]:
  rows = connection.execute(
    f"SELECT name, label, slot, checksum FROM model WHERE {condition} "
    "ORDER BY name"
  )
  return [vector_file.StoredRow(*row) for row in rows]


def _read_layout(connection: sqlite3.Connection) -> vector_file.Layout:
  row = connection.execute(
    "SELECT value FROM setting WHERE name = ?", (_SETTING,)
  ).fetchone()
  return vector_file.Layout.parse(row[0] if row else None)


def _write_layout(
  connection: sqlite3.Connection, layout: vector_file.Layout
) -> None:
  connection.execute(
    "REPLACE INTO setting VALUES (?, ?)", (_SETTING, str(layout))
  )


def _find_home(connection: sqlite3.Connection) -> pathlib.Path:
  """The directory that the catalogue is in."""
  _, _, path = connection.execute("PRAGMA database_list").fetchone()
  return pathlib.Path(path).parent
