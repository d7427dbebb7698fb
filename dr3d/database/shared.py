"""Databases of several machines, and the folder that each machine keeps of one.

    postgresql://HOST/NAME    rows, vectors, files and pipeline: the one truth
    CACHE/shared/KEY/         what this machine has copied or derived from it

Such a folder is used as that of any other database. A file in it names the
server. It is believed only in the user's own cache: a folder from elsewhere
must not make a process connect to a server.
"""

import hashlib
import os
import pathlib
import re

from dr3d.runtime.atomic import atomic_file
from dr3d.runtime.cache import cache_directory

_FILE = "server.uri"
_SCHEMES = ("postgresql://", "postgres://")
_PASSWORD = re.compile(r"(://[^:/@]*):[^@/]*@")


def is_uri(location: str | os.PathLike[str]) -> bool:
  """Whether a location names a server and not a folder."""
  return isinstance(location, str) and location.startswith(_SCHEMES)


def find_directory(location: str | os.PathLike[str]) -> pathlib.Path:
  """Returns the folder of a database.

  Args:
    location: a folder, or the URI of a PostgreSQL database, for which this
      machine's folder is made.
  """
  if not is_uri(location):
    return pathlib.Path(location)
  uri = str(location)
  key = hashlib.sha256(uri.encode()).hexdigest()[:16]
  directory = _home() / key
  if not (directory / _FILE).exists():
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with atomic_file(directory / _FILE) as partial:
      partial.touch(mode=0o600)  # the URI may hold a password
      partial.write_text(uri, encoding="utf-8")
  return directory


def find_uri(directory: pathlib.Path) -> str | None:
  """The server of a database; None if all of it is in its folder."""
  path = directory / _FILE
  if not path.exists() or path.parent.absolute().parent != _home().absolute():
    return None
  return path.read_text(encoding="utf-8")


def describe(directory: pathlib.Path) -> str:
  """How messages name a database: its folder, or its URI without password."""
  uri = find_uri(directory)
  return str(directory) if uri is None else hide_password(uri)


def hide_password(uri: str) -> str:
  """A URI as it may be printed."""
  return _PASSWORD.sub(r"\1@", uri.split("?")[0])


def _home() -> pathlib.Path:
  return cache_directory() / "shared"
