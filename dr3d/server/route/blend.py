"""The route of shapes between two models."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from dr3d.server import schema
from dr3d.server.context import RequestContext
from dr3d.server.parameter import ModelPath
from dr3d.server.route.model import Glb


def make_router(context: RequestContext) -> APIRouter:
  """Makes the routes of a context."""
  router = APIRouter(prefix="/api", tags=["models"], responses=schema.FAILURES)
  service = context.service

  @router.get("/models/{model:path}/blend.glb", response_class=Glb)
  async def blend(
    request: Request,
    model: ModelPath,
    other: Annotated[
      str, Query(max_length=4096, description="name of another model")
    ],
    share: Annotated[
      float, Query(ge=0, le=1, description="of the other model")
    ] = 0.5,
  ) -> Response:
    """A rough shape between two models, which a network makes of their codes.

    Only if `shapes` of /api/info is true.
    """
    with context.admit(request):
      state = service.check_ready()
      find = service.blender.blend
      return Glb(await context.run(find, state, model, other, share))

  return router
