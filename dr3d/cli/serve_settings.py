"""Flags of `dr3d serve` as settings of the service."""

import pathlib
from typing import TYPE_CHECKING

from dr3d.cli.subcommand import FlagValues, UsageError

if TYPE_CHECKING:
  from dr3d.server.backup_job import BackupPlan
  from dr3d.server.settings import ServerConfig, UserHeaders
  from dr3d.server.token import Role


def make_settings(
  flags: FlagValues, own_token: str | None, *, public_read: bool
) -> "ServerConfig":
  """Returns the limits that the flags describe."""
  from dr3d.runtime.pool import Limits
  from dr3d.server.settings import ServerConfig

  default = ServerConfig()
  return ServerConfig(
    token=own_token,
    public_read=public_read,
    hosts=(flags.host, *(flags.allow_host or ())),
    proxies=flags.trusted_proxy or (),
    users=make_user_headers(flags),
    byte_limit=flags.upload << 20,
    face_limit=flags.faces,
    reading=Limits(
      seconds=flags.timeout,
      memory=flags.memory << 20,
      answer=default.reading.answer,
    ),
    readers=flags.jobs or default.readers,
    queue=flags.queue,
    rate=flags.rate,
    burst=max(1, round(3 * flags.rate)),
    address_connections=flags.connections,
    scan_rate=flags.scan * (1 << 20),
    backups=make_backup_plan(flags),
    engine=flags.engine,
  )


def make_backup_plan(flags: FlagValues) -> "BackupPlan | None":
  """Returns where backups go and how often; None if no folder is given.

  Raises:
    UsageError: a schedule without a folder.
  """
  from dr3d.server.backup_job import BackupPlan

  if flags.backups is None:
    if flags.backup_hours:
      raise UsageError("serve: --backup-hours needs --backups=DIR.")
    return None
  return BackupPlan(
    pathlib.Path(flags.backups), flags.backup_hours, flags.backups_kept
  )


def make_user_headers(flags: FlagValues) -> "UserHeaders | None":
  """Returns how a proxy names users, if it does.

  Raises:
    UsageError: flags that need one another are not given together.
  """
  from dr3d.server.settings import UserHeaders

  groups: dict[Role, frozenset[str]] = {
    "write": frozenset(flags.write_groups or ()),
    "admin": frozenset(flags.admin_groups or ()),
  }
  if flags.user_header is None:
    if flags.groups_header or any(groups.values()):
      raise UsageError(
        "serve: --groups-header, --write-groups and --admin-groups need"
        " --user-header; see dr3d serve --help."
      )
    return None
  if not flags.trusted_proxy:
    raise UsageError(
      "serve: --user-header needs --trusted-proxy, because anybody else could"
      " send that header; see dr3d serve --help."
    )
  if any(groups.values()) and flags.groups_header is None:
    raise UsageError(
      "serve: --write-groups and --admin-groups need --groups-header; see dr3d"
      " serve --help."
    )
  return UserHeaders(flags.user_header, flags.groups_header, groups)
