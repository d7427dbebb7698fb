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

from dr3d.data.folder import ModelFile
from dr3d.server.limiter import ConcurrencyLimiter, RateLimiter
from dr3d.server.security import check_token
from dr3d.server.service import Service
from dr3d.server.upload import receive

T = TypeVar("T")

_UPLOAD_PREFIX = "dr3d-uploads-"  # followed by the process id
_MAX_PREVIEWS = 64  # requests for previews at once
_PREVIEW_THREADS = 2  # more would only wait for the pipeline's thread


class RequestContext:
  """Threads and limits of an application.

  Attributes:
    service: answers the requests.
    previews: limits requests for previews. They have threads of their own, so
      that neither they nor queries hold up the other.
  """

  def __init__(self, service: Service):
    """Makes a context."""
    config = service.config
    self.service = service
    self.previews = ConcurrencyLimiter(_MAX_PREVIEWS, lambda count: None)
    self._queries = ConcurrencyLimiter(config.queue, service.metrics.inside.set)
    self._rate = RateLimiter(config.rate, config.burst)
    self._query_threads = concurrent.futures.ThreadPoolExecutor(
      config.queue, thread_name_prefix="query"
    )
    self._preview_threads = concurrent.futures.ThreadPoolExecutor(
      _PREVIEW_THREADS, thread_name_prefix="preview"
    )
    remove_leftovers(pathlib.Path(tempfile.gettempdir()))
    self._directory = tempfile.TemporaryDirectory(
      prefix=f"{_UPLOAD_PREFIX}{os.getpid()}-"
    )

  def close(self) -> None:
    """Ends the threads and removes remaining uploads."""
    self._query_threads.shutdown()
    self._preview_threads.shutdown()
    self._directory.cleanup()

  @contextlib.asynccontextmanager
  async def admit(
    self, request: Request, *, changes: bool = False
  ) -> AsyncIterator[None]:
    """Admits a request that costs work, for the duration of the block.

    Args:
      request: the request.
      changes: whether it changes the database.

    Raises:
      HttpError: it may not change anything, its address sends too many, too
        many are active, or the service is not ready.
    """
    if changes:
      check_token(
        request.headers.get("authorization"), self.service.config.token
      )
    self.service.check_ready()
    self._rate.take(request.client.host if request.client else "")
    with self._queries.enter():
      yield

  @contextlib.asynccontextmanager
  async def receive(self, request: Request) -> AsyncIterator[ModelFile]:
    """Receives the file of a request; see `upload.receive`."""
    async with receive(
      request,
      pathlib.Path(self._directory.name),
      byte_limit=self.service.config.byte_limit,
      timeout=self.service.config.timeout,
    ) as file:
      yield file

  async def run(self, function: Callable[..., T], *arguments: Any) -> T:
    """Calls a function in a thread for queries."""
    return await _call(self._query_threads, function, *arguments)

  async def run_preview(self, function: Callable[..., T], *arguments: Any) -> T:
    """Calls a function in a thread for previews."""
    return await _call(self._preview_threads, function, *arguments)


def remove_leftovers(directory: pathlib.Path) -> None:
  """Removes uploads of services that were killed."""
  for path in directory.glob(f"{_UPLOAD_PREFIX}*-*"):
    number = path.name.removeprefix(_UPLOAD_PREFIX).split("-")[0]
    if number.isdigit() and not _is_running(int(number)):
      shutil.rmtree(path, ignore_errors=True)  # another user's remains


def _is_running(number: int) -> bool:
  if os.name == "nt":  # os.kill would end the process there
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
  *arguments: Any,
) -> T:
  loop = asyncio.get_running_loop()
  return await loop.run_in_executor(
    threads, functools.partial(function, *arguments)
  )
