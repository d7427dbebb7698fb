"""Makes one change at a time; meanwhile requests use the former state."""

import contextlib
import dataclasses
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from dr3d.database import postgres, shared
from dr3d.database.catalogue import FILE
from dr3d.database.embedding import EmbeddingPipeline
from dr3d.database.writer import Database
from dr3d.mesh import Mesh
from dr3d.server.batch import Batcher
from dr3d.server.http_error import HttpError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class SharedPipeline:
  """A pipeline whose calls run in the thread that owns it.

  Attributes:
    pipeline: the pipeline.
    batcher: the thread.
    timeout: seconds of a call.
  """

  pipeline: EmbeddingPipeline
  batcher: Batcher
  timeout: float

  @property
  def face_budget(self) -> int | None:
    """See `EmbeddingPipeline`."""
    return self.pipeline.face_budget

  @property
  def fingerprint(self) -> str:
    """See `EmbeddingPipeline`."""
    return self.pipeline.fingerprint

  def embed(self, meshes: list[Mesh]) -> np.ndarray:
    """See `EmbeddingPipeline`."""
    return self.batcher.call(
      lambda: self.pipeline.embed(meshes), timeout=self.timeout
    )

  def save(self, directory: pathlib.Path) -> None:
    """See `EmbeddingPipeline`."""
    self.pipeline.save(directory)


class Writer:
  """Changes a database, one change at a time.

  `stamp` tells whether another process has changed it.
  """

  def __init__(
    self, directory: pathlib.Path, *, timeout: float, engine: str = "auto"
  ):
    """Makes a writer.

    Args:
      directory: of the database.
      timeout: seconds that a change waits for the one before.
      engine: see `Database.open`.
    """
    self._directory = directory
    self._engine = engine
    self._timeout = timeout
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
      function: makes the change.
      pipeline: of the database.
      then: called after the change and before the next one.

    Raises:
      HttpError: the change before takes too long.
      DatabaseError: see `Database`.
    """
    with self.hold():
      database = Database.open(self._directory, engine=self._engine)
      if database.fingerprint == pipeline.fingerprint:
        database.pipeline = pipeline
      result = function(database)
      then()
      return result

  @contextlib.contextmanager
  def hold(self) -> Iterator[None]:
    """Makes other changes wait.

    Raises:
      HttpError: the change before takes too long.
    """
    if not self._lock.acquire(timeout=self._timeout):
      raise HttpError(
        503, "other changes are still being made: try again.", retry_after=5
      )
    try:
      yield
    finally:
      self._lock.release()

  def stamp(self) -> tuple[tuple[int, int], ...]:
    """Times and sizes of catalogue and index; any change alters them."""
    marks: list[tuple[int, int]] = []
    uri = shared.find_uri(self._directory)
    if uri is not None:
      with postgres.connect(self._directory, uri) as connection:
        state = connection.read_state()
        marks.append((0, 0 if state is None else state[2]))
    paths = [self._directory / name for name in (FILE, f"{FILE}-wal")]
    # A large index is built by another process, and replaced when it is ready.
    paths += sorted(self._directory.glob("index-*/manifest.json"))
    for path in paths:
      with contextlib.suppress(OSError):
        status = path.stat()
        if status.st_size:  # readers make and remove an empty one
          marks.append((status.st_mtime_ns, status.st_size))
    return tuple(marks)
