"""Routes that take a picture."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from dr3d.image.photograph import is_photograph
from dr3d.server import schema
from dr3d.server.admission import find_address
from dr3d.server.context import RequestContext
from dr3d.server.http_error import HttpError
from dr3d.server.parameter import UPLOAD, RegionQuery, read_region


def make_router(context: RequestContext) -> APIRouter:
  """Makes the routes of a context."""
  router = APIRouter(
    prefix="/api", tags=["pictures"], responses=schema.FAILURES
  )
  service = context.service

  @router.post("/locate", openapi_extra=UPLOAD)
  async def locate(
    request: Request,
    model: Annotated[
      str | None,
      Query(max_length=4096, description="of the database, to look for"),
    ] = None,
    region: RegionQuery = None,
  ) -> schema.Located:
    """Where is a model, or what a region shows, in this picture?

    Answers with all instances, a picture in which only they are lit, and a
    heat map; no instance means that it is not there.
    """
    box = read_region(region)
    if (model is None) == (box is None):
      raise HttpError(422, "give either model or region.")
    async with context.receive_query(request) as files:
      if len(files) > 1 or not is_photograph(files[0].path):
        raise HttpError(415, "send one picture: JPEG, PNG, WebP or HEIC.")
      with context.admit(request):
        address = find_address(request.scope)
        return await context.run(service.locate, files[0], model, box, address)

  return router
