"""Calls that search: by an upload, or by a model that is known."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from dr3d.server import schema
from dr3d.server.context import RequestContext
from dr3d.server.parameter import UPLOAD, ModelPath, read_ask
from dr3d.server.service import QueryOptions

Asked = Annotated[QueryOptions, Depends(read_ask)]


def make_router(desk: RequestContext) -> APIRouter:
  """Makes the calls, which a desk receives."""
  router = APIRouter(prefix="/api", tags=["query"], responses=schema.FAILURES)

  @router.post("/query", openapi_extra=UPLOAD)
  async def query(request: Request, ask: Asked) -> schema.Answer:
    """Which models does this file look like?

    The file is read in a process of bounded time and memory, and deleted.
    """
    async with desk.admit(request), desk.take_file(request) as file:
      return await desk.work(desk.service.query, file.path, file.name, ask)

  @router.get("/models/{model:path}/similar")
  async def similar(
    request: Request, model: ModelPath, ask: Asked
  ) -> schema.Answer:
    """Which other models does this model look like?"""
    async with desk.admit(request):
      return await desk.work(desk.service.query_similar, model, ask)

  return router
