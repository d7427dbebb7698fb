"""A request that is not answered: a status of HTTP and a sentence."""

import logging

from dr3d.error import (
  ConditionError,
  Dr3dError,
  EmptyError,
  LockError,
  MeshError,
)

_LOG = logging.getLogger("dr3d.server")


class HttpError(Dr3dError):
  """A request that is refused.

  Attributes:
    status: of HTTP.
    wait: seconds after which to ask again; None where that is of no use.
  """

  def __init__(self, status: int, message: str, *, wait: int | None = None):
    super().__init__(message)
    self.status = status
    self.wait = wait


def to_http_error(error: Dr3dError) -> HttpError:
  """The refusal that an error of the library amounts to."""
  if isinstance(error, HttpError):
    return error
  if isinstance(error, LockError):
    return HttpError(
      503, "another process is writing to the database: try again.", wait=5
    )
  if isinstance(error, EmptyError):
    return HttpError(
      409, "the database holds no indexed model yet: add models first."
    )
  if isinstance(error, ConditionError):
    return HttpError(400, str(error))
  if isinstance(error, MeshError):
    return HttpError(422, str(error))
  _LOG.error("%s", error)  # names folders, which are not for everyone
  return HttpError(
    503, "the database cannot be used at present: the service's log says why."
  )
