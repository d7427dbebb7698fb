"""The upload journal of a shared database: files and notes on the server.

Notes about uploads of one service are completed by any other, once it has the
right to write, which the first one has while it indexes. See `journal`.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from dr3d.database import catalogue, local_copy, schema
from dr3d.database.postgres import SharedConnection
from dr3d.database.sqlite_file import transaction
from dr3d.error import ConflictError

FILES = "files"
"""Folder of kept files."""

_NOTE = "note/"


def accept(
  directory: pathlib.Path, key: str, note: Mapping[str, Any], data: bytes
) -> None:
  """Stores a file and a note about it, both or none.

  Another service may have been given another file of the same name meanwhile.

  Args:
    directory: this machine's folder of the database.
    key: of the note.
    note: with the name of the file as `file`.
    data: of the file.

  Raises:
    ConflictError: it has.
  """
  with _connect(directory) as connection, transaction(connection):
    before = local_copy.find_object(connection, _NOTE + key)
    model = catalogue.find_model(connection, note["name"])
    digest = note["file"].split(".")[0]
    if (before is not None and _read_file_name(before) != note["file"]) or (
      model is not None and model.hash != digest
    ):
      raise ConflictError(
        f"the database has another model {note['name']!r}: choose another"
        " name, or remove that one."
      )
    local_copy.put_file(connection, note["file"], data)
    text = json.dumps(note).encode()
    local_copy.put_object(connection, _NOTE + key, text)


def put_file(directory: pathlib.Path, name: str, data: bytes) -> None:
  """Stores a file without a note."""
  with _connect(directory) as connection:
    local_copy.put_file(connection, name, data)


def forget(directory: pathlib.Path, key: str) -> None:
  """Removes a note."""
  with _connect(directory) as connection:
    connection.execute("DELETE FROM object WHERE name = ?", (_NOTE + key,))


def read_notes(directory: pathlib.Path) -> dict[str, bytes]:
  """All notes by key."""
  with _connect(directory) as connection:
    return _list_notes(connection)


def provide_file(
  directory: pathlib.Path, folder: pathlib.Path, digest: str
) -> pathlib.Path | None:
  """Fetches a kept file into a folder; None if there is none."""
  with _connect(directory) as connection:
    return local_copy.provide_file(connection, folder, digest)


def provide_all(directory: pathlib.Path, folder: pathlib.Path) -> None:
  """Fetches all kept files that a folder lacks."""
  with _connect(directory) as connection:
    for name in local_copy.list_files(connection):
      if not (folder / name).exists():
        local_copy.provide_file(connection, folder, name.split(".")[0])


def collect_garbage(connection: SharedConnection) -> None:
  """Deletes files that neither a model nor a note names, here as well.

  Nothing is deleted while a note is damaged: its file may be wanted. The caller
  is in a transaction.
  """
  try:
    noted = {_read_file_name(data) for data in _list_notes(connection).values()}
  except ValueError:
    return
  rows = connection.execute("SELECT hash FROM model").fetchall()
  kept = {digest for (digest,) in rows}
  for name in local_copy.list_files(connection):
    if name not in noted and name.split(".")[0] not in kept:
      local_copy.remove_file(connection, name)
      (connection.directory / FILES / name).unlink(missing_ok=True)


def _list_notes(connection: SharedConnection) -> dict[str, bytes]:
  rows = connection.execute(
    "SELECT name, data FROM object WHERE name LIKE ? ORDER BY name",
    (f"{_NOTE}%",),
  ).fetchall()
  return {name.removeprefix(_NOTE): bytes(data) for name, data in rows}


def _read_file_name(note: bytes) -> str:
  """Name of the file that a note is about.

  Raises:
    ValueError: the note is damaged.
  """
  try:
    return str(json.loads(note)["file"])
  except (LookupError, TypeError) as error:
    raise ValueError("it names no file") from error


@contextlib.contextmanager
def _connect(directory: pathlib.Path) -> Iterator[SharedConnection]:
  with schema.open_catalogue(directory) as connection:
    assert isinstance(connection, SharedConnection), "the caller has checked it"
    yield connection
