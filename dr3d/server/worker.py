"""Child processes of bounded time and memory: they read and register meshes."""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dr3d.database.processed_model import ProcessedModel
from dr3d.database.reader import DatabaseReader
from dr3d.error import Dr3dError
from dr3d.image.cutout import CutOut
from dr3d.image.mask import Box
from dr3d.mesh import Mesh
from dr3d.registration.deviation import Deviation
from dr3d.registration.surface import Fit
from dr3d.runtime.pool import LostWorkerError, Pool, WorkerError
from dr3d.server.http_error import HttpError
from dr3d.server.limiter import Lanes
from dr3d.server.metric import Metrics
from dr3d.server.settings import ServerConfig
from dr3d.server.upload_reader import FaceLimitError

_LOG = logging.getLogger("dr3d.server")
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
    self._pool = Pool(
      _FUNCTION, limits=config.reading, count=config.readers, has_spare=True
    )
    self._lanes = Lanes(max(1, config.readers - 1))

  def read(
    self,
    path: pathlib.Path,
    name: str,
    *,
    reader: DatabaseReader,
    unit: str | None,
    preview: bool,
    address: str = "",
  ) -> ProcessedModel:
    """Reads an uploaded file.

    Args:
      path: of the file.
      name: replaces the path in messages.
      reader: its face budget and unit apply.
      unit: of a file that states none; None for that of the database.
      preview: whether to make a GLB for a viewer.
      address: who sent it. The files of one address leave at least one process
        to others, if there are several.

    Raises:
      HttpError: the file cannot be read, or too many others are being read.
    """
    with self._metrics.reading.time(), self._enter_lane(address):
      result = self._call(
        "read",
        path=path,
        face_budget=reader.face_budget,
        appearance=reader.appearance,
        unit=unit or reader.unit,
        face_limit=self._config.face_limit,
        preview=preview,
      )
    self._raise_failed(result, path, name)
    if not isinstance(result, ProcessedModel):
      raise HttpError(422, f"{name} cannot be read.")
    return result

  def cut_out(
    self,
    path: pathlib.Path,
    name: str,
    *,
    region: Box | None,
    address: str = "",
  ) -> CutOut:
    """Reads an uploaded photograph and cuts the thing out of it.

    Args:
      path: of the file.
      name: replaces the path in messages.
      region: a box around the thing; None for the whole photograph.
      address: see `read`.

    Raises:
      HttpError: it cannot be read or shows nothing, or too many others are
        being read.
    """
    with self._metrics.reading.time(), self._enter_lane(address):
      result = self._call("cut_out", path=path, region=region)
    self._raise_failed(result, path, name)
    if not isinstance(result, CutOut):
      raise HttpError(422, f"{name} cannot be read.")
    return dataclasses.replace(result, name=name)

  def read_picture(
    self, path: pathlib.Path, name: str, *, max_side: int, address: str = ""
  ) -> tuple[np.ndarray, float]:
    """Reads an uploaded photograph that is searched.

    Args:
      path: of the file.
      name: replaces the path in messages.
      max_side: a larger picture is reduced to it, pixels.
      address: see `read`.

    Returns:
      uint8 `[H, W, 3]`, and its size relative to that of the upload.

    Raises:
      HttpError: it cannot be read, or too many others are being read.
    """
    with self._metrics.reading.time(), self._enter_lane(address):
      result = self._call("read_picture", path=path, max_side=max_side)
    self._raise_failed(result, path, name)
    try:
      pixels, scale = np.asarray(result["pixels"]), float(result["scale"])
    except (TypeError, LookupError, ValueError):
      raise HttpError(422, f"{name} cannot be read.") from None
    # The process may be taken over by what it reads.
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
      raise HttpError(422, f"{name} cannot be read.")
    if max(pixels.shape) > max_side or not 0 < scale <= 1:
      raise HttpError(422, f"{name} cannot be read.")
    return pixels, scale

  def register(
    self, mesh: Mesh, packed: Mapping[str, bytes]
  ) -> Mapping[str, Fit] | None:
    """As `verification.register_meshes`; None if the process fails twice.

    The answer then has no distances and the order of the votes, and the caller
    must say so.
    """
    for _ in range(2):
      fits = self._call("register", mesh=mesh, packed=packed)
      if _is_fits(fits):
        return fits
      _LOG.error("matches cannot be registered: %s", fits)
    self._metrics.unverified.inc()
    return None

  def overlay(self, mesh: Mesh, packed: bytes) -> Deviation:
    """As `upload_reader.overlay`.

    Raises:
      HttpError: the process fails twice.
    """
    for _ in range(2):
      found = self._call("overlay", mesh=mesh, packed=packed)
      if isinstance(found, Deviation):
        return found
      _LOG.error("a deviation cannot be measured: %s", found)
    raise HttpError(
      503, "the models cannot be compared now: try again.", retry_after=2
    )

  def start(self) -> list[str]:
    """Starts a process, and names the protections that the kernel gives it.

    Raises:
      Dr3dError: it cannot be started.
    """
    return self._pool.start()

  def close(self) -> None:
    """Ends the processes."""
    self._pool.close()

  def _raise_failed(self, result: Any, path: pathlib.Path, name: str) -> None:
    """Raises an HttpError if a process could not read a file."""
    if isinstance(result, LostWorkerError):
      raise HttpError(
        503, "the process that reads files was ended: try again.", retry_after=2
      )
    if isinstance(result, WorkerError):
      raise HttpError(422, f"{name} {result}.")
    if isinstance(result, Dr3dError):
      status = 413 if isinstance(result, FaceLimitError) else 422
      # A parser may name the folder alone, or another file in it.
      text = str(result).replace(str(path), name)
      raise HttpError(status, text.replace(f"{path.parent}/", ""))

  @contextlib.contextmanager
  def _enter_lane(self, address: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
      try:
        stack.enter_context(
          self._lanes.enter(address, timeout=self._config.timeout)
        )
      except TimeoutError:
        raise _busy() from None
      yield

  def _call(self, task: str, **arguments: Any) -> Any:
    try:
      result = self._pool.call(
        {"task": task, **arguments}, timeout=self._config.timeout
      )
    except TimeoutError:
      raise _busy() from None
    if isinstance(result, WorkerError):
      self._metrics.workers_lost.inc()
    return result


def _is_fits(value: Any) -> bool:
  """Whether a process has answered with fits; it may be taken over."""
  return isinstance(value, dict) and all(
    isinstance(fit, Fit) for fit in value.values()
  )


def _busy() -> HttpError:
  return HttpError(
    503, "too many files are being read: try again in a moment.", retry_after=5
  )
