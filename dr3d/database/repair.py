"""Makes good what `check` finds, as far as that is possible without a backup.

Nothing wrong is made to look right. A damaged row loses its label, metadata and
sizes; its file is read again. Damaged vectors are computed again from the
stored mesh, and a damaged mesh from the file.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Sequence

from dr3d.database import (
  catalogue,
  garbage,
  journal,
  lock,
  migration,
  row,
  setting,
  sqlite_file,
)
from dr3d.database.check import Finding
from dr3d.database.connection import Connection
from dr3d.database.embedding import LoadPipeline
from dr3d.database.model import ADDED, FOLDER, INDEXED, OUTDATED, Model
from dr3d.database.writer import Database


def repair(
  directory: pathlib.Path,
  findings: Sequence[Finding],
  *,
  load_pipeline: LoadPipeline | None = None,
) -> list[Finding]:
  """Repairs a database.

  Models whose file must be read again become outdated, unless the database
  keeps a copy of it; `dr3d index` or `dr3d add` then reads it.

  Args:
    directory: of the database.
    findings: see `check.scan`.
    load_pipeline: reads the pipeline; `Pipeline.load` if None.

  Returns:
    What cannot be repaired.

  Raises:
    DatabaseError: another process writes, or the disk does not store it.
  """
  left = [finding for finding in findings if not finding.is_repairable]
  if any(finding.kind in ("catalogue", "setting") for finding in left):
    return left
  by_kind = {
    kind: [f.name for f in findings if f.kind == kind and f.is_repairable]
    for kind in ("setting", "row", "mesh", "vectors", "upload")
  }
  with lock.writer_lock(directory):
    migration.migrate(directory)
    with catalogue.open_catalogue(directory) as connection:
      with sqlite_file.transaction(connection):
        for name in by_kind["setting"]:
          connection.execute("DELETE FROM setting WHERE name = ?", (name,))
        for name in by_kind["row"]:
          _reset_row(connection, name)
        _drop_meshes(connection, by_kind["mesh"])
        _drop_vectors(connection, by_kind["vectors"])
      settings = setting.read_settings(connection)
    for name in by_kind["upload"]:
      # Kept, so that a person can look at it; its model was accepted.
      path = directory / journal.PENDING / name
      if path.exists():
        path.rename(path.with_suffix(".damaged"))
    for path in garbage.list_leftovers(directory, settings):
      shutil.rmtree(path, ignore_errors=True)
  if not any(finding.kind == "pipeline" for finding in findings):
    Database.open(directory, load_pipeline=load_pipeline).rebuild()
  return left


def _reset_row(connection: Connection, name: str) -> None:
  """Leaves a damaged row its name, and what tells how to read its file."""
  digest, source = connection.execute(
    "SELECT hash, source FROM model WHERE name = ?", (name,)
  ).fetchone()
  home = catalogue.find_directory(connection)
  is_kept = journal.find_file(home, str(digest)) is not None
  model = Model(
    name,
    "",
    digest if is_kept else "",
    OUTDATED,
    "",
    "",
    ADDED if source == ADDED else FOLDER,
  )
  catalogue.insert_model(connection, model, None, None)


def _drop_meshes(connection: Connection, names: Sequence[str]) -> None:
  """Deletes meshes; their models are searched, and read again when updated."""
  for name in names:
    model = catalogue.find_model(connection, name)
    if model is not None:
      changed = dataclasses.replace(model, fingerprint="")
      catalogue.drop_shape(connection, changed)


def _drop_vectors(connection: Connection, names: Sequence[str]) -> None:
  """Gives vectors up; an empty name means all of them."""
  if "" in names:
    names = [
      slot.name for slot in row.read_slots(connection, "slot IS NOT NULL")
    ]
  for name in names:
    model = catalogue.find_model(connection, name)
    if model is not None:
      state = OUTDATED if model.state == INDEXED else model.state
      changed = dataclasses.replace(model, state=state)
      catalogue.drop_vectors(connection, changed)
