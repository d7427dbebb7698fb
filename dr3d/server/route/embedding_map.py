"""The route of the map of the models by their vectors."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from dr3d.error import EmptyError
from dr3d.search.embedding_map import EmbeddingMap, make_map
from dr3d.server import schema
from dr3d.server.context import RequestContext
from dr3d.server.state import State


class Point(BaseModel):
  """A model on the map."""

  model: str = Field(description="its name")
  label: str
  x: float = Field(description="-1 to 1")
  y: float = Field(description="-1 to 1")


class Map(BaseModel):
  """Models on a plane, near each other if they look alike to the network."""

  points: list[Point]
  share: float = Field(
    description="of the differences of the vectors that the axes show, 0 to 1"
  )
  total: int = Field(description="models that are searched")


def make_router(context: RequestContext) -> APIRouter:
  """Makes the route of a context."""
  router = APIRouter(prefix="/api", tags=["models"], responses=schema.FAILURES)
  latest: dict[str, tuple[State, Map]] = {}

  @router.get("/map")
  def embedding_map() -> Map:
    """A map of the models by their vectors; of many, evenly many are shown."""
    state = context.service.check_ready()
    known = latest.get("map")
    if known is None or known[0] is not state:
      known = state, _convert(state)
      latest["map"] = known
    return known[1]

  return router


def _convert(state: State) -> Map:
  try:
    found = make_map(state.reader.gallery)
  except EmptyError:
    return Map(points=[], share=1.0, total=0)
  return Map(points=_list_points(found), share=found.share, total=found.total)


def _list_points(found: EmbeddingMap) -> list[Point]:
  return [
    Point(model=name, label=label, x=round(x, 4), y=round(y, 4))
    for name, label, (x, y) in zip(
      found.names, found.labels, found.points.tolist(), strict=True
    )
  ]
