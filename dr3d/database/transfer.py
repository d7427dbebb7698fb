"""Copies a database to PostgreSQL, or from there to a folder."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Sequence

from dr3d.database import (
  catalogue,
  journal,
  local_copy,
  lock,
  row,
  setting,
  shared,
  vector_file,
)
from dr3d.database.connection import Connection
from dr3d.database.model import Model
from dr3d.database.object_store import find_store
from dr3d.database.postgres import SharedConnection
from dr3d.database.record import to_values
from dr3d.database.schema import create_catalogue, is_complete
from dr3d.database.sqlite_file import transaction
from dr3d.error import DatabaseError
from dr3d.runtime.atomic import find_whole

_BATCH = 256  # models copied at a time, so that memory does not limit them


def copy_database(
  source: pathlib.Path,
  target: pathlib.Path,
  *,
  objects: str | None = None,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
  """Copies rows, meshes, vectors, kept files, notes, settings and pipeline.

  All models are copied in one transaction. A process that is killed leaves a
  database without models, which the same call fills.

  Args:
    source: folder of the database, whose writers wait meanwhile.
    target: folder of the new one; see `shared.find_directory`.
    objects: see `Database.create`.
    progress: called with the models done and all models.

  Returns:
    How many models there are.

  Raises:
    DatabaseError: the target has models or other files, or one of the two
      cannot be used.
  """
  with lock.writer_lock(source):
    with catalogue.open_catalogue(source) as connection:
      settings = setting.read_settings(connection)
      folder = setting.find_pipeline_folder(settings)
      if isinstance(connection, SharedConnection):
        local_copy.provide_pipeline(connection, folder)
    settings.pop(setting.VECTORS, None)  # slots are given again
    settings.pop(setting.OBJECTS, None)
    if objects is not None:
      settings[setting.OBJECTS] = find_store(objects).url
    _create(source, target, settings, folder)
    with (
      lock.writer_lock(target),
      catalogue.open_catalogue(source) as before,
      catalogue.open_catalogue(target) as after,
    ):
      names = [model.name for model in catalogue.read_models(before)]
      _copy_files(source, target, before)
      with transaction(after):
        for start in range(0, len(names), _BATCH):
          some = names[start:][:_BATCH]
          _write(after, _read(source, before, some))
          progress(start + len(some), len(names))
      _compare(before, after, names)
  return len(names)


def _create(
  source: pathlib.Path,
  target: pathlib.Path,
  settings: dict[str, str],
  folder: str,
) -> None:
  """Makes an empty database of the same pipeline, or finds one."""
  name = shared.describe(target)
  if is_complete(target):
    with catalogue.open_catalogue(target) as connection:
      found = setting.read_settings(connection)
      count = sum(catalogue.count_states(connection).values())
    if count or found.get(setting.PIPELINE) != settings[setting.PIPELINE]:
      raise DatabaseError(f"{name} holds a database already: name another one.")
    return
  target.mkdir(parents=True, exist_ok=True)
  if shared.find_uri(target) is None and any(target.iterdir()):
    raise DatabaseError(f"{name} holds other files: name a new directory.")
  shutil.rmtree(target / folder, ignore_errors=True)
  shutil.copytree(find_whole(source / folder), target / folder)
  create_catalogue(target, settings)


def _read(
  directory: pathlib.Path, connection: Connection, names: Sequence[str]
) -> list[Model]:
  """Rows with shapes and vectors."""
  slots = row.read_slots(connection, "slot IS NOT NULL", names)
  vectors = vector_file.read(directory, row.open_layout(connection), slots)
  features = dict(zip([slot.name for slot in slots], vectors, strict=True))
  shapes = catalogue.read_shapes(connection, names)
  models = [catalogue.find_model(connection, name) for name in names]
  return [
    dataclasses.replace(
      model, features=features.get(model.name), shape=shapes.get(model.name)
    )
    for model in models
    if model is not None
  ]


def _write(connection: Connection, models: Sequence[Model]) -> None:
  places = row.store(
    connection, {m.name: m.features for m in models if m.features is not None}
  )
  for model in models:
    place = places.get(model.name, (None, None))
    catalogue.insert_model(connection, model, *place)


def _copy_files(
  source: pathlib.Path, target: pathlib.Path, connection: Connection
) -> None:
  """Copies kept files, and notes about models that wait to be indexed."""
  hashes = connection.execute("SELECT hash FROM model").fetchall()
  for (digest,) in hashes:
    path = journal.find_file(source, digest)
    if path is not None:
      data = path.read_bytes()
      journal.keep(target, data, digest=digest, suffix=path.suffix)
  for file in journal.read_pending(source):
    journal.accept(target, file)


def _compare(
  before: Connection, after: Connection, names: Sequence[str]
) -> None:
  """Raises unless both have the same rows."""
  for name in names:
    rows = [catalogue.find_model(c, name) for c in (before, after)]
    values = [None if r is None else to_values(r, 0, 0) for r in rows]
    if values[0] is None or values[0] != values[1]:
      raise DatabaseError(
        f"the copy of {name!r} is not what was read: delete the new database"
        " and give the command again."
      )
