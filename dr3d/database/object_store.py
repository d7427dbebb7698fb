"""Bytes by name, in a folder or an object store that several machines see.

Names are made of the content, so nothing is ever changed, and a process that is
killed leaves at most an object that no row names.
"""

import functools
import uuid
from typing import Any

from dr3d.error import DatabaseError, Dr3dError


class ObjectStore:
  """A place that fsspec knows, such as file:///shared or s3://bucket/parts."""

  def __init__(self, url: str):
    """Opens it; `find_store` shares one among threads.

    Raises:
      Dr3dError: fsspec, or what this kind of place needs, is not installed.
    """
    try:
      import fsspec

      self._files, self._root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
      raise Dr3dError(
        f"{url} cannot be used ({error}): pip install 'dr3d[postgres]', and"
        " what fsspec needs for this address."
      ) from error
    self.url = url

  def put(self, name: str, data: bytes) -> None:
    """Stores bytes, unless they are there.

    Raises:
      DatabaseError: the place does not store them.
    """
    path = self._path(name)
    try:
      if self._files.exists(path):
        return
      if "file" not in _list_protocols(self._files):
        self._files.pipe_file(path, data)
        return
      partial = f"{path}.{uuid.uuid4().hex}"  # a file is whole, or not there
      self._files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
      self._files.pipe_file(partial, data)
      self._files.mv(partial, path)
    except OSError as error:
      raise self._explain(name, error) from error

  def get(self, name: str) -> bytes | None:
    """Bytes by name; None if there are none.

    Raises:
      DatabaseError: the place cannot be read.
    """
    try:
      return self._files.cat_file(self._path(name))
    except FileNotFoundError:
      return None
    except OSError as error:
      raise self._explain(name, error) from error

  def list(self, kind: str) -> list[str]:
    """Names of all objects that begin with KIND/."""
    try:
      paths = self._files.find(f"{self._root}/{kind}")
    except FileNotFoundError:
      return []
    except OSError as error:
      raise self._explain(kind, error) from error
    return [f"{kind}/{path.rsplit('/', 1)[1]}" for path in paths]

  def remove(self, name: str) -> None:
    """Deletes bytes that are there."""
    try:
      self._files.rm_file(self._path(name))
    except FileNotFoundError:
      pass
    except OSError as error:
      raise self._explain(name, error) from error

  def _path(self, name: str) -> str:
    kind, key = name.split("/", 1)
    return f"{self._root}/{kind}/{key[:2]}/{key}"  # no folder of millions

  def _explain(self, name: str, error: OSError) -> DatabaseError:
    reason = error.strerror or str(error).splitlines()[0]
    return DatabaseError(
      f"{self.url} cannot be used for {name} ({reason}): give the same command"
      " again when it can."
    )


@functools.lru_cache(maxsize=8)
def find_store(url: str) -> ObjectStore:
  """The store of an address."""
  return ObjectStore(url)


def _list_protocols(files: Any) -> tuple[str, ...]:
  found = files.protocol
  return (found,) if isinstance(found, str) else tuple(found)
