"""A Milvus server of its own process: that of milvus-lite, over the network."""

import contextlib
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from experiments import free_port

_SECONDS = 60  # until it answers
_RUN = "from milvus_lite.cmdline import main; main()"


class MilvusServer:
  """A server that can be killed and started again at the same address."""

  def __init__(self, folder: pathlib.Path):
    """Starts it.

    Args:
      folder: of its data; made if missing.
    """
    self.port = free_port.find()
    self.engine = f"milvus:http://127.0.0.1:{self.port}"
    self._folder = folder
    self.start()

  def start(self) -> None:
    """Starts the server, and returns when it listens."""
    self._process = subprocess.Popen(
      [
        *(sys.executable, "-c", _RUN, "server", f"--port={self.port}"),
        *("--host=127.0.0.1", f"--data-dir={self._folder}"),
      ],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + _SECONDS
    while True:
      with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", self.port), 1).close()
        return
      assert self._process.poll() is None, "milvus-lite has ended"
      assert time.monotonic() < end, "milvus-lite does not listen"
      time.sleep(0.05)

  def kill(self) -> None:
    """Kills it by signal 9."""
    self._process.kill()
    self._process.wait()


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[MilvusServer]:
  """Yields a server, and ends it."""
  server = MilvusServer(folder)
  try:
    yield server
  finally:
    server.kill()
