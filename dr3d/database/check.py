"""Reads everything that a database holds and compares it with its digests.

`scan` reads all at once, of one state. `scan_parts` reads a little at a time,
so that a service can look for damage while it answers.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
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
from dr3d.database.connection import Connection
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

UNREPAIRABLE = ("catalogue", "pipeline", "file")
"""Kinds of damage that only a backup, or the file itself, can make good."""

_ADVICE: dict[Kind, str] = {
  "catalogue": "restore the database from a backup",
  "setting": "restore the database from a backup, or run dr3d check --repair",
  "row": "dr3d check --repair keeps the name and reads the file again; label"
  " and metadata are lost",
  "mesh": "dr3d check --repair reads the file again",
  "vectors": "dr3d check --repair computes them again",
  "file": "the model is still searched; remove it and add its file again, or"
  " restore the database from a backup",
  "upload": "dr3d check --repair sets the note aside; upload the file again",
  "pipeline": "restore the database from a backup, or run dr3d rebuild"
  " --pipeline",
  "leftover": "dr3d check --repair, or the next change, removes it",
}
_PART = 16  # models that are read at once; about 2 MB with 20 views of each
_ROW_BYTES = 500  # of a row without mesh and vectors, about


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

  @property
  def advice(self) -> str:
    """What to do about it, as a sentence without its full stop."""
    return _ADVICE[self.kind]

  def __str__(self) -> str:
    return f"{self.kind} {self.name} {self.reason}"


@dataclasses.dataclass(frozen=True)
class Part:
  """A part of a database that was read.

  Attributes:
    findings: what is damaged in it.
    size: bytes that were read, about.
  """

  findings: tuple[Finding, ...]
  size: int


def scan(
  directory: pathlib.Path, *, load_pipeline: LoadPipeline | None = None
) -> Iterator[Finding]:
  """Yields what is damaged, and what an interrupted rebuild left.

  Other processes may write meanwhile; all rows are of the moment at which the
  scan began.

  Args:
    directory: of the database.
    load_pipeline: reads the pipeline; `Pipeline.load` if None.

  Raises:
    DatabaseError: the directory holds no database, or one of another format.
  """
  try:
    with (
      catalogue.open_catalogue(directory) as connection,
      sqlite_file.transaction(connection, kind="DEFERRED"),
    ):
      verdict = catalogue.check_pages(connection)
      if verdict != "ok":
        reason = f"has a damaged page ({verdict.splitlines()[-1]})"
        yield Finding("catalogue", catalogue.FILE, reason)
        return
      yield from _scan_settings(connection).findings
      after: str | None = None
      while names := _list_names(connection, after):
        yield from _scan_models(connection, names).findings
        after = names[-1]
      yield from _scan_layout(connection).findings
  except DatabaseError as error:
    yield _to_finding(error)
    return
  for path in journal.list_files(directory):
    yield from _scan_file(path).findings
  yield from _scan_notes(directory)
  yield from _scan_pipeline(directory, load_pipeline)
  for path in _list_leftovers(directory):
    yield Finding("leftover", path.name, "is not used")


def scan_parts(
  directory: pathlib.Path, *, load_pipeline: LoadPipeline | None = None
) -> Iterator[Part]:
  """Reads a database a little at a time: some rows, or one kept file.

  No part keeps a transaction open between two values, so the log of writes
  does not grow however slowly they are taken. What a writer changes meanwhile
  is not damage: a finding counts if a second look at a newer state has it too.
  Pages of the catalogue that hold no row are left to `scan`.

  Args:
    directory: of the database.
    load_pipeline: reads the pipeline; `Pipeline.load` if None.

  Raises:
    DatabaseError: the directory holds no database, or cannot be read now.
  """
  yield _look_twice(lambda: _read(directory, _scan_settings))
  try:
    for names in _list_parts(directory):
      scan_names = functools.partial(_scan_models, names=names)
      yield _look_twice(functools.partial(_read, directory, scan_names))
  except DatabaseError as error:
    yield Part((_to_finding(error),), 0)
  yield _look_twice(lambda: _read(directory, _scan_layout))
  for path in journal.list_files(directory):
    yield _look_twice(functools.partial(_scan_file, path))
  yield _look_twice(lambda: Part(tuple(_scan_notes(directory)), 0))
  yield _look_twice(
    lambda: Part(tuple(_scan_pipeline(directory, load_pipeline)), 0)
  )


def _read(
  directory: pathlib.Path, function: Callable[[Connection], Part]
) -> Part:
  """Reads a part in a transaction of its own."""
  try:
    with (
      catalogue.open_catalogue(directory) as connection,
      sqlite_file.transaction(connection, kind="DEFERRED"),
    ):
      return function(connection)
  except DatabaseError as error:
    return Part((_to_finding(error),), 0)


def _list_parts(directory: pathlib.Path) -> Iterator[list[str]]:
  """Yields names of models, some at a time."""
  after: str | None = None
  while True:
    with catalogue.open_catalogue(directory) as connection:
      names = _list_names(connection, after)
    if not names:
      return
    yield names
    after = names[-1]


def _look_twice(look: Callable[[], Part]) -> Part:
  """Reads a part again if something in it seems damaged."""
  first = look()
  if not first.findings:
    return first
  again = look()
  findings = tuple(f for f in again.findings if f in first.findings)
  return Part(findings, first.size + again.size)


def _to_finding(error: DatabaseError) -> Finding:
  """What an error of the catalogue says of it; other errors are raised."""
  if not sqlite_file.is_damage(error):
    raise error
  return Finding("catalogue", catalogue.FILE, f"is damaged ({error})")


def _scan_settings(connection: Connection) -> Part:
  settings = setting.scan_settings(connection)
  findings = [
    Finding("setting", name, "is not what was written")
    for name, _, is_whole in settings
    if not is_whole
  ]
  return Part(tuple(findings), sum(len(value) for _, value, _ in settings))


def _list_names(connection: Connection, after: str | None) -> list[str]:
  """The names that follow one, as their index has them; all if it is None."""
  rows = connection.execute(
    # No name sorts before the empty one, and no model has it.
    "SELECT name FROM model WHERE name > ? ORDER BY name LIMIT ?",
    (after or "", _PART),
  )
  return [name for (name,) in rows]


def _scan_models(connection: Connection, names: Sequence[str]) -> Part:
  """Compares rows, meshes and vectors of some models with their digests."""
  findings, size = [], _ROW_BYTES * len(names)
  for name in names:
    try:
      catalogue.find_model(connection, name)
    except DatabaseError:
      findings.append(Finding("row", name, "is not what was written"))
  shapes = dict(catalogue.scan_shapes(connection, names))
  with_shape = set(catalogue.list_with_shape(connection, names))
  for name in names:
    shape = shapes.get(name)
    if shape is not None:
      size += len(shape.mesh) + len(shape.thumbnail)
    elif name in shapes:
      findings.append(Finding("mesh", name, "is not what was written"))
    elif name in with_shape:
      findings.append(Finding("mesh", name, "is missing"))
  vectors = _scan_vectors(connection, names)
  return Part((*findings, *vectors.findings), size + vectors.size)


def _scan_vectors(connection: Connection, names: Sequence[str]) -> Part:
  """Compares vectors; `_scan_layout` reports a file that cannot be read."""
  directory = catalogue.find_directory(connection)
  try:
    layout = row.open_layout(connection)
    slots = row.read_slots(connection, "slot IS NOT NULL", names)
    digests = vector_file.hash_slots(directory, layout, slots)
  except (DatabaseError, OSError):
    return Part((), 0)
  findings = []
  for slot, digest in zip(slots, digests, strict=True):
    if digest is None:
      findings.append(
        Finding("vectors", slot.name, "are missing or cannot be read")
      )
    elif digest != slot.checksum:
      findings.append(Finding("vectors", slot.name, "are not what was written"))
  return Part(tuple(findings), layout.stride * len(slots))


def _scan_layout(connection: Connection) -> Part:
  """Says why no vectors can be read."""
  try:
    layout = row.open_layout(connection)
    if layout.count and row.has_slots(connection):
      vector_file.open_vectors(catalogue.find_directory(connection), layout)
  except DatabaseError as error:
    return Part((Finding("vectors", "", f"cannot be read ({error})"),), 0)
  return Part((), 0)


def _scan_file(path: pathlib.Path) -> Part:
  """Compares a file that the database keeps with its name."""
  try:
    size, digest = path.stat().st_size, folder.hash_file(path)
  except FileNotFoundError:  # its model was removed meanwhile
    return Part((), 0)
  except OSError as error:
    reason = f"cannot be read ({error.strerror})"
    return Part((Finding("file", path.name, reason),), 0)
  if digest == path.stem:
    return Part((), size)
  return Part((Finding("file", path.name, "is not what was stored"),), size)


def _scan_notes(directory: pathlib.Path) -> Iterator[Finding]:
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


def _list_leftovers(directory: pathlib.Path) -> list[pathlib.Path]:
  try:
    with catalogue.open_catalogue(directory) as connection:
      settings = setting.read_settings(connection)
  except DatabaseError:
    return []  # a damaged setting, which was reported
  return garbage.list_leftovers(directory, settings)


def count_searchable(directory: pathlib.Path) -> int:
  """Number of models that can be searched."""
  with catalogue.open_catalogue(directory) as connection:
    return catalogue.count_states(connection)[INDEXED]
