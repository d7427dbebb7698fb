"""Calls about the service and its database as a whole."""

import collections
from typing import Any

from fastapi import APIRouter, Response

import dr3d
from dr3d.database import catalogue
from dr3d.mesh.io.reader import FORMATS
from dr3d.mesh.unit import UNITS
from dr3d.server import metric, schema
from dr3d.server.context import RequestContext
from dr3d.server.service import Service

_VALUES = 100  # of a key of the metadata that are told


def make_router(desk: RequestContext) -> APIRouter:
  """Makes the calls, which a desk receives."""
  router = APIRouter(tags=["status"], responses=schema.FAILURES)
  service = desk.service

  @router.get("/api/health")
  async def health() -> schema.Status:
    """Whether the process answers."""
    return schema.Status(status="ok")

  @router.get("/api/ready", responses={503: {"model": schema.Status}})
  async def ready(response: Response) -> schema.Status:
    """Whether queries are answered; status 503 until then."""
    response.status_code = 200 if service.status == "ready" else 503
    return schema.Status(status=service.status, error=service.error)

  @router.get("/api/info", responses={"4XX": {"model": schema.Failed}})
  def info() -> schema.Info:
    """What the database holds and the service takes."""
    return make_info(service)

  @router.get("/metrics", response_class=Measurements)
  def metrics() -> Response:
    """Measurements in the text format of Prometheus."""
    record = service.metrics
    record.waiting.set(service.batcher.pending())
    record.ready.set(service.status == "ready")
    for state, count in count_states(service).items():
      record.models.labels(state).set(count)
    return Measurements(record.write())

  return router


class Measurements(Response):
  """Text for Prometheus."""

  media_type = metric.MEDIA_TYPE


def count_states(service: Service) -> dict[str, int]:
  """How many models are in each state."""
  states = [model.state for model in service.state.models.values()]
  return {state: states.count(state) for state in catalogue.STATES}


def make_info(service: Service) -> schema.Info:
  """What the database holds and the service takes."""
  state = service.state
  indexed = [
    model for model in state.models.values() if model.state == catalogue.INDEXED
  ]
  labels = collections.Counter(model.label for model in indexed)
  values: dict[str, set[str]] = collections.defaultdict(set)
  for model in indexed:
    for key, value in model.metadata.items():
      values[key].add(value)
  drawing = viewpoints = None
  if service.status == "ready":
    pipeline: Any = state.archive.pipeline
    drawing = pipeline.config
    if drawing.pose == "principal":  # as a GLB lies
      viewpoints = pipeline.views.quaternion.tolist()
  config = service.config
  return schema.Info(
    name=service.directory.name,
    counts=count_states(service),
    labels=[
      schema.LabelCount(label=label, count=count)
      for label, count in sorted(labels.items())
      if label
    ],
    metadata={key: sorted(values[key])[:_VALUES] for key in sorted(values)},
    views=drawing and drawing.view_count,
    viewpoints=viewpoints,
    image_size=drawing and drawing.render.size,
    unit=state.archive.unit,
    units=list(UNITS),
    formats=[f".{name}" for name in FORMATS],
    limits=schema.Limits(
      bytes=config.byte_limit,
      faces=config.face_limit,
      seconds=config.reading.seconds,
    ),
    writable=config.token is not None,
    version=dr3d.__version__,
    pipeline=state.archive.fingerprint,
  )
