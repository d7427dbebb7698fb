"""Routes that change the database; each needs a token that may write."""

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, Security
from fastapi.security import HTTPBearer

from dr3d.server import schema
from dr3d.server.admission import find_address
from dr3d.server.context import RequestContext
from dr3d.server.parameter import (
  UPLOAD,
  ModelPath,
  UnitQuery,
  check_name,
  check_text,
  read_pairs,
)

_TOKEN = HTTPBearer(auto_error=False, description="a token that may write")

Text = Annotated[str, Query(max_length=200)]


def make_router(context: RequestContext) -> APIRouter:
  """Makes the routes of a context."""
  router = APIRouter(
    prefix="/api/models",
    tags=["change"],
    responses=schema.FAILURES,
    # Only for the OpenAPI description: `admission` has checked the token.
    dependencies=[Security(_TOKEN)],
  )
  service = context.service

  @router.post(
    "",
    status_code=201,
    openapi_extra=UPLOAD,
    responses={200: {"model": schema.Model, "description": "Unchanged"}},
  )
  async def add(
    request: Request,
    response: Response,
    label: Text = "",
    name: Text = "",
    set: Annotated[
      list[str] | None, Query(description="metadata, key=value")
    ] = None,
    unit: UnitQuery = None,
  ) -> schema.Model:
    """Add a model.

    The database keeps a copy of the file. After the response, the model
    survives a crash. Status 200 means that the database had this file under
    this name already.
    """
    pairs = read_pairs("set", set)
    metadata = {key: values[-1] for key, values in pairs.items()}
    check_text("label", label)
    async with context.receive(request) as file:
      file = dataclasses.replace(
        file,
        name=check_name(name or file.name, file.path.suffix),
        label=label,
        metadata=metadata,
        unit=unit,
      )
      with (
        context.admit(request),
        context.audit(request, "add", file.name, label),
      ):
        address = find_address(request.scope)
        model, is_new = await context.run(service.add, file, address)
    response.status_code = 201 if is_new else 200
    return schema.make_model(model)

  @router.patch("/{model:path}")
  async def label(
    request: Request,
    model: ModelPath,
    body: schema.Label,
  ) -> schema.Model:
    """Give a model another label."""
    check_text("label", body.label)
    with (
      context.admit(request),
      context.audit(request, "label", model, body.label),
    ):
      changed = await context.run(service.label, model, body.label)
    return schema.make_model(changed)

  @router.delete("/{model:path}", status_code=204)
  async def remove(request: Request, model: ModelPath) -> Response:
    """Remove a model, and the copy of its file that the database has."""
    with context.admit(request), context.audit(request, "remove", model):
      await context.run(service.remove, model)
    return Response(status_code=204)

  return router
