"""One change after the other; requests go on, with the state before."""

import contextlib
import dataclasses
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from dr3d.database.catalogue import FILE
from dr3d.database.embedding import EmbeddingPipeline
from dr3d.database.writer import Database
from dr3d.server.batch import Batcher
from dr3d.server.http_error import HttpError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class SharedPipeline:
  """A pipeline whose work is done by the thread that owns it.

  Attributes:
    pipeline: the pipeline.
    batcher: the thread.
    patience: seconds that a call may take.
  """

  pipeline: EmbeddingPipeline
  batcher: Batcher
  patience: float

  @property
  def face_budget(self) -> int | None:
    """See `EmbeddingPipeline`."""
    return self.pipeline.face_budget

  @property
  def fingerprint(self) -> str:
    """See `EmbeddingPipeline`."""
    return self.pipeline.fingerprint

  def embed(self, meshes: list[Any]) -> np.ndarray:
    """See `EmbeddingPipeline`."""
    return self.batcher.call(
      lambda: self.pipeline.embed(meshes), patience=self.patience
    )

  def save(self, directory: pathlib.Path) -> None:
    """See `EmbeddingPipeline`."""
    self.pipeline.save(directory)


class Writer:
  """Changes a database, one change at a time.

  Changes that other processes make are seen by `stamp`.
  """

  def __init__(self, directory: pathlib.Path, *, patience: float):
    """Makes a writer.

    Args:
      directory: of the database.
      patience: seconds that a change waits for the one before.
    """
    self._directory = directory
    self._patience = patience
    self._lock = threading.Lock()

  def change(
    self,
    function: Callable[[Database], T],
    pipeline: SharedPipeline,
    *,
    then: Callable[[], None],
  ) -> T:
    """Changes the database.

    Args:
      function: is given the database.
      pipeline: of the database.
      then: is called when it is done, before the next change.

    Raises:
      HttpError: the change before takes too long.
      DatabaseError: see `Database`.
    """
    with self.hold():
      database = Database.open(self._directory)
      if database.fingerprint == pipeline.fingerprint:
        database.pipeline = pipeline
      result = function(database)
      then()
      return result

  @contextlib.contextmanager
  def hold(self) -> Iterator[None]:
    """Keeps changes out.

    Raises:
      HttpError: the change before takes too long.
    """
    if not self._lock.acquire(timeout=self._patience):
      raise HttpError(
        503, "other changes are still being made: try again.", wait=5
      )
    try:
      yield
    finally:
      self._lock.release()

  def stamp(self) -> tuple:
    """What differs after any process has changed the catalogue."""
    marks: list[tuple[int, int]] = []
    for name in (FILE, f"{FILE}-wal"):
      with contextlib.suppress(OSError):
        status = (self._directory / name).stat()
        if status.st_size:  # an empty one comes and goes with readers
          marks.append((status.st_mtime_ns, status.st_size))
    return tuple(marks)
