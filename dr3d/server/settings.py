"""Limits of a service, and the token that allows changes."""

import dataclasses
import os

from dr3d.runtime.pool import Limits


@dataclasses.dataclass(frozen=True)
class ServerConfig:
  """Limits of a service.

  Attributes:
    token: allows changes; None if nobody may change anything.
    hosts: names that requests may use for the service, besides IP addresses,
      "localhost" and the name of this machine.
    byte_limit: size of an upload.
    face_limit: faces of an upload.
    reading: time and memory of a process that reads an upload.
    readers: number of those processes.
    queue: queries that may be read, embedded or waiting at once.
    rate: requests a second from one address, averaged; 0 for no limit. Only
      requests that cost work count.
    burst: requests from one address at once.
    timeout: seconds that a request may wait for its turn or send its body.
  """

  token: str | None = None
  hosts: tuple[str, ...] = ()
  byte_limit: int = 64 << 20
  face_limit: int = 2_000_000
  reading: Limits = dataclasses.field(
    default_factory=lambda: Limits(seconds=30.0, memory=2 << 30)
  )
  readers: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
  queue: int = 32
  rate: float = 20.0
  burst: int = 60
  timeout: float = 60.0
