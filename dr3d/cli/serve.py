"""`dr3d serve`: serve a database over HTTP, with a search page."""

import contextlib
import ipaddress
import os
import pathlib
import signal
import socket
from typing import TYPE_CHECKING

from dr3d.cli import argument, config_file, engine_flag
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError
from dr3d.error import Dr3dError

if TYPE_CHECKING:
  from dr3d.server.backup_job import BackupPlan
  from dr3d.server.settings import ServerConfig, UserHeaders
  from dr3d.server.token import Role

TOKEN = "DR3D_TOKEN"
"""Environment variable of the token."""

_MIN_TOKEN_LENGTH = 16  # characters; too many to guess
_OPEN_FILES = 4096  # more than four for each connection


def run(flags: FlagValues, files: list[str]) -> int:
  """Serves until a signal; then finishes running requests and returns."""
  del files
  config_file.fill_flags(flags, SUBCOMMAND.flags, subcommand="serve")
  if flags.db is None:
    raise UsageError("serve: --db=DIR is missing; see dr3d serve --help.")
  own_token = read_token(flags.token_file)
  os.environ.pop(TOKEN, None)  # no child process shall inherit it
  public_read = may_read_freely(flags, own_token)
  engine_flag.check("serve", flags)
  argument.check_database(flags.db)
  listener = listen(flags.host, flags.port, is_shared=flags.share_port)
  _allow_connections()
  import uvicorn

  from dr3d.server import logs
  from dr3d.server.app import make_app
  from dr3d.server.connection import make_config
  from dr3d.server.service import Service

  logs.set_logs(flags.log_format)
  config = make_settings(flags, own_token, public_read=public_read)
  service = Service(pathlib.Path(flags.db), config)
  server = uvicorn.Server(
    make_config(make_app(service), config, service.metrics)
  )
  host, port = listener.getsockname()[:2]
  address = f"[{host}]" if ":" in host else host
  changes = "changes need a token"
  if not service.tokens.allows("write") and not flags.user_header:
    changes = "nothing can be changed"
  reading = "" if public_read else "; reading needs a token"
  print(
    f"{flags.db} is served at http://{address}:{port}; {changes}{reading}.",
    flush=True,
  )
  # uvicorn raises the signal again for the former handler, which would end the
  # process with an error.
  signal.signal(signal.SIGTERM, lambda number, frame: None)
  with contextlib.suppress(KeyboardInterrupt):
    server.run(sockets=[listener])
  return 0


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


def may_read_freely(flags: FlagValues, own_token: str | None) -> bool:
  """Whether anyone who reaches the service may search without a token.

  That is so on this machine, unless a proxy serves others from there.

  Raises:
    UsageError: other machines are served, nobody has a token, and
      --public-read is not given; or a proxy is not an address.
  """
  from dr3d.server.limiter import parse_networks
  from dr3d.server.token import TokenStore

  proxies = flags.trusted_proxy or ()
  try:
    parse_networks(proxies)
  except ValueError as error:
    raise UsageError(
      f"serve: --trusted-proxy: {error}; give addresses or networks such as"
      " 10.0.0.0/8."
    ) from error
  tokens = TokenStore(pathlib.Path(flags.db), own=own_token)
  return check_address(
    flags.host,
    is_proxied=bool(proxies),
    has_token=tokens.allows("read") or flags.user_header is not None,
    public_read=flags.public_read,
  )


def _allow_connections() -> None:
  """Raises the limit of open files, which each connection counts as."""
  try:
    import resource
  except ImportError:  # Windows
    return
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  wanted = (
    _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
  )
  if soft != resource.RLIM_INFINITY and soft < wanted:
    with contextlib.suppress(OSError, ValueError):
      resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def read_token(path: str | None) -> str | None:
  """Reads the token that allows all, from a file or the environment.

  Raises:
    Dr3dError: the file cannot be read, or the token is too short.
  """
  if path is not None:
    try:
      token = pathlib.Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
      reason = getattr(error, "strerror", None) or "it is not text"
      raise Dr3dError(f"{path} cannot be read ({reason}).") from error
  else:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
      return None
  if (
    len(token) < _MIN_TOKEN_LENGTH
    or not token.isascii()
    or not token.isprintable()
  ):
    raise Dr3dError(
      f"the token must have at least {_MIN_TOKEN_LENGTH} ASCII characters;"
      " dr3d token add makes better ones."
    )
  return token


def check_address(
  host: str, *, is_proxied: bool, has_token: bool, public_read: bool
) -> bool:
  """Prevents that other machines are served by mistake.

  Args:
    host: to listen on.
    is_proxied: whether a proxy hands on the requests of other machines.
    has_token: whether anyone has a token.
    public_read: whether the operator lets anyone read.

  Returns:
    Whether reading needs no token.

  Raises:
    UsageError: other machines reach the address, and there is neither a token
      nor --public-read.
  """
  try:
    is_local = ipaddress.ip_address(host).is_loopback
  except ValueError:
    is_local = host == "localhost"
  if is_local and not is_proxied:
    return True
  if not has_token and not public_read:
    raise UsageError(
      f"serve: other machines reach {host}; make tokens with dr3d token add, or"
      " give --public-read to let anyone search and download; see dr3d serve"
      " --help."
    )
  return public_read


