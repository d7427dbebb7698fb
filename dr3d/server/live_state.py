"""The state that requests are answered from, kept up to date by a thread."""

import logging
import pathlib
import threading
from collections.abc import Callable
from typing import Literal, TypeVar

from dr3d.data import folder
from dr3d.database import shared
from dr3d.database.embedding import LoadPipeline
from dr3d.database.writer import Database
from dr3d.error import DatabaseError, LockError
from dr3d.server.batch import Batcher
from dr3d.server.http_error import HttpError
from dr3d.server.metric import Metrics
from dr3d.server.settings import ServerConfig
from dr3d.server.state import State, read_state
from dr3d.server.warmup import warm_up
from dr3d.server.writer import SharedPipeline, Writer

T = TypeVar("T")
Status = Literal["warming", "ready", "stale", "failed"]

_LOG = logging.getLogger("dr3d.server")
_POLL_SECONDS = 2.0  # between checks for changes by other processes
# Failed refreshes in a row: so many until the service says that its state is
# old, and one line in the log for each so many.
_MAX_FAILURES, _LOGGED_FAILURES = 5, 30


class LiveState:
  """The present state of a database, which other processes may change.

  Attributes:
    now: the state; a request uses one from its beginning to its end.
    status: whether it is ready; "stale" if it could not be refreshed for some
      time.
    error: why it failed.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    config: ServerConfig,
    batcher: Batcher,
    metrics: Metrics,
    *,
    load_pipeline: LoadPipeline | None = None,
  ):
    """Reads the database; `start` makes the state ready and follows changes.

    Args:
      directory: of the database.
      config: limits of the service.
      batcher: the thread that embeds.
      metrics: of the service.
      load_pipeline: see `DatabaseReader.open`.

    Raises:
      DatabaseError: the directory holds no database, or a damaged one.
    """
    self.status: Status = "warming"
    self.error = ""
    self._directory = directory
    self._config = config
    self._batcher = batcher
    self._metrics = metrics
    self._load_pipeline = load_pipeline
    self._writer = Writer(
      directory, timeout=config.timeout, engine=config.engine
    )
    self._stamp: tuple[tuple[int, int], ...] = ()
    self._closing = threading.Event()
    self.now = read_state(
      directory, load_pipeline=load_pipeline, engine=config.engine
    )

  def start(
    self, *, before: Callable[[], None], after: Callable[[], None]
  ) -> None:
    """Starts the thread that makes the state ready and follows changes.

    Args:
      before: called first, in the thread.
      after: called when the state is ready, in the thread.
    """
    threading.Thread(
      target=self._watch, args=(before, after), daemon=True
    ).start()

  def close(self) -> None:
    """Ends the thread."""
    self._closing.set()

  def check_ready(self) -> State:
    """Returns the state to answer from.

    Raises:
      HttpError: it is not ready.
    """
    if self.status == "warming":
      raise HttpError(
        503, "the service is warming up: try again.", retry_after=5
      )
    if self.status == "failed":
      raise HttpError(503, f"the service could not start: {self.error}")
    return self.now

  def change(self, function: Callable[[Database], T]) -> T:
    """Changes the database, and returns when requests see the change."""
    return self._writer.change(
      function, self._share_pipeline(), then=self._refresh
    )

  def _share_pipeline(self) -> SharedPipeline:
    return SharedPipeline(
      self.now.reader.pipeline, self._batcher, self._config.timeout
    )

  def _refresh(self) -> None:
    """Reads the database again; the caller makes other changes wait."""
    stamp = self._writer.stamp()
    before = self.now.reader
    state = read_state(
      self._directory,
      pipeline=before.pipeline,
      load_pipeline=self._load_pipeline,
      engine=self._config.engine,
    )
    if state.reader.fingerprint != before.fingerprint:
      warm_up(state, self._batcher)
    self.now, self._stamp = state, stamp

  def _watch(
    self, before: Callable[[], None], after: Callable[[], None]
  ) -> None:
    """Warms up; then follows changes by other processes until `close`."""
    try:
      before()
      while not self._make_ready():
        self._closing.wait(_POLL_SECONDS)
      self.status = "ready"
      after()
    except Exception as error:
      # The page shows the reason, and must not tell where the database is.
      reason = str(error).replace(str(self._directory), self._directory.name)
      self.status, self.error = "failed", folder.to_text(reason)
      _LOG.error("%s", reason)
      return
    failures = 0
    while not self._closing.wait(_POLL_SECONDS):
      try:
        self._follow()
      # The former state answers until the next attempt. Whatever the error is,
      # this thread must live, or no later change would be seen.
      except Exception as error:
        failures += 1
        self._note_failed_refresh(error, failures)
      else:
        failures = 0
        self._metrics.refreshes_failed_in_row.set(0)
        if not self._closing.is_set():
          self.status, self.error = "ready", ""

  def _make_ready(self) -> bool:
    """Warms up; False if the server of a shared database was away meanwhile."""
    try:
      warm_up(self.now, self._batcher)
      with self._writer.hold():
        self._recover()
        self._refresh()
    except DatabaseError as error:
      if shared.find_uri(self._directory) is None or self._closing.is_set():
        raise
      _LOG.warning("the service is not ready yet: %s", error)
      return False
    return True

  def _follow(self) -> None:
    """Reads the database again if another process has changed it."""
    if self._writer.stamp() != self._stamp:
      with self._writer.hold():
        self._refresh()

  def _note_failed_refresh(self, error: Exception, failures: int) -> None:
    """Counts a failure, logs some of many, and says that the state is old."""
    self._metrics.refreshes_failed.inc()
    self._metrics.refreshes_failed_in_row.set(failures)
    if failures == 1 or failures % _LOGGED_FAILURES == 0:
      _LOG.error(
        "changes of the database cannot be read (attempt %d, %s: %s)",
        failures,
        type(error).__name__,
        error,
      )
    if failures >= _MAX_FAILURES:
      self.status = "stale"
      self.error = "changes of the database cannot be read: see the log."

  def _recover(self) -> None:
    """Indexes what a service accepted before it was killed."""
    database = Database.open(self._directory, engine=self._config.engine)
    database.pipeline = self._share_pipeline()
    try:
      database.recover()
    except LockError:  # the process that writes now, or the next start, will
      return
