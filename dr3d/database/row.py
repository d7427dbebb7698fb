"""Which slot of the vector file each row of the catalogue names.

A connection is that of a catalogue; the vector file stands beside it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from dr3d.database import local_copy, vector_file
from dr3d.database.connection import Connection
from dr3d.database.postgres import SharedConnection
from dr3d.database.schema import find_directory
from dr3d.database.setting import VECTORS, read_setting, write_setting
from dr3d.database.stored_vectors import StoredVectors
from dr3d.error import DatabaseError


@dataclasses.dataclass(frozen=True, eq=False)
class SearchableModels:
  """The indexed models, by name.

  Attributes:
    names: B names, ascending.
    labels: B labels.
    features: float32 [B, N, D]; N = D = 0 if nothing was ever indexed.
    keys: uint64 [B], equal for models of equal vectors.
  """

  names: tuple[str, ...]
  labels: tuple[str, ...]
  features: np.ndarray | StoredVectors
  keys: np.ndarray


@dataclasses.dataclass(eq=False)
class StagedVectors:
  """Vectors of the next generation, which no row names yet.

  Attributes:
    layout: of their file.
    places: checksum and slot by name of model.
  """

  layout: vector_file.Layout
  places: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


def read_features(
  connection: Connection, *, streamed_from: float = math.inf
) -> SearchableModels:
  """Reads what is searched: the indexed models.

  The connection is in a transaction, so that all rows are of one state.

  Args:
    connection: the catalogue.
    streamed_from: number of models from which vectors stay in their file.

  Raises:
    DatabaseError: the vectors are missing or damaged.
  """
  slots = read_slots(connection, "state = 'indexed'")
  layout = open_layout(connection)
  directory = find_directory(connection)
  return SearchableModels(
    tuple(slot.name for slot in slots),
    tuple(slot.label for slot in slots),
    StoredVectors(directory, layout, slots)
    if len(slots) >= streamed_from
    else vector_file.read(directory, layout, slots),
    np.array([slot.checksum for slot in slots], np.int64).view(np.uint64),
  )


def store(
  connection: Connection, features: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, int]]:
  """Writes vectors of models, by name, into the next slots.

  The caller is in a transaction, in which rows come to name these slots.

  Returns:
    Checksum and slot by name.

  Raises:
    DatabaseError: the disk does not accept them.
  """
  layout = read_layout(connection)
  after, places = _append(connection, layout, features)
  if places:
    write_setting(connection, VECTORS, str(after))
  return places


def stage(connection: Connection) -> StagedVectors:
  """Starts the vectors of the next generation, beside those that are searched.

  A process that ends before `adopt` leaves a file that the next writer removes.
  """
  return StagedVectors(_next_generation(read_layout(connection)))


def extend(
  connection: Connection,
  staged: StagedVectors,
  features: Mapping[str, np.ndarray],
) -> None:
  """Writes vectors of further models, by name, into a staged file.

  Raises:
    DatabaseError: the disk does not accept them.
  """
  staged.layout, places = _append(connection, staged.layout, features)
  staged.places.update(places)


def adopt(connection: Connection, staged: StagedVectors) -> None:
  """Makes staged vectors the ones that rows name.

  The caller is in a transaction, in which it names them in all rows, and calls
  `collect_garbage` after it.
  """
  write_setting(connection, VECTORS, str(staged.layout))


def sort(connection: Connection) -> None:
  """Writes the vectors of all rows as the next generation, sorted by name.

  Nothing is written if they are all there, sorted and without gaps. The
  caller is in a transaction, and calls `collect_garbage` after it.

  Raises:
    DatabaseError: the vectors are damaged, or the disk does not accept them.
  """
  layout = open_layout(connection)
  rows = read_slots(connection, "slot IS NOT NULL")
  features = vector_file.read(find_directory(connection), layout, rows)
  if [row.number for row in rows] == list(range(layout.count)):
    return
  staged = stage(connection)
  names = [row.name for row in rows]
  extend(connection, staged, dict(zip(names, features, strict=True)))
  adopt(connection, staged)
  connection.executemany(
    "UPDATE model SET slot = ? WHERE name = ?",
    [(slot, name) for name, (_, slot) in staged.places.items()],
  )


def collect_garbage(connection: Connection) -> None:
  """Removes the files of other generations."""
  layout = read_layout(connection)
  if isinstance(connection, SharedConnection):
    local_copy.remove_other_vectors(connection, layout)
  else:
    vector_file.remove_others(find_directory(connection), layout)


def read_slots(
  connection: Connection,
  condition: str,
  names: Sequence[str] | None = None,
) -> list[vector_file.StoredRow]:
  """Returns where the vectors of some rows stand, by name.

  Args:
    connection: the catalogue.
    condition: in SQL, which rows.
    names: which of them, in order; all if None.
  """
  command = f"SELECT name, label, slot, checksum FROM model WHERE {condition} "
  if names is None:
    rows = connection.execute(f"{command} ORDER BY name").fetchall()
  else:
    found = (connection.execute(f"{command} AND name = ?", (n,)) for n in names)
    rows = [values for cursor in found for values in cursor]
  return [vector_file.StoredRow(*values) for values in rows]


def has_slots(connection: Connection) -> bool:
  """Whether any row names a slot."""
  command = "SELECT 1 FROM model WHERE slot IS NOT NULL LIMIT 1"
  return connection.execute(command).fetchone() is not None


def read_layout(connection: Connection) -> vector_file.Layout:
  """Returns where the vectors stand.

  Raises:
    DatabaseError: the setting is damaged.
  """
  try:
    return vector_file.Layout.parse(read_setting(connection, VECTORS))
  except ValueError as error:
    raise DatabaseError(
      f"{find_directory(connection)} is damaged (the layout of its vectors is "
      f"{error}): restore it from a backup."
    ) from error


def open_layout(connection: Connection) -> vector_file.Layout:
  """As `read_layout`; the vectors are then in a file of this machine."""
  layout = read_layout(connection)
  if isinstance(connection, SharedConnection):
    local_copy.provide_vectors(connection, layout)
  return layout


def _append(
  connection: Connection,
  layout: vector_file.Layout,
  features: Mapping[str, np.ndarray],
) -> tuple[vector_file.Layout, dict[str, tuple[int, int]]]:
  """Writes vectors; returns the layout after it, checksums and slots.

  Raises:
    DatabaseError: the disk does not accept them.
  """
  directory = find_directory(connection)
  arrays: Sequence[np.ndarray] = list(features.values())
  try:
    if isinstance(connection, SharedConnection):
      after = local_copy.append_vectors(connection, layout, features)
    else:
      after = vector_file.append(directory, layout, arrays)
  except OSError as error:
    raise DatabaseError(
      f"{directory} cannot store the vectors ({error.strerror}): make space "
      "and give the same command again; what was stored before is kept."
    ) from error
  places = {
    name: (vector_file.hash_vectors(array), slot)
    for slot, (name, array) in enumerate(features.items(), layout.count)
  }
  return after, places


def _next_generation(layout: vector_file.Layout) -> vector_file.Layout:
  return vector_file.Layout(layout.generation + 1)
