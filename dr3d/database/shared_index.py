"""The index of a shared database: one machine builds it, the others fetch it.

An index is a folder of files, each stored in parts. What is fetched is compared
with its own digests before it is used; see `index.scann_file`.
"""

import pathlib

from dr3d.database import local_copy, schema, shared
from dr3d.database.postgres import SharedConnection
from dr3d.database.sqlite_file import transaction
from dr3d.error import DatabaseError
from dr3d.index.scann_file import is_index_name, remove_indices
from dr3d.runtime.atomic import atomic_directory

_PART = 32 << 20  # bytes; a value of PostgreSQL has at most 1 GB
_PREFIX = "index/"


def publish(directory: pathlib.Path, folder: pathlib.Path) -> None:
  """Stores an index that was built here, instead of the former one.

  Args:
    directory: of the database; nothing is done unless it is shared.
    folder: of the index, in the directory.
  """
  if shared.find_uri(directory) is None:
    return
  with schema.open_catalogue(directory) as connection, transaction(connection):
    assert isinstance(connection, SharedConnection)
    connection.execute("DELETE FROM object WHERE name LIKE ?", (f"{_PREFIX}%",))
    for path in sorted(folder.iterdir()):
      with path.open("rb") as file:
        number = 0
        while (data := file.read(_PART)) or not number:
          name = f"{_PREFIX}{folder.name}/{path.name}/{number:06d}"
          local_copy.put_object(connection, name, data)
          number += 1


def provide(directory: pathlib.Path) -> None:
  """Fetches the index that another machine has built, if there is one.

  Args:
    directory: of the database; nothing is done unless it is shared.
  """
  if shared.find_uri(directory) is None:
    return
  with schema.open_catalogue(directory) as connection:
    assert isinstance(connection, SharedConnection)
    with transaction(connection, kind="DEFERRED"):  # one index
      _fetch(connection, directory)


def _fetch(connection: SharedConnection, directory: pathlib.Path) -> None:
  rows = connection.execute(
    "SELECT name FROM object WHERE name LIKE ? ORDER BY name", (f"{_PREFIX}%",)
  ).fetchall()
  if not rows:
    return
  parts = [name.removeprefix(_PREFIX).split("/") for (name,) in rows]
  folder = parts[0][0]
  if not is_index_name(folder) or (directory / folder).exists():
    return
  with local_copy.hold(directory):
    if (directory / folder).exists():
      return
    with atomic_directory(directory / folder) as partial:
      for _, file, number in parts:
        if pathlib.PurePath(file).name != file:
          raise DatabaseError(
            f"{shared.describe(directory)} names {file!r} as a file of its"
            " index: do not use it."
          )
        name = f"{_PREFIX}{folder}/{file}/{number}"
        with (partial / file).open("ab") as target:
          target.write(local_copy.find_object(connection, name) or b"")
    remove_indices(directory, kept=folder)
