"""`dr3d serve`: a database over HTTP, with a page to search it."""

import contextlib
import ipaddress
import os
import pathlib
import signal
import socket
from typing import Any

from dr3d.cli.subcommand import Flag, Subcommand, UsageError
from dr3d.error import Dr3dError

TOKEN = "DR3D_TOKEN"

_SHORTEST = 16  # characters of a token
_CONNECTIONS = 1000  # beyond them status 503
_PENDING = 60  # seconds that requests in flight have to end


def run(flags: Any, files: list[str]) -> int:
  """Serves until it is told to end; then requests in flight are finished."""
  del files
  token = read_token(flags.token_file)
  check_address(flags.host, token=token, public=flags.public)
  import uvicorn

  from dr3d.runtime.pool import Limits
  from dr3d.server.app import make_app
  from dr3d.server.service import Service
  from dr3d.server.settings import ServerConfig

  listener = listen(flags.host, flags.port)
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
      limit_concurrency=_CONNECTIONS,
      timeout_graceful_shutdown=_PENDING,
    )
  )
  host, port = listener.getsockname()[:2]
  place = f"[{host}]" if ":" in host else host
  print(
    f"{flags.db} is served at http://{place}:{port}; "
    f"{'changes need the token' if token else 'nothing can be changed'}.",
    flush=True,
  )
  # uvicorn gives the signal that ended it to whoever was there before.
  signal.signal(signal.SIGTERM, lambda number, frame: None)
  with contextlib.suppress(KeyboardInterrupt):
    server.run(sockets=[listener])
  return 0


def read_token(path: str | None) -> str | None:
  """The token that allows changes: from a file, or from the environment.

  Raises:
    Dr3dError: the file cannot be read, or the token is easily guessed.
  """
  if path is not None:
    try:
      token = pathlib.Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
      reason = getattr(error, "strerror", None) or "it is no text"
      raise Dr3dError(f"{path} cannot be read ({reason}).") from error
  else:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
      return None
  if len(token) < _SHORTEST or not token.isascii() or not token.isprintable():
    raise Dr3dError(
      f"the token must have at least {_SHORTEST} plain characters: make one "
      "with python3 -c 'import secrets; print(secrets.token_urlsafe())'."
    )
  return token


def check_address(host: str, *, token: str | None, public: bool) -> None:
  """Refuses to serve other machines by mistake.

  Raises:
    UsageError: the address is reached by others, and neither a token nor
      --public says that this is meant.
  """
  try:
    inside = ipaddress.ip_address(host).is_loopback
  except ValueError:
    inside = host == "localhost"
  if not inside and token is None and not public:
    raise UsageError(
      f"serve: other machines reach {host}: give a token (--token-file or "
      f"{TOKEN}), or --public if anyone may search and nobody change."
    )


def listen(host: str, port: int) -> socket.socket:
  """Takes a port.

  Raises:
    Dr3dError: it cannot be had.
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
      f"{host}:{port} cannot be listened at ({reason}): choose another --port "
      "or --host."
    ) from error
  return listener


SUBCOMMAND = Subcommand(
  name="serve",
  summary="Serve a database over HTTP, with a page to search it.",
  details="""
    Open the printed address in a browser, or ask by dr3d query --server,
    dr3d.Client or any program: /api/openapi.json describes the calls,
    /api/ready tells when queries are answered, /metrics is for Prometheus.

    Whoever reaches the address may search. Models are added, labelled and
    removed with a token only, from --token-file or the environment's
    DR3D_TOKEN; without one nothing can be changed. Uploads are read in
    processes of bounded time and memory and are not kept.

    Ctrl-C or SIGTERM ends the service when the requests in flight are done.
  """,
  example="""
    dr3d serve --db=parts.db
    dr3d serve --db=parts.db --host=0.0.0.0 --token-file=token
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("host", "Address to listen at.", "HOST", "127.0.0.1"),
    Flag("port", "Port; 0 for any that is free.", "N", 8000, "integer", 0),
    Flag("token-file", "File with the token that allows changes.", "FILE"),
    Flag(
      "public",
      "Serve other machines without a token: anyone may search.",
      kind="switch",
    ),
    Flag(
      "allow-host",
      "Names besides this machine's own that requests may call it by, such as"
      " that of a proxy before it.",
      "NAME,...",
      kind="names",
    ),
    Flag("upload", "MiB of an upload.", "N", 64, "integer", 1),
    Flag("faces", "Faces of an upload.", "N", 2_000_000, "integer", 4),
    Flag("timeout", "Seconds to read an upload.", "S", 30, "number", 1),
    Flag("memory", "MiB to read an upload.", "N", 2048, "integer", 256),
    Flag(
      "jobs",
      "Processes that read uploads. Default: one for each core.",
      "N",
      kind="integer",
      least=1,
    ),
    Flag(
      "queue",
      "Queries at work or waiting; others are told to come again.",
      "N",
      32,
      "integer",
      1,
    ),
    Flag(
      "rate",
      "Queries a second of one address, over some time; 0 for any number.",
      "N",
      20,
      "number",
      0,
    ),
  ),
  run=run,
)
