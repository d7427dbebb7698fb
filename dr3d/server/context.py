"""What the routes of one application share: threads, limits, uploads."""

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from starlette.requests import Request

from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError
from dr3d.server.admission import IDENTITY, find_address
from dr3d.server.audit import Action
from dr3d.server.http_error import to_http_error
from dr3d.server.limiter import ConcurrencyLimiter
from dr3d.server.service import Service
from dr3d.server.token import Identity
from dr3d.server.upload import receive, receive_query

T = TypeVar("T")

_UPLOAD_PREFIX = "dr3d-uploads-"  # followed by the process id
_MAX_PREVIEWS = 64  # requests for previews at once
_PREVIEW_THREADS = 2  # more would only wait for the pipeline's thread


class RequestContext:
  """Threads and limits of an application.

  Requests for previews have threads of their own, so that neither they nor
  queries hold up the other.

  Attributes:
    service: answers the requests.
  """

  def __init__(self, service: Service):
    """Makes a context."""
    config = service.config
    self.service = service
    self._previews = ConcurrencyLimiter(_MAX_PREVIEWS)
    self._uploads = ConcurrencyLimiter(2 * config.queue)
    self._queries = ConcurrencyLimiter(config.queue, service.metrics.inside.set)
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

  @contextlib.contextmanager
  def admit(self, request: Request) -> Iterator[None]:
    """Admits a request that costs work, for the duration of the block.

    Raises:
      HttpError: too many are active, or the service is not ready.
    """
    self.service.check_ready()
    with self._queries.enter(find_address(request.scope)):
      yield

  @contextlib.contextmanager
  def admit_preview(self, request: Request) -> Iterator[None]:
    """Admits a request for a picture, a mesh or a file; see `admit`."""
    with self._previews.enter(find_address(request.scope)):
      yield

  @contextlib.contextmanager
  def admit_upload(self, request: Request) -> Iterator[None]:
    """Admits a request while its body arrives; see `admit`."""
    self.service.check_ready()
    with self._uploads.enter(find_address(request.scope)):
      yield

  @contextlib.asynccontextmanager
  async def receive(self, request: Request) -> AsyncIterator[ModelFile]:
    """Receives the file of a request; see `upload.receive`.

    It does not count as a query until it is complete, because a slow one would
    keep others from their answers.
    """
    with self.admit_upload(request):
      async with receive(
        request,
        pathlib.Path(self._directory.name),
        byte_limit=self.service.config.byte_limit,
      ) as file:
        yield file

  @contextlib.asynccontextmanager
  async def receive_query(
    self, request: Request
  ) -> AsyncIterator[list[ModelFile]]:
    """Receives a mesh file or photographs; see `upload.receive_query`."""
    self.service.check_ready()
    with self._uploads.enter(find_address(request.scope)):
      async with receive_query(
        request,
        pathlib.Path(self._directory.name),
        byte_limit=self.service.config.byte_limit,
      ) as files:
        yield files

  @contextlib.contextmanager
  def audit(
    self,
    request: Request,
    what: Action,
    model: str | None,
    detail: str | None = None,
  ) -> Iterator[None]:
    """Writes a change to the audit log, whether or not it succeeds."""
    identity: Identity = request.scope["state"][IDENTITY]
    status = 200
    try:
      yield
    except Dr3dError as error:
      status = to_http_error(error).status
      raise
    except BaseException:
      status = 500
      raise
    finally:
      self.service.audit.write(
        what,
        who=identity.name,
        address=find_address(request.scope),
        model=model,
        detail=detail,
        status=status,
      )

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
