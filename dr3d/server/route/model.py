"""Calls about the models that are known, and their pictures."""

import asyncio
import math
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, JSONResponse

from dr3d.database.catalogue import Model
from dr3d.error import EmptyError
from dr3d.mesh.io.glb import write_glb
from dr3d.mesh.packing import unpack_mesh
from dr3d.server import schema
from dr3d.server.context import RequestContext
from dr3d.server.http_error import HttpError
from dr3d.server.parameter import (
  Labels,
  ModelPath,
  Relation,
  State,
  Where,
  read_pairs,
)

_LOOKS, _WAIT = 50, 0.1  # for the end of a search, and seconds between them

Millimetres = Annotated[float | None, Query(ge=0, description="mm")]


def make_router(desk: RequestContext) -> APIRouter:
  """Makes the calls, which a desk receives."""
  router = APIRouter(prefix="/api", tags=["models"], responses=schema.FAILURES)
  service = desk.service

  @router.get("/models")
  def models(
    label: Labels = None,
    where: Where = None,
    state: State | None = None,
    text: Annotated[
      str, Query(max_length=200, description="part of a name or a label")
    ] = "",
    smallest: Millimetres = None,
    largest: Millimetres = None,
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
  ) -> schema.Models:
    """List models by name; smallest and largest are of the longest side."""
    wanted = read_pairs("where", where)
    low = 0 if smallest is None else smallest
    high = math.inf if largest is None else largest
    found = [
      model
      for model in service.state.models.values()
      if (not label or model.label in label)
      and (state is None or model.state == state)
      and text.lower() in f"{model.name}\n{model.label}".lower()
      and all(model.metadata.get(key) in wanted[key] for key in wanted)
      and low <= _length(model) <= high
    ]
    return schema.Models(
      total=len(found),
      models=[schema.make_model(m) for m in found[offset : offset + limit]],
    )

  @router.get("/duplicates", responses={202: {"model": schema.Duplicates}})
  async def duplicates(
    response: Response, weakest: Relation = "similar"
  ) -> schema.Duplicates:
    """Find models that are one shape; nothing is changed.

    The first call after a change begins a search; status 202 tells how far
    it is.
    """
    state = service.ready()
    search = service.twins.find(state, weakest)
    for _ in range(_LOOKS):
      if not search.ended.is_set():
        await asyncio.sleep(_WAIT)
    if search.error is not None and not isinstance(search.error, EmptyError):
      raise search.error
    ended = search.ended.is_set()
    response.status_code = 200 if ended else 202
    return schema.Duplicates(
      ready=ended,
      done=search.count_done(),
      total=search.total,
      groups=[schema.make_group(group) for group in search.groups or ()],
    )

  @router.get("/failures")
  def failures() -> schema.Failures:
    """List the files that are not searched, and why."""
    return schema.Failures(
      failures=[
        schema.Failure(model=model.name, reason=model.reason)
        for model in service.state.models.values()
        if model.state == "failed"
      ]
    )

  @router.get("/models/{model:path}/thumbnail.png", response_class=Picture)
  def thumbnail(model: ModelPath) -> Response:
    """A small picture of a model."""
    return Picture(service.state.find_shape(model).thumbnail)

  @router.get("/models/{model:path}/views/{number}.png", response_class=Picture)
  async def view(model: ModelPath, number: int) -> Response:
    """A learned view of a model, in white light, from 1."""
    with desk.side.enter():
      state = service.ready()
      views = await desk.draw(service.album.find, state, model)
    if not 1 <= number <= len(views):
      raise HttpError(404, f"views are numbered from 1 to {len(views)}.")
    return Picture(views[number - 1])

  @router.get("/models/{model:path}/model.glb", response_class=Viewable)
  async def glb(model: ModelPath) -> Response:
    """The simplified mesh of a model, in its principal pose, for a viewer."""
    state, whole = service.state, f"{model}/model.glb"
    if model not in state.models and whole in state.models:  # its own name
      return JSONResponse(schema.make_model(state.models[whole]).model_dump())
    with desk.side.enter():
      shape = state.find_shape(model)
      mesh = await desk.draw(unpack_mesh, shape.mesh)
      return Viewable(await desk.draw(write_glb, mesh))

  @router.get("/models/{model:path}/file", response_class=Original)
  async def file(model: ModelPath) -> FileResponse:
    """The file of a model, where it is still as it was when it was read."""
    with desk.side.enter():
      path = await desk.draw(service.find_file, model)
    return Original(
      path, media_type=Original.media_type, filename=model.rsplit("/", 1)[-1]
    )

  @router.get("/models/{model:path}")
  def show(model: ModelPath) -> schema.Model:
    """What is known of a model."""
    return schema.make_model(service.state.find(model))

  return router


class Picture(Response):
  """A PNG."""

  media_type = "image/png"


class Viewable(Response):
  """A GLB."""

  media_type = "model/gltf-binary"


class Original(FileResponse):
  """A file to save, never to be shown by a browser."""

  media_type = "application/octet-stream"


def _length(model: Model) -> float:
  return max(model.extent or (0.0,))
