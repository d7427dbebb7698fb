"""What a service may take, and who may write."""

import dataclasses
import os

from dr3d.runtime.pool import Limits


@dataclasses.dataclass(frozen=True)
class ServerConfig:
  """Limits of a service.

  Attributes:
    token: that allows to write; None: nobody may.
    hosts: names that requests may call the service by, besides its addresses
      and this machine's own name.
    byte_limit: of an upload.
    face_limit: of an upload.
    reading: time and memory of a process that reads an upload.
    readers: processes that read.
    queue: queries that are read, embedded or wait, at most.
    rate: requests a second of one address that cost work, over some time; 0
      for any number.
    burst: such requests of one address that may come at once.
    patience: seconds that a request may wait for its turn, or send its body.
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
  patience: float = 60.0
