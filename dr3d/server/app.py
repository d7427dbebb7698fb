"""The service over HTTP: routes, guards and the page."""

import asyncio
import contextlib
import pathlib
import sqlite3

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import dr3d
from dr3d.error import Dr3dError
from dr3d.server import metric
from dr3d.server.admission import Admission
from dr3d.server.context import RequestContext
from dr3d.server.http_error import (
  PROBLEM,
  disk_full,
  encode_problem,
  is_disk_full,
  to_http_error,
)
from dr3d.server.route import (
  admin,
  blend,
  change,
  embedding_map,
  model,
  network,
  picture,
  query,
  status,
)
from dr3d.server.security import Guard
from dr3d.server.service import Service

PAGE = pathlib.Path(__file__).with_name("page")
# `query` and `blend` before `model`: "/models/{model:path}" matches "…/similar"
# and "…/blend.glb" too.
_ROUTES = (
  status,
  query,
  network,
  picture,
  embedding_map,
  blend,
  model,
  change,
  admin,
)


def make_app(service: Service) -> FastAPI:
  """Makes the application (ASGI) of a service.

  Args:
    service: started and closed with the application.
  """
  context = RequestContext(service)

  @contextlib.asynccontextmanager
  async def run(app: FastAPI):
    del app
    metric.count_compilations()
    service.start()
    yield
    await asyncio.to_thread(context.close)
    await asyncio.to_thread(service.close)

  app = FastAPI(
    title="dr3d",
    version=dr3d.__version__,
    summary="Find a 3D model in a database from whatever you have of it.",
    openapi_url="/api/openapi.json",
    docs_url=None,  # that page loads scripts from another host
    redoc_url=None,
    lifespan=run,
  )
  app.add_exception_handler(Dr3dError, _respond_error)
  app.add_exception_handler(RequestValidationError, _respond_invalid)
  app.add_exception_handler(HTTPException, _respond_http)
  for kind in (OSError, sqlite3.Error):
    app.add_exception_handler(kind, _respond_full)
  app.add_exception_handler(Exception, _respond_defect)
  for module in _ROUTES:
    app.include_router(module.make_router(context))
  app.include_router(change.make_column_router(context))

  @app.get("/", include_in_schema=False)
  def page() -> Response:
    return FileResponse(PAGE / "index.html")

  app.mount("/static", StaticFiles(directory=PAGE), name="static")
  app.add_middleware(
    Admission,
    config=service.config,
    tokens=service.tokens,
    audit=service.audit,
    metrics=service.metrics,
  )
  app.add_middleware(
    Guard, hosts=service.config.hosts, page=PAGE / "index.html"
  )
  app.add_middleware(metric.RequestLogger, metrics=service.metrics)
  return app


async def _respond_error(request: Request, error: Exception) -> Response:
  assert isinstance(error, Dr3dError)
  rejection = to_http_error(error)
  return _fail(str(rejection), rejection.status, rejection.headers)


async def _respond_full(request: Request, error: Exception) -> Response:
  if not is_disk_full(error):
    raise error
  return await _respond_error(request, disk_full())


async def _respond_invalid(request: Request, error: Exception) -> Response:
  assert isinstance(error, RequestValidationError)
  first = error.errors()[0]
  where = ".".join(map(str, first["loc"][1:])) or "the request"
  return _fail(f"{where}: {first['msg']}.", 422)


async def _respond_http(request: Request, error: Exception) -> Response:
  assert isinstance(error, HTTPException)
  return _fail(f"{error.detail}.", error.status_code, dict(error.headers or {}))


async def _respond_defect(request: Request, error: Exception) -> Response:
  return _fail(f"this is a defect of dr3d ({type(error).__name__}).", 500)


def _fail(
  message: str, status: int, headers: dict[str, str] | None = None
) -> Response:
  return Response(
    encode_problem(status, message), status, headers, media_type=PROBLEM
  )
