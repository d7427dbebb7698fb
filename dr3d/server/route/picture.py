"""Routes that take a picture."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from dr3d.server import schema
from dr3d.server.context import RequestContext
from dr3d.server.http_error import HttpError
from dr3d.server.parameter import UPLOAD


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
    region: Annotated[
      str | None,
      Query(
        max_length=100,
        description="x,y,width,height in the picture, pixels: look for what it "
        "shows, instead of a model",
      ),
    ] = None,
  ) -> schema.Located:
    """Where is a model of the database in this picture?

    Answers with all instances, a picture in which only they are lit, and a
    heat map; no instance means that it is not there.
    """
    box = None if region is None else read_region(region)
    async with context.receive(request, kind="picture") as file:
      with context.admit(request):
        return await context.run(service.locate, file, model, box)

  return router


def read_region(text: str) -> tuple[int, int, int, int]:
  """Parses x,y,width,height.

  Raises:
    HttpError: the text is something else.
  """
  try:
    x, y, width, height = (int(number) for number in text.split(","))
  except ValueError:
    x = y = width = height = 0
  if min(width, height) < 1 or max(abs(x), abs(y), width, height) > 1 << 20:
    raise HttpError(422, f"region must be x,y,width,height, got {text[:60]!r}.")
  return x, y, width, height
