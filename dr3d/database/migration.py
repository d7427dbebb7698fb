"""Converts the catalogue of a former format; no row is lost.

The conversion is one transaction: a process that is killed leaves the former
format. `schema` lists the formats. In formats 1 and 2 the vectors stood in the
rows; they are written to the vector file first, which no row names until the
transaction ends.
"""

import json
import pathlib
import posixpath
from collections.abc import Mapping
from typing import Any

import numpy as np

from dr3d.database import catalogue, row
from dr3d.database.connection import Connection
from dr3d.database.model import ADDED, FOLDER, LabelSource, Model, Source
from dr3d.database.schema import (
  FORMAT,
  create_tables,
  open_catalogue,
  read_format,
)
from dr3d.database.setting import write_setting
from dr3d.database.sqlite_file import transaction
from dr3d.mesh.unit import ASSUMED

_BATCH = 256  # rows converted at a time, so that memory does not limit them


def migrate(directory: pathlib.Path) -> int:
  """Converts a database to the present format.

  Args:
    directory: of the database, whose writer's lock is held.

  Returns:
    The format that it had before.

  Raises:
    DatabaseError: it cannot be read or written.
  """
  with open_catalogue(directory, any_format=True) as connection:
    version = read_format(connection)
    if version == FORMAT:
      return version
    with transaction(connection):
      # Not the meshes: to move them would write the whole database again.
      for name in ("setting", "model"):
        connection.execute(f"ALTER TABLE {name} RENAME TO former_{name}")
      create_tables(connection)
      connection.execute(f"PRAGMA user_version = {FORMAT}")
      for name, value in connection.execute(
        "SELECT name, value FROM former_setting"
      ).fetchall():
        write_setting(connection, name, value)
      _convert_models(connection)
      connection.execute("DROP TABLE former_setting")
      connection.execute("DROP TABLE former_model")
  return version


def _convert_models(connection: Connection) -> None:
  """Writes each former row as a present one, some at a time."""
  names = [
    name
    for (name,) in connection.execute(
      "SELECT name FROM former_model ORDER BY name"
    )
  ]
  for start in range(0, len(names), _BATCH):
    rows = [_read_row(connection, name) for name in names[start:][:_BATCH]]
    features = {
      str(values["name"]): vectors
      for values in rows
      if (vectors := _find_vectors(values)) is not None
    }
    places = row.store(connection, features)
    for values in rows:
      place = places.get(
        str(values["name"]), (values.get("checksum"), values.get("slot"))
      )
      catalogue.insert_converted(connection, _to_model(values), *place)


def _read_row(
  connection: Connection, name: str
) -> dict[str, Any]:  # the types depend on the column
  cursor = connection.execute(
    "SELECT * FROM former_model WHERE name = ?", (name,)
  )
  columns = [column for column, *_ in cursor.description]
  return dict(zip(columns, cursor.fetchone(), strict=True))


def _find_vectors(values: Mapping[str, Any]) -> np.ndarray | None:
  """Vectors [N, D] of a row of format 1 or 2; None if it has none."""
  if not values.get("vectors"):
    return None
  return np.frombuffer(values["vectors"], "<f4").reshape(values["views"], -1)


def _to_model(values: Mapping[str, Any]) -> Model:
  """A former row as a present one.

  A row whose area is not known keeps its vectors and is searched, but the next
  update must read its file again.
  """
  extent = (values["extent_a"], values["extent_b"], values["extent_c"])
  source = values.get("source", FOLDER)
  unit = values.get("unit", "")
  is_incomplete = values["radius"] is not None and values.get("area") is None
  return Model(
    values["name"],
    values["label"],
    values["hash"],
    values["state"],
    values["reason"],
    "" if is_incomplete else values["fingerprint"],
    source,
    unit,
    values.get("geometry", ""),
    json.loads(values.get("metadata", "{}")),
    values.get("body_count"),
    values.get("area"),
    values.get("volume"),
    values["radius"],
    None if extent[0] is None else extent,
    values["face_count"],
    label_source=_guess_label_source(values["name"], values["label"], source),
    # Version 0.1 changed the default by each dr3d add, so that of an added
    # file was chosen for it.
    unit_source=(
      "given" if source == ADDED and unit.endswith(ASSUMED) else "default"
    ),
  )


def _guess_label_source(name: str, label: str, source: Source) -> LabelSource:
  """Where a label comes from that former formats do not say.

  One that is not the name of the folder was given, so an update keeps it.
  """
  if source == ADDED and label:
    return "hand"
  is_folder = label == posixpath.basename(posixpath.dirname(name))
  return "folder" if is_folder else "table"
