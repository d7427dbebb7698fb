"""Work that a service repeats beside its requests, in a thread of its own."""

import logging
import threading
from collections.abc import Callable

from prometheus_client import Counter

_LOG = logging.getLogger("dr3d.server")
_RETRY_SECONDS = 600.0  # after a failure
_JOIN_SECONDS = 10.0  # then the thread ends with the process
_MAX_SLEEP = 3600.0  # seconds; a clock that was set is then noticed


class BackgroundTask:
  """Calls a function when its time has come, or when someone asks for it.

  Attributes:
    is_running: whether the function runs now.
    error: why the last call failed; empty if it did not.
  """

  def __init__(
    self,
    what: str,
    function: Callable[["BackgroundTask"], None],
    *,
    seconds_left: Callable[[], float | None],
    failures: Counter,
  ):
    """Makes a task; `start` starts its thread.

    Args:
      what: a noun for the log, as in "the backup failed".
      function: called with this task, which it asks whether to end early.
      seconds_left: until the next call; None if it waits for `request`.
      failures: counts calls that raised.
    """
    self.is_running = False
    self.error = ""
    self._what = what
    self._function = function
    self._seconds_left = seconds_left
    self._failures = failures
    self._requested = threading.Event()
    self._closing = threading.Event()
    self._thread = threading.Thread(target=self._repeat, daemon=True, name=what)

  @property
  def is_pending(self) -> bool:
    """Whether the function runs, or was asked for."""
    return self.is_running or self._requested.is_set()

  def start(self) -> None:
    """Starts the thread."""
    self._thread.start()

  def request(self) -> None:
    """Asks for a call as soon as possible, after one that runs."""
    self._requested.set()

  def close(self) -> None:
    """Ends the thread, if its function ends soon."""
    self._closing.set()
    self._requested.set()
    if self._thread.is_alive():
      self._thread.join(_JOIN_SECONDS)

  def pause(self, seconds: float) -> bool:
    """Waits within a call; returns whether the call should end early."""
    return self._closing.wait(seconds)

  def _repeat(self) -> None:
    while not self._closing.is_set():
      left = self._seconds_left()
      if left is not None and self.error:
        left = max(left, _RETRY_SECONDS)
      wait = _MAX_SLEEP if left is None else min(left, _MAX_SLEEP)
      is_due = self._requested.wait(max(0.0, wait)) or left == wait
      if is_due and not self._closing.is_set():
        self._requested.clear()
        self._call()

  def _call(self) -> None:
    """Calls the function once; a failure must not end the thread."""
    self.is_running = True
    try:
      self._function(self)
    except Exception as error:
      self._failures.inc()
      self.error = f"{type(error).__name__}: {error}"
      _LOG.error("the %s failed (%s)", self._what, self.error)
    else:
      self.error = ""
    finally:
      self.is_running = False
