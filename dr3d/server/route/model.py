"""Routes about models: rows, previews, files, duplicates."""

import asyncio
import math
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from dr3d.database import model_search
from dr3d.database.ingest import Failure
from dr3d.database.model_search import Filter, ModelSearch
from dr3d.error import EmptyError
from dr3d.mesh.io.glb import write_glb
from dr3d.mesh.packing import unpack_mesh
from dr3d.registration.relation import Relation
from dr3d.server import photo, schema
from dr3d.server.context import RequestContext
from dr3d.server.http_error import HttpError
from dr3d.server.parameter import (
  Labels,
  ModelPath,
  State,
  Where,
  read_pairs,
)
from dr3d.server.route.status import MAX_VALUES

# A search that ends within 5 s is answered at once.
_POLLS, _POLL_SECONDS = 50, 0.1

Millimetres = Annotated[float | None, Query(ge=0, description="mm")]


def make_router(context: RequestContext) -> APIRouter:
  """Makes the routes of a context."""
  router = APIRouter(prefix="/api", tags=["models"], responses=schema.FAILURES)
  service = context.service
  search = ModelSearch()

  @router.get("/models")
  def models(
    label: Labels = None,
    where: Where = None,
    state: State | None = None,
    text: Annotated[
      str,
      Query(
        max_length=200,
        description="words of name, label and metadata, in any order",
      ),
    ] = "",
    smallest: Millimetres = None,
    largest: Millimetres = None,
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    columns: Annotated[
      bool, Query(description="also count the values of label and metadata")
    ] = False,
  ) -> schema.Models:
    """List models by name, or the best first if a text is given.

    smallest and largest limit the longest side.
    """
    condition = Filter(
      labels=label or (),
      where=read_pairs("where", where),
      state=state,
      smallest=0.0 if smallest is None else smallest,
      largest=math.inf if largest is None else largest,
    )
    candidates = search.find_text(service.state.models, text)
    found = model_search.choose(candidates, condition)
    counted = (
      model_search.count_values(candidates, condition, limit=MAX_VALUES)
      if columns
      else ()
    )
    return schema.Models(
      total=len(found),
      models=[schema.make_model(m) for m in found[offset : offset + limit]],
      columns=[schema.make_column(column) for column in counted],
    )

  @router.get("/duplicates", responses={202: {"model": schema.Duplicates}})
  async def duplicates(
    response: Response, weakest: Relation = "similar"
  ) -> schema.Duplicates:
    """Find models that are one shape; nothing is changed.

    The first call after a change starts a search; status 202 tells its
    progress.
    """
    state = service.check_ready()
    job = service.duplicate_jobs.find(state, weakest)
    for _ in range(_POLLS):
      if not job.ended.is_set():
        await asyncio.sleep(_POLL_SECONDS)
    if job.error is not None and not isinstance(job.error, EmptyError):
      raise job.error
    ended = job.ended.is_set()
    response.status_code = 200 if ended else 202
    return schema.Duplicates(
      ready=ended,
      done=job.count_done(),
      total=job.total,
      groups=[schema.make_group(group) for group in job.groups or ()],
    )

  @router.get("/failures")
  def failures() -> schema.Failures:
    """List the files that could not be indexed, and why."""
    return schema.Failures(
      failures=[
        Failure(model.name, model.reason)
        for model in service.state.models.values()
        if model.state == "failed"
      ]
    )

  @router.get("/models/{model:path}/thumbnail.png", response_class=Png)
  def thumbnail(model: ModelPath) -> Response:
    """A thumbnail of a model."""
    return Png(service.state.find_shape(model).thumbnail)

  @router.get("/models/{model:path}/picture.png", response_class=Png)
  async def picture(request: Request, model: ModelPath) -> Response:
    """A picture of a model from above one corner."""
    with context.admit_preview(request):
      find = service.previews.find_picture
      return Png(await context.run_preview(find, service.state, model))

  @router.get("/models/{model:path}/views/{number}.png", response_class=Png)
  async def view(request: Request, model: ModelPath, number: int) -> Response:
    """A learned view of a model in white light, numbered from 1."""
    with context.admit_preview(request):
      state = service.check_ready()
      views = await context.run_preview(service.previews.find, state, model)
    if not 1 <= number <= len(views):
      raise HttpError(404, f"view must be 1 to {len(views)}.")
    return Png(views[number - 1])

  @router.get(
    "/models/{model:path}/photo-views/{number}.png", response_class=Png
  )
  async def photo_view(
    request: Request, model: ModelPath, number: int
  ) -> Response:
    """A view with which photographs are compared, numbered from 1."""
    with context.admit_preview(request):
      state = service.check_ready()
      count = await context.run_preview(photo.count_views)
      if not 1 <= number <= count:
        raise HttpError(404, f"view must be 1 to {count}.")
      find = service.previews.find_photo_view
      return Png((await context.run_preview(find, state, model, number))[0])

  @router.get("/models/{model:path}/model.glb", response_class=Glb)
  async def glb(request: Request, model: ModelPath) -> Response:
    """The simplified mesh of a model in its principal pose, for a viewer."""
    state, whole = service.state, f"{model}/model.glb"
    # A model may itself be named "…/model.glb".
    if model not in state.models and whole in state.models:
      return JSONResponse(schema.make_model(state.models[whole]).model_dump())
    with context.admit_preview(request):
      shape = state.find_shape(model)
      mesh = await context.run_preview(unpack_mesh, shape.mesh)
      return Glb(await context.run_preview(write_glb, mesh))

  @router.get("/models/{model:path}/file", response_class=Original)
  async def file(request: Request, model: ModelPath) -> FileResponse:
    """The file of a model, if it is still as it was indexed."""
    with context.admit_preview(request):
      path = await context.run_preview(service.find_file, model)
    return Original(
      path, media_type=Original.media_type, filename=model.rsplit("/", 1)[-1]
    )

  @router.get("/models/{model:path}")
  def show(model: ModelPath) -> schema.Model:
    """A model."""
    return schema.make_model(service.state.find(model))

  return router


class Png(Response):
  """A PNG."""

  media_type = "image/png"


class Glb(Response):
  """A GLB."""

  media_type = "model/gltf-binary"


class Original(FileResponse):
  """A file to save; a browser must never show it."""

  media_type = "application/octet-stream"
