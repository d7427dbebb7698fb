"""Child processes of bounded time and memory: they read and register meshes."""

import pathlib
from collections.abc import Mapping
from typing import Any

from dr3d.database.processed_model import ProcessedModel
from dr3d.database.reader import DatabaseReader
from dr3d.error import Dr3dError
from dr3d.mesh import Mesh
from dr3d.registration.surface import Fit
from dr3d.runtime.pool import Pool, WorkerError
from dr3d.server.http_error import HttpError
from dr3d.server.metric import Metrics
from dr3d.server.settings import ServerConfig
from dr3d.server.upload_reader import FaceLimitError

_FUNCTION = "dr3d.server.upload_reader:run"


class WorkerPool:
  """Processes that a damaged or malicious file may crash without harm."""

  def __init__(self, config: ServerConfig, metrics: Metrics):
    """Makes a pool.

    Args:
      config: limits of the processes.
      metrics: gets the seconds of each reading.
    """
    self._config = config
    self._metrics = metrics
    self._pool = Pool(_FUNCTION, limits=config.reading, count=config.readers)

  def read(
    self,
    path: pathlib.Path,
    name: str,
    *,
    reader: DatabaseReader,
    unit: str | None,
    preview: bool,
  ) -> ProcessedModel:
    """Reads an uploaded file.

    Args:
      path: of the file.
      name: replaces the path in messages.
      reader: its face budget and unit apply.
      unit: of a file that states none; None for that of the database.
      preview: whether to make a GLB for a viewer.

    Raises:
      HttpError: the file cannot be read, or too many others are being read.
    """
    with self._metrics.reading.time():
      result = self._call(
        "read",
        path=path,
        face_budget=reader.face_budget,
        unit=unit or reader.unit,
        face_limit=self._config.face_limit,
        preview=preview,
      )
    if isinstance(result, WorkerError):
      raise HttpError(422, f"{name} {result}.")
    if isinstance(result, Dr3dError):
      status = 413 if isinstance(result, FaceLimitError) else 422
      raise HttpError(status, str(result).replace(str(path), name))
    return result

  def register(
    self, mesh: Mesh, packed: Mapping[str, bytes]
  ) -> Mapping[str, Fit]:
    """As `verification.register_meshes`; empty if the process fails.

    The answer then has no distances, and the order of the votes.
    """
    fits = self._call("register", mesh=mesh, packed=packed)
    return {} if isinstance(fits, WorkerError) else fits

  def close(self) -> None:
    """Ends the processes."""
    self._pool.close()

  def _call(self, task: str, **arguments: Any) -> Any:
    try:
      return self._pool.call(
        {"task": task, **arguments}, timeout=self._config.timeout
      )
    except TimeoutError:
      raise HttpError(
        503,
        "too many files are being read: try again in a moment.",
        retry_after=5,
      ) from None
