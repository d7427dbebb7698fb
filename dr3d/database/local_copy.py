"""What a machine copies of a shared database, so that it reads local files.

Vectors are appended to the same file that other databases have: a slot never
changes once a row names it, so only new slots are fetched. Kept files and the
pipeline are fetched when they are asked for. All of it can be deleted.
"""

import contextlib
import pathlib
import shutil
import time
from collections.abc import Iterator, Mapping

import numpy as np

from dr3d.database import sqlite_file, vector_file
from dr3d.database.postgres import SharedConnection
from dr3d.error import DatabaseError, LockError
from dr3d.runtime.archive import pack_folder, unpack_folder
from dr3d.runtime.atomic import atomic_directory, atomic_file

_LOCK = "copy.lock"
_LOCK_SECONDS = 300.0  # that another process may take to fetch the vectors
_PAUSE_SECONDS = 0.05
_SLOTS = 2048  # fetched at once: 13 MB for N = 12, D = 128
_IDENTITY = "identity"
_PIPELINE = "pipeline/"  # begins names of objects
_FILE = "file/"


def check_identity(connection: SharedConnection, identity: str) -> None:
  """Forgets what was copied if the server holds another database now."""
  path = connection.directory / _IDENTITY
  with contextlib.suppress(OSError):
    if path.read_text(encoding="utf-8") == identity:
      return
  with hold(connection.directory):
    _forget(connection.directory)
    with atomic_file(path) as partial:
      partial.write_text(identity, encoding="utf-8")


def provide_vectors(
  connection: SharedConnection, layout: vector_file.Layout
) -> None:
  """Fetches the slots that this machine's file of vectors lacks.

  Raises:
    DatabaseError: this machine's disk does not store them.
  """
  path = connection.directory / layout.name
  if not layout.stride or _count_slots(path, layout) >= layout.count:
    return
  with hold(connection.directory):
    have = _count_slots(path, layout)
    try:
      with path.open("ab") as file:
        file.truncate(have * layout.stride)  # what a killed process left
        while have < layout.count:
          rows = connection.execute(
            "SELECT slot, data FROM vector WHERE generation = ? AND slot >= ?"
            " AND slot < ? ORDER BY slot",
            (layout.generation, have, min(have + _SLOTS, layout.count)),
          ).fetchall()
          data = {slot: bytes(vectors) for slot, vectors in rows}
          count = min(_SLOTS, layout.count - have)
          for slot in range(have, have + count):
            # One that is gone is damage, which its checksum tells.
            file.write(data.get(slot, bytes(layout.stride)))
          have += count
    except OSError as error:
      raise DatabaseError(
        f"{path} cannot store the vectors ({error.strerror}): make space in"
        " the cache."
      ) from error


def forget_vectors(directory: pathlib.Path) -> None:
  """Removes copied vectors, which are then fetched again."""
  with hold(directory):
    for path in directory.glob("vectors-*.f32"):
      path.unlink(missing_ok=True)


def append_vectors(
  connection: SharedConnection,
  layout: vector_file.Layout,
  features: Mapping[str, np.ndarray],
) -> vector_file.Layout:
  """Writes vectors of models into the next slots; see `vector_file.append`."""
  arrays = list(features.values())
  after = vector_file.extend_layout(layout, arrays)
  connection.executemany(
    # A rebuild that was killed leaves slots of a generation that no row names.
    "INSERT INTO vector VALUES (?, ?, ?)"
    " ON CONFLICT (generation, slot) DO UPDATE SET data = excluded.data",
    [
      (after.generation, slot, bytes(vector_file.to_bytes(array)))
      for slot, array in enumerate(arrays, layout.count)
    ],
  )
  return after


def remove_other_vectors(
  connection: SharedConnection, layout: vector_file.Layout
) -> None:
  """Deletes vectors of other generations, on the server and here."""
  connection.execute(
    # Not "<>", for which PostgreSQL reads all rows.
    "DELETE FROM vector WHERE generation < ? OR generation > ?",
    (layout.generation, layout.generation),
  )
  vector_file.remove_others(connection.directory, layout)


def put_pipeline(
  connection: SharedConnection, folder: str, path: pathlib.Path
) -> None:
  """Stores the folder of a pipeline."""
  put_object(connection, _PIPELINE + folder, pack_folder(path))


def provide_pipeline(connection: SharedConnection, folder: str) -> None:
  """Fetches the folder of a pipeline, unless it is there."""
  target = connection.directory / folder
  if target.exists():
    return
  data = find_object(connection, _PIPELINE + folder)
  if data is None:
    return  # the caller says that it is gone
  with hold(connection.directory):
    if target.exists():
      return
    with atomic_directory(target) as partial:
      unpack_folder(data, partial)


def remove_other_pipelines(connection: SharedConnection, folder: str) -> None:
  """Deletes pipelines that a rebuild has replaced."""
  connection.execute(
    "DELETE FROM object WHERE name LIKE ? AND name <> ?",
    (f"{_PIPELINE}%", _PIPELINE + folder),
  )


def put_file(connection: SharedConnection, name: str, data: bytes) -> None:
  """Stores a file that the database keeps."""
  put_object(connection, _FILE + name, data)


def provide_file(
  connection: SharedConnection, folder: pathlib.Path, digest: str
) -> pathlib.Path | None:
  """Fetches a kept file into a folder; None if there is none."""
  found = connection.execute(
    "SELECT name, data FROM object WHERE name LIKE ?", (f"{_FILE}{digest}.%",)
  ).fetchone()
  if found is None:
    return None
  name, data = found
  path = folder / name.removeprefix(_FILE)
  with atomic_file(path) as partial:
    partial.write_bytes(data)
  return path


def list_files(connection: SharedConnection) -> list[str]:
  """Names of all kept files."""
  rows = connection.execute(
    "SELECT name FROM object WHERE name LIKE ? ORDER BY name", (f"{_FILE}%",)
  )
  return [name.removeprefix(_FILE) for (name,) in rows]


def remove_file(connection: SharedConnection, name: str) -> None:
  """Deletes a kept file."""
  connection.execute("DELETE FROM object WHERE name = ?", (_FILE + name,))


def put_object(connection: SharedConnection, name: str, data: bytes) -> None:
  """Stores bytes by name, or replaces them."""
  connection.execute(
    "INSERT INTO object VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET data = excluded.data",
    (name, data),
  )


def find_object(connection: SharedConnection, name: str) -> bytes | None:
  """Bytes by name; None if there are none."""
  found = connection.execute(
    "SELECT data FROM object WHERE name = ?", (name,)
  ).fetchone()
  return None if found is None else bytes(found[0])


def _count_slots(path: pathlib.Path, layout: vector_file.Layout) -> int:
  try:
    return path.stat().st_size // layout.stride
  except OSError:
    return 0


def _forget(directory: pathlib.Path) -> None:
  for pattern in ("vectors-*", "pipeline*", "index-*", "files", "photos"):
    for path in directory.glob(pattern):
      if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
      else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def hold(directory: pathlib.Path) -> Iterator[None]:
  """Makes other processes of this machine wait that would copy as well."""
  end = time.monotonic() + _LOCK_SECONDS
  with contextlib.ExitStack() as held:
    while True:
      try:
        held.enter_context(sqlite_file.writer_lock(directory, name=_LOCK))
        break
      except LockError:
        if time.monotonic() > end:
          raise
        time.sleep(_PAUSE_SECONDS)
    yield
