"""A request that is rejected: an HTTP status and a sentence."""

import errno
import http
import json
import logging
import sqlite3
from collections.abc import Iterator
from typing import TypedDict

from dr3d.error import (
  ConditionError,
  ConflictError,
  Dr3dError,
  EmptyError,
  LockError,
  MeshError,
  PictureError,
)

PROBLEM = "application/problem+json"
"""Media type of what `to_problem` returns."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOG = logging.getLogger("dr3d.server")


class HttpError(Dr3dError):
  """A request is rejected.

  Attributes:
    status: of HTTP.
    retry_after: seconds after which a retry may succeed; None if it will not.
  """

  def __init__(
    self, status: int, message: str, *, retry_after: int | None = None
  ):
    super().__init__(message)
    self.status = status
    self.retry_after = retry_after

  @property
  def headers(self) -> dict[str, str]:
    """Headers of the response."""
    headers = {}
    if self.retry_after is not None:
      headers["Retry-After"] = str(self.retry_after)
    if self.status == 401:
      headers["WWW-Authenticate"] = "Bearer"
    return headers


class ProblemDict(TypedDict):
  """A problem document (RFC 9457, 3.1)."""

  type: str
  title: str
  status: int
  detail: str


def to_problem(status: int, detail: str) -> ProblemDict:
  """Describes a rejection (RFC 9457).

  Args:
    status: of HTTP.
    detail: one sentence that says what to do.
  """
  try:
    title = http.HTTPStatus(status).phrase
  except ValueError:
    title = "Error"
  # "about:blank": the problem is what the status says (RFC 9457, 4.2.1).
  return {
    "type": "about:blank",
    "title": title,
    "status": status,
    "detail": detail,
  }


def encode_problem(status: int, detail: str) -> bytes:
  """Returns `to_problem` as JSON."""
  return json.dumps(to_problem(status, detail)).encode()


def to_http_error(error: Dr3dError) -> HttpError:
  """Returns the response that an error of the library leads to."""
  match error:
    case HttpError():
      return error
    case LockError():
      return HttpError(
        503,
        "another process is writing to the database: try again.",
        retry_after=5,
      )
    case EmptyError():
      return HttpError(
        409, "the database has no indexed model yet: add models first."
      )
    case ConflictError():
      return HttpError(409, str(error))
    case ConditionError():
      return HttpError(400, str(error))
    case MeshError() | PictureError():
      return HttpError(422, str(error))
  # The message may name folders of this machine, so only the log gets it.
  _LOG.error("%s", error)
  if is_disk_full(error):
    return disk_full()
  return HttpError(
    503, "the database cannot be used at present: the service's log says why."
  )


def disk_full() -> HttpError:
  """The response if nothing more can be stored."""
  return HttpError(
    507,
    "the disk of the service is full: remove models, or tell its operator.",
  )


def is_disk_full(error: BaseException) -> bool:
  """Whether an error, or one that led to it, is that of a full disk."""
  for cause in _list_causes(error):
    if isinstance(cause, OSError) and cause.errno in _FULL:
      return True
    code = getattr(cause, "sqlite_errorcode", None)
    if isinstance(cause, sqlite3.Error) and code == sqlite3.SQLITE_FULL:
      return True
  return False


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
  """Yields an error and those that led to it."""
  seen: set[int] = set()
  while error is not None and id(error) not in seen:
    seen.add(id(error))
    yield error
    error = error.__cause__ or error.__context__
