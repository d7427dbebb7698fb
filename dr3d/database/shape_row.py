"""Meshes and thumbnails: in rows, or in an object store that a row names."""

import hashlib

from dr3d.database.connection import Connection
from dr3d.database.model import Shape
from dr3d.database.object_store import ObjectStore, find_store
from dr3d.database.postgres import SharedConnection
from dr3d.database.setting import OBJECTS, read_setting

KIND = "shape"


def write(connection: Connection, name: str, shape: Shape | None) -> None:
  """Replaces what a model has; the caller is in a transaction."""
  connection.execute("DELETE FROM shape WHERE name = ?", (name,))
  if shape is None:
    return
  store = find_object_store(connection)
  if store is None:
    connection.execute(
      "INSERT INTO shape (name, mesh, thumbnail) VALUES (?, ?, ?)",
      (name, shape.mesh, shape.thumbnail),
    )
    return
  # The length tells where the mesh ends.
  data = len(shape.mesh).to_bytes(8, "little") + shape.mesh + shape.thumbnail
  key = f"{KIND}/{hashlib.sha256(data).hexdigest()}"
  store.put(key, data)
  connection.execute(
    "INSERT INTO shape (name, object) VALUES (?, ?)", (name, key)
  )


def read(connection: Connection, name: str) -> Shape | None:
  """Mesh and thumbnail of a model; None if it has none.

  What the store has lost or changed is an empty shape, whose digest is wrong.
  """
  if not isinstance(connection, SharedConnection):
    values = connection.execute(
      "SELECT mesh, thumbnail FROM shape WHERE name = ?", (name,)
    ).fetchone()
    return None if values is None else Shape(*values)
  values = connection.execute(
    "SELECT mesh, thumbnail, object FROM shape WHERE name = ?", (name,)
  ).fetchone()
  if values is None:
    return None
  mesh, thumbnail, key = values
  if key is None:
    return Shape(bytes(mesh), bytes(thumbnail))
  store = find_object_store(connection)
  data = None if store is None else store.get(key)
  if data is None:
    return Shape(b"", b"")
  end = 8 + int.from_bytes(data[:8], "little")
  return Shape(data[8:end], data[end:])


def find_object_store(connection: Connection) -> ObjectStore | None:
  """Where objects are if not in the catalogue itself."""
  if not isinstance(connection, SharedConnection):
    return None
  if connection.objects is None:
    connection.objects = read_setting(connection, OBJECTS) or ""
  return find_store(connection.objects) if connection.objects else None


def collect_garbage(connection: SharedConnection) -> None:
  """Deletes objects that no row names; the caller is the only writer."""
  store = find_object_store(connection)
  if store is None:
    return
  rows = connection.execute("SELECT object FROM shape").fetchall()
  named = {key for (key,) in rows}
  for key in store.list(KIND):
    if key not in named:
      store.remove(key)
