"""Routes of the two networks alone: render a file, embed a file or images.

With them renderer and encoder, or one of them, run on another machine than the
rest [0017]. Nothing is kept of what is sent.
"""

import functools
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from dr3d.data.folder import ModelFile
from dr3d.mesh import Mesh
from dr3d.server import schema
from dr3d.server.admission import find_address
from dr3d.server.array_body import MEDIA_TYPE, read_images, write_array
from dr3d.server.context import RequestContext
from dr3d.server.http_error import HttpError
from dr3d.server.parameter import UPLOAD, UnitQuery
from dr3d.server.state import State

FINGERPRINT = "X-Dr3d-Pipeline"
"""Header of the pipeline's fingerprint: vectors of two are not comparable."""

_IMAGES = {
  "requestBody": {
    "required": True,
    "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
  }
}


class Npy(Response):
  """An array in NumPy's format."""

  media_type = MEDIA_TYPE


def make_router(context: RequestContext) -> APIRouter:
  """Makes the routes of a context."""
  router = APIRouter(prefix="/api", tags=["network"], responses=schema.FAILURES)
  service = context.service

  def read(file: ModelFile, unit: Any, address: str) -> tuple[State, Mesh]:
    state = service.check_ready()
    return state, service.read_upload(state, file, unit, address).mesh

  def call(state: State, function: Any) -> Response:
    array = service.batcher.call(function, timeout=service.config.timeout)
    return Npy(
      write_array(array), headers={FINGERPRINT: state.reader.fingerprint}
    )

  def render(file: ModelFile, unit: Any, address: str) -> Response:
    state, mesh = read(file, unit, address)
    pipeline: Any = state.reader.pipeline
    return call(state, functools.partial(pipeline.render, mesh))

  def embed(file: ModelFile, unit: Any, address: str) -> Response:
    state, mesh = read(file, unit, address)
    features = service.batcher.embed(
      state.reader.pipeline, mesh, timeout=service.config.timeout
    )
    return call(state, lambda: features)

  def embed_images(images: np.ndarray) -> Response:
    state = service.check_ready()
    pipeline: Any = state.reader.pipeline
    try:
      return call(state, lambda: pipeline.embed_images(images[None])[0])
    except ValueError as error:
      raise HttpError(422, str(error)) from error

  @router.post("/render", openapi_extra=UPLOAD, response_class=Npy)
  async def render_file(request: Request, unit: UnitQuery = None) -> Response:
    """The images of a file that the network compares.

    An array [N, H, W, 4] of N views: red, green and blue multiplied by alpha,
    then alpha.
    """
    async with context.receive(request) as file:
      with context.admit(request):
        address = find_address(request.scope)
        return await context.run(render, file, unit, address)

  @router.post("/embed", openapi_extra=UPLOAD, response_class=Npy)
  async def embed_file(request: Request, unit: UnitQuery = None) -> Response:
    """The feature vectors of a file: an array [N, D], of length 1 each."""
    async with context.receive(request) as file:
      with context.admit(request):
        address = find_address(request.scope)
        return await context.run(embed, file, unit, address)

  @router.post("/embed/images", openapi_extra=_IMAGES, response_class=Npy)
  async def embed_array(request: Request) -> Response:
    """The feature vectors of images, as those that /api/render returns.

    An array [M, H, W, 4] gives an array [M, D].
    """
    with context.admit_upload(request):
      images = await read_images(request, byte_limit=service.config.byte_limit)
    with context.admit(request):
      return await context.run(embed_images, images)

  return router