def listen(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
  """Opens a listening socket.

  Args:
    host: to listen on.
    port: 0 for any free one.
    is_shared: whether other processes may listen on the same port. The kernel
      then gives each connection to one of them (SO_REUSEPORT of Linux).

  Raises:
    Dr3dError: the address or port is not available.
  """
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  listener = socket.socket(family, socket.SOCK_STREAM)
  try:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
      listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(1024)
  except (OSError, OverflowError) as error:
    listener.close()
    reason = getattr(error, "strerror", None) or error
    raise Dr3dError(
      f"cannot listen on {host}:{port} ({reason}); choose another --port or"
      " --host."
    ) from error
  return listener


SUBCOMMAND = Subcommand(
  name="serve",
  summary="Serve a database over HTTP, with a search page.",
  details="""
    Open the printed address in a browser, or send queries by dr3d query
    --server, dr3d.Client or any HTTP client. /api/openapi.json describes the
    API, /api/ready tells whether queries are answered, and /metrics has
    measurements for Prometheus.

    On this machine anyone can search. On other addresses, and behind a proxy,
    that needs a token of the role read, unless --public-read is given. Changes
    need the role write. dr3d token makes tokens; one more that allows all can
    stand in --token-file or the environment variable DR3D_TOKEN.

    Uploads are read in processes without network, with limits of time and
    memory, that see no other file, and are not kept. dr3d/server/OPERATIONS.md
    describes limits, logs, metrics and proxies.

    --config reads flags from a file. experiments/deploy in the sources has a
    container image, a compose file and a systemd unit.

    Ctrl-C or SIGTERM stops the service after the running requests.
  """,
  example="""
    dr3d serve --db=parts.db
    dr3d serve --db=parts.db --host=0.0.0.0 --token-file=token
    dr3d serve --config=dr3d.toml
  """,
  flags=(
    Flag("db", "Folder of the database. Required.", "DIR"),
    engine_flag.FLAG,
    config_file.CONFIG,
    Flag("host", "Address to listen on.", "HOST", "127.0.0.1"),
    Flag(
      "port",
      "Port to listen on; 0 for any free one.",
      "N",
      8000,
      "integer",
      minimum=0,
      maximum=65535,
    ),
    Flag(
      "share-port",
      "Let several services listen on this port; the kernel spreads connections"
      " over them (Linux).",
      kind="switch",
    ),
    Flag(
      "log-format",
      "How log lines are written.",
      "FORMAT",
      "text",
      choices=("text", "json"),
    ),
    Flag("token-file", "File with a token that allows all.", "FILE"),
    Flag(
      "public-read",
      "Let anyone who reaches the address search and download without a token.",
      kind="switch",
    ),
    Flag(
      "trusted-proxy",
      "Addresses or networks of reverse proxies, whose X-Forwarded-For tells"
      " the client.",
      "CIDR,...",
      kind="names",
    ),
    Flag(
      "user-header",
      "Header in which a trusted proxy names the user, who may then search. The"
      " proxy must remove it from what clients send.",
      "NAME",
    ),
    Flag(
      "groups-header",
      "Header in which a trusted proxy names the user's groups, separated by"
      " commas.",
      "NAME",
    ),
    Flag(
      "write-groups",
      "Groups whose members have the role write.",
      "NAME,...",
      kind="names",
    ),
    Flag(
      "admin-groups",
      "Groups whose members have the role admin.",
      "NAME,...",
      kind="names",
    ),
    Flag(
      "connections",
      "Largest number of connections from one address that is not a proxy.",
      "N",
      64,
      "integer",
      minimum=1,
    ),
    Flag(
      "allow-host",
      "Host names to accept besides this machine's, such as that of a reverse"
      " proxy.",
      "NAME,...",
      kind="names",
    ),
    Flag("upload", "Largest upload, MiB.", "N", 64, "integer", minimum=1),
    Flag(
      "faces",
      "Largest number of faces of an upload.",
      "N",
      2_000_000,
      "integer",
      minimum=4,
    ),
    Flag(
      "timeout",
      "Time limit for reading an upload, seconds.",
      "S",
      30,
      "number",
      minimum=1,
    ),
    Flag(
      "memory",
      "Memory limit for reading an upload, MiB.",
      "N",
      2048,
      "integer",
      minimum=256,
    ),
    Flag(
      "jobs",
      "Number of processes that read uploads; one address leaves one of them to"
      " others. Default: one for each core, at least 2.",
      "N",
      kind="integer",
      minimum=1,
    ),
    Flag(
      "queue",
      "Largest number of queries that run or wait; further ones are rejected"
      " and can be repeated.",
      "N",
      32,
      "integer",
      minimum=1,
    ),
    Flag(
      "rate",
      "Largest mean number of queries per second from one address; 0 for no"
      " limit.",
      "N",
      20,
      "number",
      minimum=0,
    ),
    Flag(
      "scan",
      "MiB of the database to read in a second, once a day, in search of"
      " damage; 0 for none.",
      "MIB",
      1,
      "number",
      minimum=0,
    ),
    Flag("backups", "Folder for backups that this service makes.", "DIR"),
    Flag(
      "backup-hours",
      "Hours from one backup to the next; 0 for those that POST /api/backups"
      " asks for alone.",
      "H",
      0,
      "number",
      minimum=0,
    ),
    Flag(
      "backups-kept",
      "Number of backups to keep; older ones are deleted.",
      "N",
      7,
      "integer",
      minimum=1,
    ),
  ),
  run=run,
)
