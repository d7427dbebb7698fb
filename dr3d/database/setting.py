"""Settings of a database: text by name, beside the rows.

A setting may come from a database that someone else made, so a name of a folder
or a file is checked before it becomes part of a path.
"""

import json
import math
import re
from collections.abc import Mapping

from dr3d.database.connection import Connection
from dr3d.database.digest import hash_values
from dr3d.database.schema import find_directory, read_format
from dr3d.error import DatabaseError

# Names of settings, as they are stored.
PIPELINE = "pipeline"  # the fingerprint; also the name of its folder
PIPELINE_FOLDER = "pipeline_folder"  # the pipeline's folder, if another one
MODELS = "models"  # the folder that was indexed last
FACE_BUDGET = "face_budget"  # of the pipeline
APPEARANCE = "appearance"  # whether the pipeline compares colours, in JSON
SURFACE_WEIGHT = "surface_weight"  # of the pipeline, in JSON
UNIT = "unit"  # of length, assumed for files that do not state one
CALIBRATION = "calibration"  # derived; see `calibration_file`
COLUMNS = "columns"  # keys of the metadata that are shown, a list in JSON
OBJECTS = "objects"  # address of meshes that are not in rows
VECTORS = "vectors"  # layout of the vector file; see `vector_file`

DERIVED = (CALIBRATION,)
"""Settings that can be computed again, so damage to them costs nothing."""

REPLACEABLE = (*DERIVED, MODELS, UNIT, COLUMNS, VECTORS)
"""Settings that a repair can do without: the next index gives the folder and
the unit, and vectors are computed again."""

# A folder inside the database, as `rebuild` names it. Without this check a
# database from elsewhere could name any folder, which a rebuild then deletes.
_FOLDER = re.compile(r"pipeline(-[0-9A-Za-z_]+)?")


def read_settings(connection: Connection) -> dict[str, str]:
  """Returns the settings; damaged ones that can be derived are left out.

  Raises:
    DatabaseError: a setting is damaged, or names a folder elsewhere.
  """
  settings = {}
  for name, value, is_whole in scan_settings(connection):
    if is_whole:
      settings[name] = value
    elif name not in DERIVED:
      raise _damage(connection, name)
  _check(settings, connection)
  return settings


def read_setting(connection: Connection, name: str) -> str | None:
  """Returns one setting; None if it is not set.

  Raises:
    DatabaseError: it is damaged.
  """
  if read_format(connection) < 4:  # these have no digests
    found = connection.execute(
      "SELECT value FROM setting WHERE name = ?", (name,)
    ).fetchone()
    return None if found is None else found[0]
  found = connection.execute(
    "SELECT value, digest FROM setting WHERE name = ?", (name,)
  ).fetchone()
  if found is None:
    return None
  value, digest = found
  if digest != hash_values((name, value)):
    raise _damage(connection, name)
  return value


def scan_settings(
  connection: Connection,
) -> list[tuple[str, str, bool]]:
  """Returns name and value of each setting, and whether it is undamaged."""
  if read_format(connection) < 4:  # these have no digests
    rows = connection.execute("SELECT name, value FROM setting")
    return [(name, value, True) for name, value in rows]
  rows = connection.execute("SELECT name, value, digest FROM setting")
  return [
    (name, value, digest == hash_values((name, value)))
    for name, value, digest in rows
  ]


def write_setting(connection: Connection, name: str, value: str) -> None:
  """Writes one setting."""
  connection.execute(
    "INSERT INTO setting (name, value, digest) VALUES (?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE"
    " SET value = excluded.value, digest = excluded.digest",
    (name, value, hash_values((name, value))),
  )


def find_pipeline_folder(settings: Mapping[str, str]) -> str:
  """Name of the folder in the database that holds its pipeline."""
  return settings.get(PIPELINE_FOLDER, PIPELINE)


def read_surface_weight(settings: Mapping[str, str]) -> float:
  """How much surfaces count; see `geometric_score.DEFAULT_WEIGHT`.

  Databases of older versions do not state it.

  Raises:
    DatabaseError: it is not a number above 0.
  """
  text = settings.get(SURFACE_WEIGHT, "1")
  try:
    weight = float(text)
  except ValueError:
    weight = math.nan
  if not 0 < weight < math.inf:
    raise DatabaseError(
      f"the database is damaged: its weight of surfaces is {text!r}; restore "
      "it from a backup."
    )
  return weight


def _damage(connection: Connection, name: str) -> DatabaseError:
  return DatabaseError(
    f"{find_directory(connection)} is damaged: the setting {name!r} is not "
    "what was written; run dr3d check --repair, or restore the database from "
    "a backup."
  )


def _check(settings: Mapping[str, str], connection: Connection) -> None:
  """Raises if a setting has no meaning, or names a folder elsewhere."""
  directory = find_directory(connection)
  folder = find_pipeline_folder(settings)
  if not _FOLDER.fullmatch(folder):
    raise DatabaseError(
      f"{directory} names {folder!r} as the folder of its pipeline, which is "
      "not a folder of a database: do not use it."
    )
  try:
    budget = json.loads(settings.get(FACE_BUDGET, "null"))
  except ValueError:
    budget = ""
  if not isinstance(budget, int | None):
    raise DatabaseError(
      f"{directory} is damaged: its face budget is "
      f"{settings[FACE_BUDGET]!r}; restore it from a backup."
    )
