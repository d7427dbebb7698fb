"""Connections that are slow, idle or too many are closed.

uvicorn limits connections of all addresses together, and the time between two
requests. It lets a connection wait for its first request, or send one byte a
minute, without end. So its protocol is extended here by deadlines and by a
limit for each address. Deadlines of bodies are in `admission`.
"""

import asyncio
import collections
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dr3d.server.limiter import group_address, is_in, parse_networks
from dr3d.server.metric import Metrics
from dr3d.server.proxy import TrustedProxies
from dr3d.server.settings import ServerConfig

_MAX_HEADERS = 16 << 10  # bytes of a request before its body
_SHUTDOWN_TIMEOUT = 60  # seconds for running requests to finish
# uvicorn answers 503 beyond its own limit, which must not come first.
_SPARE_CONNECTIONS = 100
# Seconds in which a client must take what it was sent, or at least a part.
_WRITE_TIMEOUT = 30.0
# Seconds for a client to read why its body was rejected, before it is cut off.
_LINGER = 2.0


def make_protocol(config: ServerConfig, metrics: Metrics) -> type[H11Protocol]:
  """Makes the protocol class of one service, for `uvicorn.Config.http`."""
  connections = Connections(config, metrics)

  class Protocol(LimitedProtocol):
    """The protocol of one service."""

    limits = connections
    header_timeout = config.stall

  return Protocol


def make_config(
  app: Any, config: ServerConfig, metrics: Metrics
) -> uvicorn.Config:
  """Configures uvicorn with the limits of a service.

  Args:
    app: the application (ASGI).
    config: limits of the service.
    metrics: counts connections.
  """
  return uvicorn.Config(
    TrustedProxies(app, config) if config.proxies else app,
    http=make_protocol(config, metrics),
    log_config=None,
    access_log=False,
    server_header=False,
    proxy_headers=False,  # `TrustedProxies` reads them
    ws="none",
    limit_concurrency=config.connections + _SPARE_CONNECTIONS,
    h11_max_incomplete_event_size=_MAX_HEADERS,
    timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
  )


class Connections:
  """The open connections of a service."""

  def __init__(self, config: ServerConfig, metrics: Metrics):
    self._limit = config.connections
    self._address_limit = config.address_connections
    self._proxies = parse_networks(config.proxies)
    self._metrics = metrics
    self._of_address: collections.Counter[str] = collections.Counter()
    # Those that have sent no complete request yet, the oldest first.
    self._waiting: dict[LimitedProtocol, None] = {}
    self._total = 0

  def admit(self, connection: "LimitedProtocol", host: str) -> bool:
    """Counts a connection; False if there are too many.

    If all places are taken, the one that has waited longest without sending a
    request makes room.
    """
    address = group_address(host)
    if not is_in(host, self._proxies) and (
      self._of_address[address] >= self._address_limit
    ):
      self._metrics.connections_rejected.inc()
      return False
    if self._total >= self._limit:
      oldest = next(iter(self._waiting), None)
      self._metrics.connections_rejected.inc()
      if oldest is None:
        return False
      oldest.drop()
    self._of_address[address] += 1
    self._total += 1
    self._metrics.connections.set(self._total)
    return True

  def release(self, connection: "LimitedProtocol", host: str) -> None:
    """Forgets a connection that `admit` has counted."""
    self.set_waiting(connection, waits=False)
    address = group_address(host)
    self._of_address[address] -= 1
    if not self._of_address[address]:
      del self._of_address[address]
    self._total -= 1
    self._metrics.connections.set(self._total)

  def set_waiting(self, connection: "LimitedProtocol", *, waits: bool) -> None:
    """Notes whether a connection has yet to send a complete request."""
    self._waiting.pop(connection, None)
    if waits:
      self._waiting[connection] = None


class LimitedProtocol(H11Protocol):
  """HTTP/1.1 with deadlines; see the module."""

  limits: Connections
  header_timeout: float

  def connection_made(  # type: ignore[override]
    self, transport: asyncio.Transport
  ) -> None:
    """Admits a connection, or answers that there are too many."""
    self._header_timer: asyncio.TimerHandle | None = None
    self._write_timer: asyncio.TimerHandle | None = None
    super().connection_made(transport)
    peer = transport.get_extra_info("peername")
    self._host = str(peer[0]) if isinstance(peer, tuple) else ""
    self._is_admitted = self.limits.admit(self, self._host)
    if self._is_admitted:
      self._expect_headers()
    else:
      self._end("429 Too Many Requests", "Retry-After: 5\r\n")

  def connection_lost(self, exc: Exception | None) -> None:
    """Forgets the connection."""
    self._forget_headers()
    self.resume_writing()
    if self._is_admitted:
      self._is_admitted = False
      self.limits.release(self, self._host)
    super().connection_lost(exc)

  def data_received(self, data: bytes) -> None:
    """Starts the deadline of the next request's headers with its first byte."""
    if self.transport.is_closing():
      return
    is_idle = self.cycle is None or self.cycle.response_complete
    if is_idle and self._header_timer is None:
      self._expect_headers()
    super().data_received(data)

  def handle_events(self) -> None:
    """Ends the deadline when the headers are complete."""
    before: Any = self.cycle
    super().handle_events()
    if self.cycle is not before:
      self._forget_headers()

  def on_response_complete(self) -> None:
    """Closes the connection soon if the body was rejected and still comes."""
    cycle = self.cycle
    super().on_response_complete()
    if cycle.more_body:
      self.loop.call_later(_LINGER, self._cut_body, cycle)

  def pause_writing(self) -> None:
    """Begins to wait for a client that does not read."""
    super().pause_writing()
    if self._write_timer is None:
      self._write_timer = self.loop.call_later(
        _WRITE_TIMEOUT, self.transport.abort
      )

  def resume_writing(self) -> None:
    """Ends that."""
    super().resume_writing()
    if self._write_timer is not None:
      self._write_timer.cancel()
      self._write_timer = None

  def shutdown(self) -> None:
    """Cuts off uploads, which could delay the end of the service."""
    if self.cycle is not None and self.cycle.more_body:
      self.transport.close()
    else:
      super().shutdown()

  def drop(self) -> None:
    """Closes a connection that makes room for another."""
    self.transport.abort()

  def _expect_headers(self) -> None:
    self.limits.set_waiting(self, waits=True)
    self._header_timer = self.loop.call_later(
      self.header_timeout, self._end, "408 Request Timeout", ""
    )

  def _forget_headers(self) -> None:
    self.limits.set_waiting(self, waits=False)
    if self._header_timer is not None:
      self._header_timer.cancel()
      self._header_timer = None

  def _cut_body(self, cycle: Any) -> None:
    if self.cycle is cycle and cycle.more_body:
      self.transport.close()

  def _end(self, status: str, headers: str) -> None:
    """Answers without the application and closes."""
    if not self.transport.is_closing():
      text = f"HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n"
      self.transport.write(f"{text}Connection: close\r\n\r\n".encode())
      self.transport.close()
