"""A port for a server that ends and starts again at the same address."""

import pathlib
import random
import socket

_RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000  # above the ports of well-known servers


def find() -> int:
  """A TCP port of this machine at which nothing listens.

  The kernel gives no connection a local port of this range. A port that the
  kernel chooses can belong to another connection when the server starts again.
  """
  highest = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
  generator = random.SystemRandom()  # processes must not agree
  while True:
    port = generator.randrange(_LOWEST, max(highest, _LOWEST + 1000))
    with socket.socket() as free:
      try:
        free.bind(("127.0.0.1", port))
      except OSError:
        continue
    return port
