"""The service over HTTP."""

import asyncio
import concurrent.futures
import contextlib
import functools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import dr3d
from dr3d.error import Dr3dError
from dr3d.search.condition import Condition
from dr3d.server import schema
from dr3d.server.refusal import Refusal, refuse
from dr3d.server.service import Ask, Service
from dr3d.server.upload import receive
from dr3d.unit import UNITS

PAGE = pathlib.Path(__file__).with_name("page")


def make_app(service: Service) -> FastAPI:
  """Makes the application of a service.

  Args:
    service: is started and closed with the application.
  """

  @contextlib.asynccontextmanager
  async def live(app: FastAPI):
    with tempfile.TemporaryDirectory(prefix="dr3d-") as directory:
      app.state.directory = pathlib.Path(directory)
      service.start()
      yield
      await asyncio.to_thread(service.close)

  app = FastAPI(
    title="dr3d",
    version=dr3d.__version__,
    summary="Find a 3D model in a database from whatever you have of it.",
    openapi_url="/api/openapi.json",
    docs_url=None,
    redoc_url=None,
    lifespan=live,
  )
  threads = concurrent.futures.ThreadPoolExecutor(service.config.queue)

  async def work(function: Callable, *arguments: Any, **keywords: Any) -> Any:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(
      threads, functools.partial(function, *arguments, **keywords)
    )

  @app.exception_handler(Dr3dError)
  async def fail(request: Request, error: Dr3dError) -> JSONResponse:
    refusal = refuse(error)
    headers = {"Retry-After": str(refusal.wait)} if refusal.wait else {}
    return JSONResponse(
      {"error": str(refusal)}, refusal.status, headers=headers
    )

  @app.exception_handler(RequestValidationError)
  async def explain(request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"][1:])) or "the request"
    return JSONResponse({"error": f"{where}: {first['msg']}."}, 422)

  @app.exception_handler(HTTPException)
  async def tell(request: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse(
      {"error": f"{error.detail}."}, error.status_code, headers=error.headers
    )

  @app.get("/api/health")
  async def health() -> schema.Status:
    return schema.Status(status="ok")

  @app.get("/api/ready")
  async def ready(response: Response) -> schema.Status:
    response.status_code = 200 if service.status == "ready" else 503
    return schema.Status(status=service.status, error=service.error)

  @app.get("/api/info")
  def info() -> schema.Info:
    return service.inspect()

  @app.post("/api/query")
  async def query(
    request: Request, ask: Annotated[Ask, Depends(read_ask)]
  ) -> schema.Answer:
    config = service.config
    async with receive(
      request,
      app.state.directory,
      byte_limit=config.byte_limit,
      patience=config.patience,
    ) as upload:
      return await work(service.query, upload.path, upload.name, ask)

  @app.get("/api/models")
  def models(
    label: Annotated[list[str] | None, Query()] = None,
    where: Annotated[list[str] | None, Query()] = None,
    state: str | None = None,
    text: str = "",
    smallest: float | None = None,
    largest: float | None = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
  ) -> schema.Models:
    wanted = split_pairs(where)
    found = []
    for model in service.state.models.values():
      longest = max(model.extent) if model.extent else 0
      if (
        (not label or model.label in label)
        and (state is None or model.state == state)
        and text.lower() in f"{model.name}\n{model.label}".lower()
        and all(model.metadata.get(key) in wanted[key] for key in wanted)
        and (smallest is None or longest >= smallest)
        and (largest is None or longest <= largest)
      ):
        found.append(model)
    return schema.Models(
      total=len(found),
      models=[schema.make_model(m) for m in found[offset : offset + limit]],
    )

  @app.get("/api/duplicates")
  def duplicates(
    response: Response, weakest: str = "similar"
  ) -> schema.Duplicates:
    search = service.state.search_duplicates(weakest, patience=5)
    if search.error is not None:
      raise search.error
    ready = search.ended.is_set()
    response.status_code = 200 if ready else 202
    return schema.Duplicates(
      ready=ready,
      done=search.done,
      total=search.total,
      groups=[schema.make_group(group) for group in search.groups or ()],
    )

  @app.get("/api/failures")
  def failures() -> schema.Failures:
    return schema.Failures(
      failures=[
        schema.Failure(model=model.name, reason=model.reason)
        for model in service.state.models.values()
        if model.state == "failed"
      ]
    )

  @app.get("/api/models/{model:path}/thumbnail.png")
  def thumbnail(model: str) -> Response:
    shape = service.state.find_shape(model)
    return Response(shape.thumbnail, media_type="image/png")

  @app.get("/api/models/{model:path}/views/{number}.png")
  async def view(model: str, number: int) -> Response:
    views = await work(service.draw_views, model)
    if not 1 <= number <= len(views):
      raise Refusal(404, f"views are numbered from 1 to {len(views)}.")
    return Response(views[number - 1], media_type="image/png")

  @app.get("/api/models/{model:path}/model.glb")
  def glb(model: str) -> Response:
    return Response(service.write_glb(model), media_type="model/gltf-binary")

  @app.get("/api/models/{model:path}/file")
  def file(model: str) -> FileResponse:
    path = service.find_file(model)
    return FileResponse(
      path, media_type="application/octet-stream", filename=path.name
    )

  @app.get("/api/models/{model:path}/similar")
  async def similar(
    model: str, ask: Annotated[Ask, Depends(read_ask)]
  ) -> schema.Answer:
    return await work(service.query_similar, model, ask)

  @app.get("/api/models/{model:path}")
  def show(model: str) -> schema.Model:
    return schema.make_model(service.state.find(model))

  @app.get("/", include_in_schema=False)
  def page() -> FileResponse:
    return FileResponse(PAGE / "index.html")

  app.mount("/static", StaticFiles(directory=PAGE), name="static")
  return app


def read_ask(
  k: Annotated[int, Query(ge=1, le=1000)] = 10,
  label: Annotated[list[str] | None, Query()] = None,
  where: Annotated[list[str] | None, Query()] = None,
  min_score: Annotated[float, Query(ge=-1, le=1)] = -1.0,
  same_size: Annotated[float | None, Query(gt=0, lt=1)] = None,
  compare: Annotated[int, Query(ge=0, le=20)] = 3,
  evidence: bool = False,
  unit: str | None = None,
) -> Ask:
  """What the parameters of a query ask for."""
  if unit is not None and unit not in UNITS:
    raise Refusal(422, f"unit must be among {', '.join(UNITS)}.")
  condition = Condition(
    labels=label or (), where=split_pairs(where), same_size=same_size
  )
  return Ask(k, condition, min_score, compare, evidence, unit)


def split_pairs(pairs: list[str] | None) -> dict[str, tuple[str, ...]]:
  """Reads `key=value` pairs; a key may come several times."""
  found: dict[str, tuple[str, ...]] = {}
  for pair in pairs or ():
    key, sign, value = pair.partition("=")
    key = key.strip().lower()
    if not sign or not key:
      raise Refusal(422, f"where takes key=value, not {pair!r}.")
    found[key] = (*found.get(key, ()), value.strip())
  return found
