"""`dr3d serve`: serve a database over HTTP, with a search page."""

import contextlib
import os
import signal
import socket

from dr3d.cli import argument, config_file, engine_flag
from dr3d.cli.serve_access import TOKEN, may_read_freely, read_token
from dr3d.cli.serve_flags import FLAGS
from dr3d.cli.serve_settings import make_settings
from dr3d.cli.subcommand import FlagValues, Subcommand, UsageError
from dr3d.database import shared
from dr3d.error import Dr3dError

_OPEN_FILES = 4096  # more than four for each connection


def run(flags: FlagValues, files: list[str]) -> int:
  """Serves until a signal; then finishes running requests and returns."""
  del files
  config_file.fill_flags(flags, SUBCOMMAND.flags, subcommand="serve")
  if flags.db is None:
    raise UsageError("serve: --db=DB is missing; see dr3d serve --help.")
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
  service = Service(shared.find_directory(flags.db), config)
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
    f"{argument.name_database(flags.db)} is served at"
    f" http://{address}:{port}; {changes}{reading}.",
    flush=True,
  )
  # uvicorn raises the signal again for the former handler, which would end the
  # process with an error.
  signal.signal(signal.SIGTERM, lambda number, frame: None)
  with contextlib.suppress(KeyboardInterrupt):
    server.run(sockets=[listener])
  return 0


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
  flags=FLAGS,
  run=run,
)
