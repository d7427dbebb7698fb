"""The right to write a database.

In a folder one process has it at a time. On a server several have, unless one
must be alone.
"""

import contextlib
import pathlib
from collections.abc import Iterator

from dr3d.database import postgres, shared, sqlite_file


@contextlib.contextmanager
def writer_lock(
  directory: pathlib.Path, *, alone: bool = True, seconds: float | None = None
) -> Iterator[None]:
  """Gives the right to write until the block ends.

  A second writer of a folder is told so at once. Those of a server wait,
  because several services that share a database write often and briefly.

  Args:
    directory: of the database.
    alone: whether other writers of a server are kept out, too.
    seconds: that it waits for writers of a server; None for a minute.

  Raises:
    LockError: another process writes.
    DatabaseError: the database cannot be written.
  """
  uri = shared.find_uri(directory)
  lock = (
    sqlite_file.writer_lock(directory)
    if uri is None
    else postgres.writer_lock(directory, uri, alone=alone, seconds=seconds)
  )
  with lock:
    yield
