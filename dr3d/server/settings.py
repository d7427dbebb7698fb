"""Limits of a service, and who may call it."""

import dataclasses
import os
from collections.abc import Mapping

from dr3d.runtime.pool import Limits
from dr3d.server.backup_job import BackupPlan
from dr3d.server.token import Role

# A hostile file holds a reader for all of its time limit. One address gets one
# reader less than there are, so that at least one is left for others.
_MIN_READERS = 2


@dataclasses.dataclass(frozen=True)
class UserHeaders:
  """Headers in which a trusted proxy names the user of a request.

  Attributes:
    user: its value is the name; who has one may read.
    groups: its value is the user's groups, separated by commas; None for none.
    roles: groups whose members have a role.
  """

  user: str
  groups: str | None = None
  roles: Mapping[Role, frozenset[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ServerConfig:
  """Limits of a service.

  Attributes:
    token: allows all calls, besides the tokens of `dr3d token`; None for none.
    public_read: whether anyone who reaches the service may search; if not,
      that needs a token.
    hosts: names that requests may use for the service, besides IP addresses,
      "localhost" and the name of this machine.
    proxies: addresses and networks of reverse proxies, whose header
      X-Forwarded-For is believed.
    users: how these proxies name users; None if they do not.
    byte_limit: size of an upload.
    face_limit: faces of an upload.
    reading: time and memory of a process that reads an upload.
    readers: number of those processes.
    queue: queries that may be read, embedded or waiting at once. Twice as many
      uploads may be arriving. One address may have three quarters of each.
    rate: requests a second from one address, averaged, that cost work; 0 for
      no limit. Listings may come twice as often, pictures ten times.
    burst: requests from one address at once.
    timeout: seconds that a request may wait for its turn or send its body.
    stall: seconds without a byte after which a body is given up, and seconds
      for the headers of a request.
    connections: open at once.
    address_connections: of them from one address that is not a proxy.
    scan_rate: bytes of the database that are read in a second in search of
      damage; 0 for none.
    backups: where backups go and how often; None for no backups.
    engine: that holds the index; see `index.engine.build_index`.
  """

  token: str | None = None
  public_read: bool = True
  hosts: tuple[str, ...] = ()
  proxies: tuple[str, ...] = ()
  users: UserHeaders | None = None
  byte_limit: int = 64 << 20
  face_limit: int = 2_000_000
  reading: Limits = dataclasses.field(
    default_factory=lambda: Limits(
      seconds=30.0, memory=2 << 30, answer=256 << 20
    )
  )
  readers: int = dataclasses.field(
    default_factory=lambda: max(_MIN_READERS, os.cpu_count() or 1)
  )
  queue: int = 32
  rate: float = 20.0
  burst: int = 60
  timeout: float = 60.0
  stall: float = 10.0
  connections: int = 900
  address_connections: int = 64
  scan_rate: float = float(1 << 20)
  backups: BackupPlan | None = None
  engine: str = "auto"
