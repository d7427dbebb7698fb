"""Reads everything that a database holds and compares it with its digests."""

import dataclasses
import pathlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Literal

from dr3d.data import folder
from dr3d.database import (
  catalogue,
  garbage,
  journal,
  row,
  setting,
  sqlite_file,
  vector_file,
)
from dr3d.database.embedding import LoadPipeline
from dr3d.database.model import INDEXED
from dr3d.error import DatabaseError, Dr3dError

Kind = Literal[
  "catalogue",
  "setting",
  "row",
  "mesh",
  "vectors",
  "file",
  "upload",
  "pipeline",
  "leftover",
]

Step = Callable[[], None]

UNREPAIRABLE = ("catalogue", "pipeline", "file")
"""Kinds of damage that only a backup, or the file itself, can make good."""


@dataclasses.dataclass(frozen=True)
class Finding:
  """Something that is not what was written.

  Attributes:
    kind: of what; `row`: label, metadata and sizes of a model; `mesh`: its
      stored mesh and thumbnail; `file`: a file that the database keeps;
      `upload`: a note about a model that waits to be indexed; `leftover`: what
      an interrupted rebuild left, which is not damage.
    name: of the model, setting or file.
    reason: a predicate that follows the name.
  """

  kind: Kind
  name: str
  reason: str

  @property
  def is_repairable(self) -> bool:
    """Whether `repair` can make it good without a backup."""
    if self.kind == "setting":
      return self.name in setting.REPLACEABLE
    return self.kind not in UNREPAIRABLE

  def __str__(self) -> str:
    return f"{self.kind} {self.name} {self.reason}"


def scan(
  directory: pathlib.Path,
  *,
  load_pipeline: LoadPipeline | None = None,
  step: Step = lambda: None,
) -> Iterator[Finding]:
  """Yields what is damaged, and what an interrupted rebuild left.

  Other processes may write meanwhile; all rows are of the moment at which the
  scan began.

  Args:
    directory: of the database.
    load_pipeline: reads the pipeline; `Pipeline.load` if None.
    step: called after each thing that was read, so that a service can wait.

  Raises:
    DatabaseError: the directory holds no database, or one of another format.
  """
  try:
    with (
      catalogue.open_catalogue(directory) as connection,
      sqlite_file.transaction(connection, kind="DEFERRED"),
    ):
      (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
      if verdict != "ok":
        reason = f"has a damaged page ({verdict.splitlines()[-1]})"
        yield Finding("catalogue", catalogue.FILE, reason)
        return
      step()
      for part in (_scan_settings, _scan_rows, _scan_meshes, _scan_vectors):
        yield from part(connection, directory, step)
  except DatabaseError as error:
    if not (directory / catalogue.FILE).exists() or error.__cause__ is None:
      raise
    yield Finding("catalogue", catalogue.FILE, f"is damaged ({error})")
    return
  yield from _scan_files(directory, step)
  yield from _scan_pipeline(directory, load_pipeline)


def _scan_settings(
  connection: sqlite3.Connection, directory: pathlib.Path, step: Step
) -> Iterator[Finding]:
  del directory
  for name, _, is_whole in setting.scan_settings(connection):
    if not is_whole:
      yield Finding("setting", name, "is not what was written")
    step()


def _scan_rows(
  connection: sqlite3.Connection, directory: pathlib.Path, step: Step
) -> Iterator[Finding]:
  del directory
  for name, model in catalogue.scan_models(connection):
    if model is None:
      yield Finding("row", name, "is not what was written")
    step()


def _scan_meshes(
  connection: sqlite3.Connection, directory: pathlib.Path, step: Step
) -> Iterator[Finding]:
  del directory
  names = [name for name, _ in catalogue.scan_models(connection)]
  found = set()
  for name, shape in catalogue.scan_shapes(connection, names):
    found.add(name)
    if shape is None:
      yield Finding("mesh", name, "is not what was written")
    step()
  for name in catalogue.list_with_shape(connection):
    if name not in found:
      yield Finding("mesh", name, "is missing")


def _scan_vectors(
  connection: sqlite3.Connection, directory: pathlib.Path, step: Step
) -> Iterator[Finding]:
  try:
    layout = row.read_layout(connection)
    slots = row.read_slots(connection, "slot IS NOT NULL")
    stored = vector_file.open_vectors(directory, layout) if slots else None
  except DatabaseError as error:
    yield Finding("vectors", "", f"cannot be read ({error})")
    return
  for slot in slots:
    assert stored is not None, "there is a slot"
    if not 0 <= slot.number < layout.count:
      yield Finding("vectors", slot.name, "are missing")
    elif vector_file.hash_vectors(stored[slot.number]) != slot.checksum:
      yield Finding("vectors", slot.name, "are not what was written")
    step()


def _scan_files(directory: pathlib.Path, step: Step) -> Iterator[Finding]:
  for path in journal.list_files(directory):
    try:
      digest = folder.hash_file(path)
    except OSError as error:
      yield Finding("file", path.name, f"cannot be read ({error.strerror})")
    else:
      if digest != path.stem:
        yield Finding("file", path.name, "is not what was stored")
    step()
  for path in journal.find_damaged(directory):
    yield Finding("upload", path.name, "cannot be read")


def _scan_pipeline(
  directory: pathlib.Path, load_pipeline: LoadPipeline | None
) -> Iterator[Finding]:
  from dr3d.database.reader import DatabaseReader

  try:
    reader = DatabaseReader.open(directory, load_pipeline=load_pipeline)
  except DatabaseError:
    return  # a damaged setting, which was reported
  try:
    reader.pipeline  # noqa: B018  loads it and compares its fingerprint
  except (Dr3dError, OSError) as error:
    name = setting.find_pipeline_folder(reader.settings)
    yield Finding("pipeline", name, f"cannot be used ({error})")
  for path in garbage.list_leftovers(directory, reader.settings):
    yield Finding("leftover", path.name, "is not used")


def count_searchable(directory: pathlib.Path) -> int:
  """Number of models that can be searched."""
  with catalogue.open_catalogue(directory) as connection:
    return catalogue.count_states(connection)[INDEXED]
