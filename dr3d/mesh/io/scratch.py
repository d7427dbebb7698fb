"""Files for libraries that read and write by name only."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def scratch_file(data: bytes = b"") -> Iterator[pathlib.Path]:
  """Makes bytes a file for a while, under a name that any C++ opens.

  On Linux the file is in memory, since a process that reads untrusted files may
  not write to the disk; see `dr3d.runtime.sandbox`.

  Args:
    data: what is in the file.

  Yields:
    Its path.
  """
  if hasattr(os, "memfd_create"):
    with open(os.memfd_create("dr3d"), "wb") as file:
      file.write(data)
      file.flush()
      yield pathlib.Path(f"/proc/self/fd/{file.fileno()}")
    return
  with tempfile.TemporaryDirectory(prefix="dr3d-") as folder:
    path = pathlib.Path(folder) / "part"
    path.write_bytes(data)
    yield path
