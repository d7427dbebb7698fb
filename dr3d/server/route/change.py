"""Calls that change the database; each needs the token."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, Security
from fastapi.security import HTTPBearer

from dr3d.server import schema
from dr3d.server.context import RequestContext
from dr3d.server.parameter import (
  UPLOAD,
  ModelPath,
  UnitQuery,
  check_name,
  check_text,
  read_pairs,
)

_TOKEN = HTTPBearer(auto_error=False, description="the service's token")

Text = Annotated[str, Query(max_length=200)]


def make_router(desk: RequestContext) -> APIRouter:
  """Makes the calls, which a desk receives."""
  router = APIRouter(
    prefix="/api/models",
    tags=["change"],
    responses=schema.FAILURES,
    dependencies=[Security(_TOKEN)],  # tells of it: the desk checks it
  )
  service = desk.service

  @router.post("", status_code=201, openapi_extra=UPLOAD)
  async def add(
    request: Request,
    label: Text = "",
    name: Text = "",
    set: Annotated[
      list[str] | None, Query(description="metadata, key=value")
    ] = None,
    unit: UnitQuery = None,
  ) -> schema.Model:
    """Add a model.

    The database keeps a copy of the file. Once this is answered, the model
    survives a crash.
    """
    pairs = read_pairs("set", set)
    metadata = {key: values[-1] for key, values in pairs.items()}
    check_text("label", label)
    async with (
      desk.admit(request, changes=True),
      desk.take_file(request) as file,
    ):
      return await desk.work(
        service.add,
        file.path,
        check_name(name or file.name, file.path.suffix),
        label=label,
        metadata=metadata,
        unit=unit,
      )

  @router.patch("/{model:path}")
  async def label(
    request: Request,
    model: ModelPath,
    body: schema.Label,
  ) -> schema.Model:
    """Give a model another label."""
    check_text("label", body.label)
    async with desk.admit(request, changes=True):
      return await desk.work(service.label, model, body.label)

  @router.delete("/{model:path}", status_code=204)
  async def remove(request: Request, model: ModelPath) -> Response:
    """Remove a model, and the copy of its file that the database has."""
    async with desk.admit(request, changes=True):
      await desk.work(service.remove, model)
    return Response(status_code=204)

  return router
