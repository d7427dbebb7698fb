"""Routes that search: by an upload, or by a model of the database."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from dr3d.image.photograph import is_photograph
from dr3d.server import schema
from dr3d.server.admission import find_address
from dr3d.server.context import RequestContext
from dr3d.server.http_error import HttpError
from dr3d.server.parameter import (
  UPLOAD,
  ModelPath,
  RegionQuery,
  UnitQuery,
  read_options,
  read_region,
)
from dr3d.server.query_options import QueryOptions

ModelName = Annotated[str, Query(max_length=4096, description="its name")]
Options = Annotated[QueryOptions, Depends(read_options)]


def make_router(context: RequestContext) -> APIRouter:
  """Makes the routes of a context."""
  router = APIRouter(prefix="/api", tags=["query"], responses=schema.FAILURES)
  service = context.service

  @router.post("/query", openapi_extra=UPLOAD)
  async def query(
    request: Request, options: Options, region: RegionQuery = None
  ) -> schema.Answer:
    """Which models does this file, or the thing in this photograph, look like?

    A process of limited time and memory reads the file, which is then deleted.
    Up to eight photographs of one thing may be sent as one query.
    """
    box = read_region(region)
    async with context.receive_query(request) as files:
      with context.admit(request):
        address = find_address(request.scope)
        if is_photograph(files[0].path):
          return await context.run(
            service.query_photo, files, options, box, address
          )
        if box is not None:
          raise HttpError(422, "a region needs a photograph.")
        return await context.run(service.query, files[0], options, address)

  @router.post("/overlay", openapi_extra=UPLOAD)
  async def overlay(
    request: Request, model: ModelName, unit: UnitQuery = None
  ) -> schema.Overlay:
    """How far does this file lie from a model, at each of its points?"""
    async with context.receive(request) as file:
      with context.admit(request):
        address = find_address(request.scope)
        return schema.make_overlay(
          await context.run(service.overlay, file, model, unit, address)
        )

  @router.get("/overlay")
  async def overlay_model(
    request: Request, query: ModelName, model: ModelName
  ) -> schema.Overlay:
    """How far does a model lie from another one, at each of its points?"""
    with context.admit(request):
      return schema.make_overlay(
        await context.run(service.overlay_model, query, model)
      )

  @router.get("/models/{model:path}/similar")
  async def similar(
    request: Request, model: ModelPath, options: Options
  ) -> schema.Answer:
    """Which other models does this model look like?"""
    with context.admit(request):
      return await context.run(service.query_similar, model, options)

  return router
