"""`dr3d serve`: serve a database over HTTP, with a search page."""

import contextlib
import ipaddress
import os
import pathlib
import signal
import socket

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError
from dr3d.error import Dr3dError

TOKEN = "DR3D_TOKEN"
"""Environment variable of the token."""

_MIN_TOKEN_LENGTH = 16  # characters; too many to guess
_MAX_CONNECTIONS = 1000  # further ones get HTTP status 503
_SHUTDOWN_TIMEOUT = 60  # seconds for running requests to finish


def run(flags: FlagValues, files: list[str]) -> int:
  """Serves until a signal; then finishes running requests and returns."""
  del files
  token = read_token(flags.token_file)
  check_address(flags.host, token=token, public=flags.public)
  argument.check_database(flags.db)
  listener = listen(flags.host, flags.port)
  import uvicorn

  from dr3d.runtime.pool import Limits
  from dr3d.server.app import make_app
  from dr3d.server.service import Service
  from dr3d.server.settings import ServerConfig

  config = ServerConfig(
    token=token,
    hosts=(flags.host, *(flags.allow_host or ())),
    byte_limit=flags.upload << 20,
    face_limit=flags.faces,
    reading=Limits(seconds=flags.timeout, memory=flags.memory << 20),
    readers=flags.jobs or os.cpu_count() or 1,
    queue=flags.queue,
    rate=flags.rate,
    burst=max(1, round(3 * flags.rate)),
  )
  service = Service(pathlib.Path(flags.db), config)
  server = uvicorn.Server(
    uvicorn.Config(
      make_app(service),
      log_config=None,
      access_log=False,
      server_header=False,
      proxy_headers=False,
      ws="none",
      limit_concurrency=_MAX_CONNECTIONS,
      timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
    )
  )
  host, port = listener.getsockname()[:2]
  address = f"[{host}]" if ":" in host else host
  print(
    f"{flags.db} is served at http://{address}:{port}; "
    f"{'changes need the token' if token else 'nothing can be changed'}.",
    flush=True,
  )
  # uvicorn raises the signal again for the former handler, which would end the
  # process with an error.
  signal.signal(signal.SIGTERM, lambda number, frame: None)
  with contextlib.suppress(KeyboardInterrupt):
    server.run(sockets=[listener])
  return 0


def read_token(path: str | None) -> str | None:
  """Reads the token that allows changes, from a file or the environment.

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
      " create one with python3 -c 'import secrets;"
      " print(secrets.token_urlsafe())'."
    )
  return token


def check_address(host: str, *, token: str | None, public: bool) -> None:
  """Prevents that other machines are served by mistake.

  Raises:
    UsageError: other machines reach the address, and there is neither a token
      nor --public.
  """
  try:
    local = ipaddress.ip_address(host).is_loopback
  except ValueError:
    local = host == "localhost"
  if not local and token is None and not public:
    raise UsageError(
      f"serve: other machines reach {host}; give a token (--token-file or"
      f" {TOKEN}), or --public to let anyone search and nobody change; see dr3d"
      " serve --help."
    )


def listen(host: str, port: int) -> socket.socket:
  """Opens a listening socket.

  Raises:
    Dr3dError: the address or port is not available.
  """
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  listener = socket.socket(family, socket.SOCK_STREAM)
  try:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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

    Anyone who reaches the address can search. Adding, labelling and removing
    models needs a token, from --token-file or the environment variable
    DR3D_TOKEN. Without a token, nothing can be changed. Uploads are read in
    processes with limits of time and memory, and are not kept.

    Ctrl-C or SIGTERM stops the service after the running requests.
  """,
  example="""
    dr3d serve --db=parts.db
    dr3d serve --db=parts.db --host=0.0.0.0 --token-file=token
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
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
    Flag("token-file", "File with the token that allows changes.", "FILE"),
    Flag(
      "public",
      "Serve other machines without a token; anyone can search.",
      kind="switch",
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
      "Number of processes that read uploads. Default: one for each core.",
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
  ),
  run=run,
)
