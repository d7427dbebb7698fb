"""Routes that change the database; each needs a token that may write."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, Security
from fastapi.security import HTTPBearer

from dr3d.server import schema
from dr3d.server.admission import find_address
from dr3d.server.audit import Action
from dr3d.server.context import RequestContext
from dr3d.server.http_error import HttpError
from dr3d.server.parameter import (
  UPLOAD,
  ModelPath,
  UnitQuery,
  check_name,
  check_text,
  read_pairs,
)

_TOKEN = HTTPBearer(auto_error=False, description="a token that may write")

_MAX_KEYS = 100  # of the metadata of a model
_MAX_TEXT = 1000  # characters of a key and its value

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
  async def edit(
    request: Request,
    model: ModelPath,
    body: schema.Edit,
  ) -> schema.Model:
    """Change the label or the metadata of a model."""
    check_text("label", body.label or "")
    metadata = None if body.metadata is None else _check_metadata(body.metadata)
    what: Action = "label" if metadata is None else "edit"
    detail = body.label if metadata is None else str(metadata)
    with context.admit(request), context.audit(request, what, model, detail):
      changed = await context.run(service.edit, model, body.label, metadata)
    return schema.make_model(changed)

  @router.delete("/{model:path}", status_code=204)
  async def remove(request: Request, model: ModelPath) -> Response:
    """Remove a model, and the copy of its file that the database has."""
    with context.admit(request), context.audit(request, "remove", model):
      await context.run(service.remove, model)
    return Response(status_code=204)

  return router


def make_column_router(context: RequestContext) -> APIRouter:
  """Makes the route that chooses the metadata to show."""
  router = APIRouter(
    prefix="/api",
    tags=["change"],
    responses=schema.FAILURES,
    dependencies=[Security(_TOKEN)],
  )

  @router.put("/columns", status_code=204)
  async def show_columns(request: Request, body: schema.Shown) -> Response:
    """Choose the metadata that is shown with a model."""
    for key in body.columns:
      check_text("columns", key)
    detail = ", ".join(body.columns)
    with context.admit(request), context.audit(request, "show", "", detail):
      await context.run(context.service.show_columns, body.columns)
    return Response(status_code=204)

  return router


def _check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
  """Metadata as the catalogue keeps it: keys in small letters, values given."""
  if len(metadata) > _MAX_KEYS:
    raise HttpError(422, f"metadata has at most {_MAX_KEYS} keys.")
  for key, value in metadata.items():
    check_text("metadata", f"{key}{value}")
    if not key.strip() or len(key) + len(value) > _MAX_TEXT:
      raise HttpError(
        422, f"metadata needs a key, and {_MAX_TEXT} characters at most."
      )
  return {
    key.strip().lower(): value.strip()
    for key, value in metadata.items()
    if value.strip()
  }
