"""What the routes of one application share: threads, limits, uploads."""

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from starlette.requests import Request

from dr3d.server.limiter import ConcurrencyLimiter, RateLimiter
from dr3d.server.security import check_token
from dr3d.server.service import Service
from dr3d.server.upload import Received, receive

T = TypeVar("T")

_UPLOADS = "dr3d-uploads-"  # and the number of the process
_DRAWING = 64  # requests for pictures that may wait
_DRAWERS = 2  # threads that wait for pictures


class RequestContext:
  """Where requests are received.

  Attributes:
    service: answers them.
    gate: of queries and changes.
    side: of pictures, which must not keep queries out, nor wait for them.
  """

  def __init__(self, service: Service):
    """Makes a desk."""
    config = service.config
    self.service = service
    self.gate = ConcurrencyLimiter(config.queue, service.metrics.inside.set)
    self.side = ConcurrencyLimiter(_DRAWING, lambda count: None)
    self._rate = RateLimiter(config.rate, config.burst)
    self._threads = concurrent.futures.ThreadPoolExecutor(
      config.queue, thread_name_prefix="query"
    )
    self._drawers = concurrent.futures.ThreadPoolExecutor(
      _DRAWERS, thread_name_prefix="draw"
    )
    remove_leftovers(pathlib.Path(tempfile.gettempdir()))
    self._directory = tempfile.TemporaryDirectory(
      prefix=f"{_UPLOADS}{os.getpid()}-"
    )

  def close(self) -> None:
    """Ends the threads and removes what is left of uploads."""
    self._threads.shutdown()
    self._drawers.shutdown()
    self._directory.cleanup()

  @contextlib.asynccontextmanager
  async def admit(
    self, request: Request, *, changes: bool = False
  ) -> AsyncIterator[None]:
    """A request that costs work is let in, for as long as the block.

    Args:
      request: the request.
      changes: whether it changes the database.

    Raises:
      HttpError: it may not change anything, its address asks too often, too
        many are inside, or the service is not ready.
    """
    if changes:
      check_token(
        request.headers.get("authorization"), self.service.config.token
      )
    self.service.ready()
    self._rate.take(request.client.host if request.client else "")
    with self.gate.enter():
      yield

  @contextlib.asynccontextmanager
  async def take_file(self, request: Request) -> AsyncIterator[Received]:
    """The file that a request brings; see `upload.receive`."""
    async with receive(
      request,
      pathlib.Path(self._directory.name),
      byte_limit=self.service.config.byte_limit,
      patience=self.service.config.patience,
    ) as received:
      yield received

  async def work(
    self, function: Callable[..., T], *values: Any, **options: Any
  ) -> T:
    """Calls a function in a thread of queries."""
    return await _call(self._threads, function, *values, **options)

  async def draw(self, function: Callable[..., T], *values: Any) -> T:
    """Calls a function in a thread of pictures."""
    return await _call(self._drawers, function, *values)


def remove_leftovers(directory: pathlib.Path) -> None:
  """Removes uploads that services which were killed could not remove."""
  for path in directory.glob(f"{_UPLOADS}*-*"):
    number = path.name.removeprefix(_UPLOADS).split("-")[0]
    if number.isdigit() and not _is_running(int(number)):
      shutil.rmtree(path, ignore_errors=True)  # others' are left alone


def _is_running(number: int) -> bool:
  if os.name == "nt":  # there, to ask in this way would end it
    return True
  try:
    os.kill(number, 0)
  except ProcessLookupError:
    return False
  except (OSError, OverflowError):
    return True
  return True


async def _call(
  threads: concurrent.futures.Executor,
  function: Callable[..., T],
  *values: Any,
  **options: Any,
) -> T:
  loop = asyncio.get_running_loop()
  return await loop.run_in_executor(
    threads, functools.partial(function, *values, **options)
  )
