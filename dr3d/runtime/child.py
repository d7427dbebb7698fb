"""A child process of a pool, as its parent sees it; see `worker`."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from dr3d.error import Dr3dError
from dr3d.runtime import codec, sandbox
from dr3d.runtime.worker import TIMEOUT, Job, read_message, write_message

_LOG = logging.getLogger("dr3d.runtime")
# Seconds after the limit of a call in which the child itself should end it.
_TIMEOUT_SLACK = 2.0
_ANSWER_HEAD = 4096  # bytes of a message besides the result
_CODE = (
  "import json, sys; job = json.loads(sys.argv[1]); sys.path[:] = job['path'];"
  " from dr3d.runtime.worker import serve; serve(job)"
)


class WorkerError(Dr3dError):
  """A call in a child process failed.

  The message is a predicate, to follow the name of the file.
  """


class StartError(Dr3dError):
  """A child cannot be started.

  Attributes:
    status: that it ended with.
  """

  def __init__(self, status: int):
    super().__init__(
      f"a child process cannot be started ({sys.executable} ended with status"
      f" {status}); use --jobs=0 to read files without one."
    )
    self.status = status


class EndedError(Exception):
  """A child has ended during a call.

  Attributes:
    status: that it ended with.
  """

  def __init__(self, status: int):
    super().__init__(status)
    self.status = status


class Child:
  """A process that answers calls one after the other; started when needed."""

  def __init__(self, job: Job):
    self._job = job
    self._process: subprocess.Popen | None = None
    self._timed_out = False
    self._stopped = False
    self.protections: list[str] = []

  @property
  def is_running(self) -> bool:
    """Whether the process was started and has not ended."""
    process = self._process  # another thread may end it meanwhile
    return process is not None and process.poll() is None

  def call(self, call: bytes) -> Any:
    """Returns the function's result, or the Dr3dError that it failed with.

    Raises:
      StartError: the process cannot be started.
      EndedError: it has ended.
    """
    process = self.start()
    try:
      kind, value = self._ask(process, call)
    except (OSError, EOFError, codec.CodecError) as error:
      status = self._end()
      if self._timed_out:
        return WorkerError(explain(TIMEOUT, self._job))
      _LOG.warning("a child process ended (%s, %s)", status, error)
      raise EndedError(status) from error
    if kind == "ended":
      return WorkerError(explain(value, self._job))
    if kind == "error" and isinstance(value, str):
      return WorkerError(value)
    return value

  def start(self) -> subprocess.Popen:
    """Starts the process unless it runs.

    Raises:
      Dr3dError: it cannot be started.
    """
    if self._process is not None and self.is_running:
      return self._process
    self._end()
    process = subprocess.Popen(
      [sys.executable, "-c", _CODE, json.dumps(self._job)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      env={
        **sandbox.clean_environment(),
        **(_list_access() if self._job["access"] == "all" else {}),
        # One thread for each child: the children share the cores.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
      },
    )
    self._process = process
    if self._stopped:
      process.kill()
    try:
      self.protections = _read_ready(process)
    except (OSError, EOFError, codec.CodecError) as error:
      raise StartError(self._end()) from error
    return process

  def stop(self) -> None:
    """Ends the process."""
    self._stopped = True
    if self._process is not None:
      self._process.kill()
      self._process.wait()

  def _ask(self, process: subprocess.Popen, call: bytes) -> list[Any]:
    """Sends a call and returns the answer, `[kind, value]`.

    Raises:
      OSError: the process has ended, as EOFError.
      CodecError: it answers with something else.
    """
    self._timed_out = False
    timer = threading.Timer(
      self._job["seconds"] + _TIMEOUT_SLACK, self._end_on_timeout, [process]
    )
    timer.start()
    try:
      write_message(process.stdin, call)
      limit = self._job["answer"] + _ANSWER_HEAD
      answer = codec.decode(read_message(process.stdout, limit=limit))
    finally:
      timer.cancel()
    is_answer = isinstance(answer, list) and len(answer) == 2
    if not is_answer or answer[0] not in ("done", "error", "ended"):
      raise codec.CodecError("an answer has another form")
    return answer

  def _end(self) -> int:
    """Ends the process, if any, and returns its exit status."""
    process, self._process = self._process, None
    if process is None:
      return 0
    process.kill()
    status = process.wait()
    for stream in (process.stdin, process.stdout):
      if stream is not None:
        with contextlib.suppress(OSError):  # a call that was not sent
          stream.close()
    return status

  def _end_on_timeout(self, process: subprocess.Popen) -> None:
    self._timed_out = True
    process.kill()


def explain(status: int | str, job: Job) -> str:
  """Says as a predicate why there is no result."""
  if status == TIMEOUT:
    return (
      f"is not done after {job['seconds']:g} seconds; allow more time or"
      " simplify it"
    )
  assert isinstance(status, int)
  if status < 0:  # a signal; never on Windows
    name = signal.Signals(-status).name
    if name == "SIGKILL":
      return "was ended by the system, most likely because memory ran out"
    return f"crashes its reader process ({name})"
  return f"ends its reader process with status {status}"


def _read_ready(process: subprocess.Popen) -> list[str]:
  """Waits until a child has imported all; returns its protections."""
  first = codec.decode(read_message(process.stdout, limit=_ANSWER_HEAD))
  if not isinstance(first, list) or first[:1] != ["ready"]:
    raise EOFError
  return first[1]


def _list_access() -> dict[str, str]:
  """Variables by which a child that may read all finds a shared database."""
  names = ("DR3D_CACHE", "XDG_CACHE_HOME", "HOME")
  return {
    name: value
    for name, value in os.environ.items()
    if name in names or name.startswith("PG")  # of PostgreSQL's library
  }
