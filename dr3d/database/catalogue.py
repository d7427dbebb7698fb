"""The rows of the catalogue: what is known of each model.

A model's row names the slot of its vectors, which stand in a file beside the
catalogue. They are written first, so the two never disagree, whenever the
process is killed. The catalogue is in write-ahead mode: readers continue, with
the state before, while a writer writes.

Each row and each mesh carries a digest. Reading compares it, so a damaged label
is an error and not an answer; a change of a damaged row is refused, because it
would give wrong values a right digest.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from dr3d.database import row, shape_row
from dr3d.database.connection import Connection
from dr3d.database.digest import hash_bytes, hash_values
from dr3d.database.model import (
  ADDED,
  FAILED,
  FOLDER,
  INDEXED,
  MISSING,
  OUTDATED,
  STATES,
  Model,
  Shape,
)
from dr3d.database.postgres import SharedConnection
from dr3d.database.record import COLUMNS, SELECT, to_model, to_values
from dr3d.database.schema import (
  FILE,
  FORMAT,
  create_catalogue,
  find_directory,
  is_complete,
  open_catalogue,
  read_format,
)
from dr3d.database.setting import read_settings, write_setting
from dr3d.database.sqlite_file import transaction
from dr3d.error import DatabaseError

__all__ = [
  "ADDED",
  "FAILED",
  "FILE",
  "FOLDER",
  "FORMAT",
  "INDEXED",
  "MISSING",
  "OUTDATED",
  "STATES",
  "Model",
  "Shape",
  "check_pages",
  "compact",
  "count_states",
  "create_catalogue",
  "delete_models",
  "drop_shape",
  "drop_vectors",
  "find_directory",
  "find_model",
  "insert_converted",
  "insert_model",
  "is_complete",
  "list_with_shape",
  "open_catalogue",
  "read_models",
  "read_settings",
  "read_shapes",
  "scan_models",
  "scan_shapes",
  "switch_pipeline",
  "update_models",
  "write_models",
  "write_setting",
  "write_vectors",
]


class ScannedModel(NamedTuple):
  """A row as it stands in the catalogue.

  Attributes:
    name: of the model, as it stands there.
    model: the row; None if it is damaged.
  """

  name: str
  model: Model | None


def read_models(connection: Connection) -> list[Model]:
  """Returns all rows by name, without their vectors.

  Raises:
    DatabaseError: a row is damaged.
  """
  models = []
  for name, model in scan_models(connection):
    if model is None:
      raise _damage(connection, name)
    models.append(model)
  return models


def scan_models(connection: Connection) -> Iterator[ScannedModel]:
  """Yields all rows by name, without their vectors, damaged ones too."""
  version = read_format(connection)
  for values in connection.execute(
    f"SELECT {SELECT[version]} FROM model ORDER BY name"
  ):
    yield ScannedModel(str(values[0]), to_model(version, values))


def find_model(connection: Connection, name: str) -> Model | None:
  """Returns the row of a model; None if there is none of this name.

  Raises:
    DatabaseError: the row is damaged.
  """
  version = read_format(connection)
  values = connection.execute(
    f"SELECT {SELECT[version]} FROM model WHERE name = ?", (name,)
  ).fetchone()
  if values is None:
    return None
  model = to_model(version, values)
  if model is None:
    raise _damage(connection, name)
  return model


def count_states(connection: Connection) -> dict[str, int]:
  """Returns how many models are in each of `model.STATES`."""
  found = dict(
    connection.execute("SELECT state, count(*) FROM model GROUP BY state")
  )
  return {state: found.get(state, 0) for state in STATES}


def read_shapes(
  connection: Connection, names: Iterable[str]
) -> dict[str, Shape]:
  """Returns meshes and thumbnails by name; models without are left out.

  Raises:
    DatabaseError: one is damaged.
  """
  found = {}
  for name, shape in scan_shapes(connection, names):
    if shape is None:
      raise DatabaseError(
        f"{find_directory(connection)} is damaged: the stored mesh of {name!r} "
        "is not what was written; run dr3d check --repair, or restore the "
        "database from a backup."
      )
    found[name] = shape
  return found


def scan_shapes(
  connection: Connection, names: Iterable[str]
) -> Iterator[tuple[str, Shape | None]]:
  """Yields mesh and thumbnail of models that have them; None if damaged."""
  has_digest = read_format(connection) >= 4
  column = "shape_digest" if has_digest else "NULL"
  for name in names:
    values = connection.execute(
      f"SELECT {column} FROM model WHERE name = ?", (name,)
    ).fetchone()
    shape = None if values is None else shape_row.read(connection, name)
    if shape is not None:
      is_whole = not has_digest or values[0] == _hash_shape(shape)
      yield name, shape if is_whole else None


def write_models(connection: Connection, models: Iterable[Model]) -> None:
  """Adds rows or replaces those of the same name, all or none of them."""
  models = list(models)
  with transaction(connection):
    places = row.store(
      connection,
      {m.name: m.features for m in models if m.features is not None},
    )
    for model in models:
      insert_model(connection, model, *places.get(model.name, (None, None)))


def insert_model(
  connection: Connection,
  model: Model,
  checksum: int | None,
  slot: int | None,
) -> None:
  """Adds a row or replaces it; the caller is in a transaction.

  Args:
    connection: the catalogue.
    model: the row, with its shape if it has one.
    checksum: of its vectors, which are stored already.
    slot: of these.
  """
  shape = model.shape
  digest = None if shape is None else _hash_shape(shape)
  _insert(connection, model, (checksum, slot), digest)
  shape_row.write(connection, model.name, shape)


def insert_converted(
  connection: Connection,
  model: Model,
  checksum: int | None,
  slot: int | None,
) -> None:
  """As `insert_model`, for a model whose shape is stored already."""
  shape = shape_row.read(connection, model.name)
  digest = None if shape is None else _hash_shape(shape)
  _insert(connection, model, (checksum, slot), digest)


def update_models(connection: Connection, models: Iterable[Model]) -> None:
  """Writes all fields of rows but for vectors and shape, all or none of them.

  Raises:
    DatabaseError: a row is damaged.
  """
  with transaction(connection):
    for model in models:
      if find_model(connection, model.name) is not None:
        _update(connection, model)


def drop_shape(connection: Connection, model: Model) -> None:
  """Writes a row without its mesh; the caller is in a transaction."""
  connection.execute("DELETE FROM shape WHERE name = ?", (model.name,))
  _update(connection, model, has_shape=False)


def drop_vectors(connection: Connection, model: Model) -> None:
  """Writes a row without its vectors; the caller is in a transaction."""
  _update(connection, model, place=(None, None))


def list_with_shape(connection: Connection, names: Iterable[str]) -> list[str]:
  """Which of some models had a mesh when they were written."""
  if read_format(connection) < 4:
    return []  # these do not say
  command = "SELECT shape_digest FROM model WHERE name = ?"
  found = {
    name: connection.execute(command, (name,)).fetchone() for name in names
  }
  return [name for name, row in found.items() if row and row[0] is not None]


def write_vectors(
  connection: Connection,
  features: Mapping[str, np.ndarray],
  *,
  fingerprint: str,
) -> None:
  """Makes models indexed with new vectors [N, D], all or none of them."""
  with transaction(connection):
    for name, (checksum, slot) in row.store(connection, features).items():
      model = find_model(connection, name)
      if model is not None:
        changed = dataclasses.replace(
          model, state=INDEXED, fingerprint=fingerprint
        )
        _update(connection, changed, place=(checksum, slot))


def delete_models(connection: Connection, names: Iterable[str]) -> None:
  """Deletes rows with all that belongs to them, all or none."""
  rows = [(name,) for name in names]
  with transaction(connection):
    connection.executemany("DELETE FROM shape WHERE name = ?", rows)
    connection.executemany("DELETE FROM model WHERE name = ?", rows)


def switch_pipeline(
  connection: Connection,
  settings: Mapping[str, str],
  vectors: row.StagedVectors,
  fingerprints: Mapping[str, str],
) -> None:
  """Changes to another pipeline in one step.

  Models without new vectors become outdated.

  Args:
    connection: the catalogue.
    settings: that name the new pipeline.
    vectors: of the new pipeline, in the file of the next generation.
    fingerprints: by name of model, what its row is to say of the pipeline.
  """
  with transaction(connection):
    for name, value in settings.items():
      write_setting(connection, name, value)
    for model in read_models(connection):
      checksum, slot = vectors.places.get(model.name, (None, None))
      state = model.state
      if state in (INDEXED, OUTDATED):
        state = OUTDATED if slot is None else INDEXED
      fingerprint = fingerprints.get(model.name, model.fingerprint)
      changed = dataclasses.replace(model, state=state, fingerprint=fingerprint)
      _update(connection, changed, place=(checksum, slot))
    row.adopt(connection, vectors)
  row.collect_garbage(connection)


def compact(connection: Connection) -> None:
  """Checks every page and every vector, and returns free space to the disk.

  The vectors are written again in the order of the names, so that they can be
  mapped as they stand. Nothing of deleted models remains in the files.

  Raises:
    DatabaseError: a file is damaged.
  """
  verdict = check_pages(connection)
  if verdict != "ok":
    raise DatabaseError(
      f"The catalogue is damaged ({verdict.splitlines()[-1]}): restore it from "
      "a backup, or index the models into a new database."
    )
  with transaction(connection):
    row.sort(connection)
  row.collect_garbage(connection)
  # PostgreSQL's pages are its own: it reuses them by itself.
  if isinstance(connection, SharedConnection):
    shape_row.collect_garbage(connection)
  else:
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def check_pages(connection: Connection) -> str:
  """Reads every page of the catalogue's file: "ok", or what is wrong.

  PostgreSQL compares its pages itself, if its cluster has checksums.
  """
  if isinstance(connection, SharedConnection):
    return "ok"
  (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
  return verdict


def _insert(
  connection: Connection,
  model: Model,
  place: tuple[int | None, int | None],
  shape_digest: int | None,
) -> None:
  """Writes a row with its digest; `place` holds checksum and slot."""
  checksum, slot = place
  values = to_values(model, checksum, shape_digest)
  columns = (*COLUMNS, "slot", "digest")
  marks = ", ".join("?" * len(columns))
  changes = ", ".join(f"{c} = excluded.{c}" for c in columns)
  connection.execute(
    f"INSERT INTO model ({', '.join(columns)}) VALUES ({marks})"
    f" ON CONFLICT (name) DO UPDATE SET {changes}",
    (*values, slot, hash_values(values)),
  )


def _update(
  connection: Connection,
  model: Model,
  *,
  place: tuple[int | None, int | None] | None = None,
  has_shape: bool = True,
) -> None:
  """Writes a row whose name exists, with its digest.

  Args:
    connection: the catalogue; the caller is in a transaction.
    model: the row; its features and shape are not written.
    place: checksum and slot of new vectors; None keeps the former ones.
    has_shape: False if the stored mesh was deleted.
  """
  checksum, slot, shape_digest = connection.execute(
    "SELECT checksum, slot, shape_digest FROM model WHERE name = ?",
    (model.name,),
  ).fetchone()
  if place is not None:
    checksum, slot = place
  values = to_values(model, checksum, shape_digest if has_shape else None)
  changes = ", ".join(f"{c} = ?" for c in (*COLUMNS, "slot", "digest"))
  connection.execute(
    f"UPDATE model SET {changes} WHERE name = ?",
    (*values, slot, hash_values(values), model.name),
  )


def _hash_shape(shape: Shape) -> int:
  return hash_bytes(shape.mesh, shape.thumbnail)


def _damage(connection: Connection, name: str) -> DatabaseError:
  return DatabaseError(
    f"{find_directory(connection)} is damaged: the row of {name!r} is not what "
    "was written; run dr3d check --repair, or restore the database from a "
    "backup."
  )
