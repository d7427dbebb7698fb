"""A PostgreSQL server on a free port, in a folder of its own, that can end."""

import contextlib
import getpass
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from experiments import free_port

_VERSIONS = pathlib.Path("/usr/lib/postgresql")  # of Debian's packages
_SECONDS = 60  # until a start counts as failed


def find_programs() -> pathlib.Path | None:
  """The folder of PostgreSQL's programs; None if it is not installed."""
  found = shutil.which("postgres")
  if found:
    return pathlib.Path(found).resolve().parent
  return next(
    (p.parent for p in sorted(_VERSIONS.glob("*/bin/postgres"))), None
  )


class Server:
  """A server, which runs as another user if the tests run as root.

  PostgreSQL does not start as root.
  """

  def __init__(self, folder: pathlib.Path, programs: pathlib.Path):
    self.folder, self._programs = folder, programs
    self._process: Any = None
    self._names = itertools.count()
    self._options: dict[str, Any] = {}
    if os.getuid() == 0:
      entry = pwd.getpwnam(_find_user())
      self._options = {
        "user": entry.pw_uid,
        "group": entry.pw_gid,
        "extra_groups": (),
      }
      os.chown(folder, entry.pw_uid, entry.pw_gid)
    self.port = free_port.find()
    subprocess.run(
      [
        *(programs / "initdb", "-D", folder / "data", "-U", "dr3d"),
        *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
      ],
      check=True,
      capture_output=True,
      cwd="/",
      **self._options,
    )

  def start(self) -> None:
    """Starts the server, and returns when it answers."""
    self._process = subprocess.Popen(
      [
        *(self._programs / "postgres", "-D", self.folder / "data"),
        *("-h", "127.0.0.1", "-p", str(self.port), "-k", self.folder),
      ],
      stdout=subprocess.DEVNULL,
      stderr=(self.folder / "log").open("a"),
      cwd="/",
      **self._options,
    )
    import psycopg

    end = time.monotonic() + _SECONDS
    while True:
      try:
        psycopg.connect(self.uri("postgres")).close()
        return
      except psycopg.OperationalError:
        log = (self.folder / "log").read_text()
        assert self._process.poll() is None, log
        assert time.monotonic() < end, log
        time.sleep(0.05)

  def stop(self) -> None:
    """Ends the server and its sessions, as an operator does."""
    self._process.send_signal(signal.SIGINT)
    self._process.wait()

  def kill(self) -> None:
    """Ends all its processes at once, so that it must recover."""
    for child in self._list_children():
      with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    self._process.kill()
    self._process.wait()
    (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

  def _list_children(self) -> list[int]:
    path = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
    return [int(child) for child in pathlib.Path(path).read_text().split()]

  def uri(self, name: str) -> str:
    """The URI of a database."""
    return f"postgresql://dr3d@127.0.0.1:{self.port}/{name}"

  def create(self) -> str:
    """Makes an empty database; returns its URI."""
    import psycopg

    name = f"parts{next(self._names)}"
    with psycopg.connect(self.uri("postgres"), autocommit=True) as connection:
      connection.execute(f"CREATE DATABASE {name}".encode())
    return self.uri(name)


@contextlib.contextmanager
def running() -> Iterator[Server]:
  """Yields a server that runs."""
  # Not below a folder that only the user of the tests may enter.
  folder = pathlib.Path(tempfile.mkdtemp(prefix="dr3d-postgres-", dir="/tmp"))
  programs = find_programs()
  assert programs is not None, "PostgreSQL is not installed"
  server = Server(folder, programs)
  try:
    server.start()
    yield server
  finally:
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _find_user() -> str:
  names = {entry.pw_name for entry in pwd.getpwall()}
  name = next(n for n in ("postgres", "nobody") if n in names)
  assert name != getpass.getuser()
  return name
