"""A request that is rejected: an HTTP status and a sentence."""

import logging

from dr3d.error import (
  ConditionError,
  ConflictError,
  Dr3dError,
  EmptyError,
  LockError,
  MeshError,
)

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
    case MeshError():
      return HttpError(422, str(error))
  # The message may name folders of this machine, so only the log gets it.
  _LOG.error("%s", error)
  return HttpError(
    503, "the database cannot be used at present: the service's log says why."
  )
