"""Metrics of the service, in the text format of Prometheus."""

import logging
import threading
import time
from typing import Any

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

from dr3d.server.logs import log_request

MEDIA_TYPE = prometheus_client.CONTENT_TYPE_LATEST

ROUTE = "dr3d_route"
"""Key in `scope["state"]` of the route that `admission` recognised."""

ADDRESS = "dr3d_address"
"""Key of the client's address."""

USER = "dr3d_user"
"""Key of the user's name, if the request has a valid token or comes from a
proxy that names users."""

_SECOND_BUCKETS = (0.01, 0.03, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_BATCH_BUCKETS = (1, 2, 3, 4, 6, 8)
_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"  # of jax
_REQUEST_LOG = logging.getLogger("dr3d.server.request")


class Metrics:
  """The metrics of one service."""

  def __init__(self):
    self.registry = registry = prometheus_client.CollectorRegistry()
    self.requests = Counter(
      "dr3d_requests",
      "Requests answered.",
      ("method", "route", "status"),
      registry=registry,
    )
    self.seconds = Histogram(
      "dr3d_request_seconds",
      "Seconds from a request to the end of its response.",
      ("route",),
      buckets=_SECOND_BUCKETS,
      registry=registry,
    )
    self.reading = Histogram(
      "dr3d_reading_seconds",
      "Seconds to read an upload, including the wait for a process.",
      buckets=_SECOND_BUCKETS,
      registry=registry,
    )
    self.batch = Histogram(
      "dr3d_batch_meshes",
      "Meshes in one call of the pipeline.",
      buckets=_BATCH_BUCKETS,
      registry=registry,
    )
    self.compiled = Counter(
      "dr3d_compiled_programs",
      "Programs compiled or loaded; none once the service is ready.",
      registry=registry,
    )
    self.refreshes_failed = Counter(
      "dr3d_refreshes_failed",
      "Failed attempts to read changes of the database.",
      registry=registry,
    )
    self.refreshes_failed_in_row = Gauge(
      "dr3d_refreshes_failed_in_row",
      "Failed attempts since the last one that succeeded.",
      registry=registry,
    )
    self.unverified = Counter(
      "dr3d_unverified_answers",
      "Answers whose matches could not be registered to the query.",
      registry=registry,
    )
    self.damage_found = Gauge(
      "dr3d_damage_found",
      "Damaged things of the database that are known.",
      ("kind",),
      registry=registry,
    )
    self.last_scan = Gauge(
      "dr3d_last_scan_timestamp_seconds",
      "When the last whole scan for damage ended; 0 for never.",
      registry=registry,
    )
    self.scans_failed = Counter(
      "dr3d_scans_failed",
      "Scans for damage that could not read the database.",
      registry=registry,
    )
    self.last_backup = Gauge(
      "dr3d_last_backup_timestamp_seconds",
      "When the last backup of this service began; 0 for never.",
      registry=registry,
    )
    self.backups_failed = Counter(
      "dr3d_backups_failed", "Backups that failed.", registry=registry
    )
    self.tokens_rejected = Counter(
      "dr3d_tokens_rejected", "Requests with a wrong token.", registry=registry
    )
    self.connections = Gauge(
      "dr3d_connections", "Open connections.", registry=registry
    )
    self.connections_rejected = Counter(
      "dr3d_connections_rejected",
      "Connections closed because there were too many.",
      registry=registry,
    )
    self.workers_lost = Counter(
      "dr3d_workers_lost",
      "Processes that ended while they read or registered.",
      registry=registry,
    )
    self.inside = Gauge(
      "dr3d_queries_inside", "Queries running or waiting.", registry=registry
    )
    self.waiting = Gauge(
      "dr3d_pipeline_waiting", "Waiting calls of the pipeline.",
      registry=registry,
    )  # fmt: skip
    self.models = Gauge(
      "dr3d_models", "Models of the database.", ("state",), registry=registry
    )
    self.ready = Gauge(
      "dr3d_ready", "1 if queries are answered.", registry=registry
    )
    prometheus_client.ProcessCollector(registry=registry)
    _listeners.append(self)

  def write(self) -> bytes:
    """Returns all metrics as text."""
    return prometheus_client.generate_latest(self.registry)


class RequestLogger:
  """Counts, times and logs requests, without their contents (ASGI)."""

  def __init__(self, app: Any, metrics: Metrics):
    self._app = app
    self._metrics = metrics

  async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
    """Handles a request (ASGI)."""
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return
    start = time.perf_counter()
    status = 500

    async def observe(message: Any) -> None:
      nonlocal status
      if message["type"] == "http.response.start":
        status = message["status"]
      await send(message)

    try:
      await self._app(scope, receive, observe)
    finally:
      seconds = time.perf_counter() - start
      # The router has not seen a request that was rejected before.
      known = scope.get("state", {}).get(ROUTE, "other")
      route = getattr(scope.get("route"), "path", known)
      method = scope["method"] if scope["method"] in _METHODS else "other"
      self._metrics.requests.labels(method, route, status).inc()
      self._metrics.seconds.labels(route).observe(seconds)
      state = scope.get("state", {})
      log_request(
        _REQUEST_LOG,
        client=state.get(ADDRESS, ""),
        user=state.get(USER, ""),
        method=method,
        route=route,
        status=status,
        seconds=seconds,
      )


_METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")
_listeners: list[Metrics] = []
_listening = threading.Event()


def count_compilations() -> None:
  """Counts programs that jax compiles from now on, in all metrics."""
  if _listening.is_set():
    return
  _listening.set()
  import jax

  def listen(event: str, duration_secs: float, **details: Any) -> None:
    del duration_secs, details
    if event == _COMPILE_EVENT:
      for metrics in _listeners:
        metrics.compiled.inc()

  jax.monitoring.register_event_duration_secs_listener(listen)
