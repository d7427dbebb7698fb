"""`dr3d serve`: a database over HTTP, with a page to search it."""

import pathlib
import sys
from typing import Any

from dr3d.cli.verb import Flag, Verb
from dr3d.error import Dr3dError


def run(flags: Any, files: list[str]) -> int:
  """Serves until it is told to end."""
  del files
  import uvicorn

  from dr3d.server.app import make_app
  from dr3d.server.config import ServerConfig
  from dr3d.server.service import Service

  service = Service(pathlib.Path(flags.db), ServerConfig())
  app = make_app(service)
  server = uvicorn.Server(
    uvicorn.Config(
      app,
      flags.host,
      flags.port,
      log_level="warning",
      access_log=False,
      server_header=False,
      proxy_headers=False,
      timeout_graceful_shutdown=60,
    )
  )
  print(f"http://{flags.host}:{flags.port} serves {flags.db}.", file=sys.stderr)
  server.run()
  if not server.started:
    raise Dr3dError("the service could not start.")
  return 0


VERB = Verb(
  name="serve",
  summary="Serve a database over HTTP, with a page to search it.",
  details="""
    Open the address that is printed in a browser.
  """,
  example="""
    dr3d serve --db=parts.db
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("host", "Address to listen at.", "HOST", "127.0.0.1"),
    Flag("port", "Port to listen at.", "N", 8000, "integer", least=0),
  ),
  run=run,
)
