"""Routes about the service and its database as a whole."""

import collections
import functools
from typing import Any

from fastapi import APIRouter, Request, Response

import dr3d
from dr3d.database import catalogue, model_search
from dr3d.mesh.io.reader import FORMATS
from dr3d.mesh.unit import UNITS
from dr3d.server import blending, metric, schema
from dr3d.server.admission import IDENTITY
from dr3d.server.context import RequestContext
from dr3d.server.service import Service
from dr3d.server.state import State
from dr3d.server.token import Identity, Role

MAX_VALUES = 100  # of a metadata key, which the page offers as filters


def make_router(context: RequestContext) -> APIRouter:
  """Makes the routes of a context."""
  router = APIRouter(tags=["status"], responses=schema.FAILURES)
  service = context.service

  @router.get("/api/health")
  async def health() -> schema.Status:
    """Whether the process runs."""
    return schema.Status(status="ok")

  @router.get("/api/ready", responses={503: {"model": schema.Status}})
  async def ready(response: Response) -> schema.Status:
    """Whether queries are answered; status 503 until then."""
    response.status_code = 200 if service.status == "ready" else 503
    return schema.Status(status=service.status, error=service.error)

  @router.get("/api/info", responses=schema.FAILURES)
  def info(request: Request) -> schema.Info:
    """What the database holds and what the service accepts."""
    identity: Identity = request.scope["state"][IDENTITY]
    return make_info(service, identity.role)

  @router.get("/api/inspection")
  async def inspection(request: Request) -> dict[str, Any]:
    """Counts, size and quality of the index; see `dr3d info`.

    The first call after a change may take seconds: models query one another.
    """
    with context.admit(request):
      reader = service.check_ready().reader
      return await context.run(reader.inspect)

  @router.get("/metrics", response_class=PrometheusText)
  def metrics() -> Response:
    """Metrics in the text format of Prometheus."""
    values = service.metrics
    values.waiting.set(service.batcher.pending())
    values.ready.set(service.status == "ready")
    for state, count in describe_state(service.state)["counts"].items():
      values.models.labels(state).set(count)
    return PrometheusText(values.write())

  return router


class PrometheusText(Response):
  """Text for Prometheus."""

  media_type = metric.MEDIA_TYPE


def count_states(state: State) -> dict[str, int]:
  """How many models are in each state of a model."""
  counts = collections.Counter(model.state for model in state.models.values())
  return {name: counts[name] for name in catalogue.STATES}


@functools.lru_cache(maxsize=2)  # it reads all rows, and is asked for often
def describe_state(state: State) -> dict[str, Any]:
  """What a state of the database holds: fields of `schema.Info`."""
  indexed = [
    model for model in state.models.values() if model.state == catalogue.INDEXED
  ]
  labels = collections.Counter(model.label for model in indexed)
  columns = model_search.count_values(
    indexed, model_search.Filter(), limit=MAX_VALUES
  )
  return {
    "counts": count_states(state),
    "labels": [
      schema.LabelCount(label=label, count=count)
      for label, count in sorted(labels.items())
      if label
    ],
    "columns": [
      schema.make_column(column)
      for column in columns
      if column.name != model_search.LABEL
    ],
    "shown": list(state.reader.shown_columns),
  }


def make_info(service: Service, role: Role | None) -> schema.Info:
  """What the database holds and what the service accepts."""
  state = service.state
  pipeline_config = viewpoints = None
  if service.is_ready:
    pipeline: Any = state.reader.pipeline
    pipeline_config = pipeline.config
    if pipeline_config.pose == "principal":  # the pose of a GLB
      viewpoints = pipeline.views.quaternion.tolist()
  config = service.config
  return schema.Info(
    name=service.directory.name,
    **describe_state(state),
    views=pipeline_config and pipeline_config.view_count,
    viewpoints=viewpoints,
    image_size=pipeline_config and pipeline_config.render.size,
    appearance=state.reader.appearance,
    unit=state.reader.unit,
    units=list(UNITS),
    formats=[f".{name}" for name in FORMATS],
    limits=schema.Limits(
      bytes=config.byte_limit,
      faces=config.face_limit,
      seconds=config.reading.seconds,
    ),
    writable=service.tokens.allows("write"),
    role=role,
    public=config.public_read,
    shapes=blending.is_available(),
    protections=service.protections,
    version=dr3d.__version__,
    pipeline=state.reader.fingerprint,
  )
