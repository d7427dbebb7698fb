"""Calls a function in child processes, with limits of time and memory.

A call that hangs, allocates too much or crashes its process fails alone: the
other calls and the caller continue. What calls may read, and which rights they
give up, is in `worker` and `sandbox`. Children are started by `subprocess`. A
fork would not be safe, because JAX runs threads, and `multiprocessing` would
import the caller's main module again.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import logging
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from dr3d.error import Dr3dError
from dr3d.runtime import codec, sandbox
from dr3d.runtime.worker import (
  TIMEOUT,
  Access,
  Job,
  read_message,
  write_message,
)

_LOG = logging.getLogger("dr3d.runtime")
# Seconds after the limit of a call in which the child itself should end it.
_TIMEOUT_SLACK = 2.0
_MAX_TRIES = 3  # of a call whose child ends
_SIGKILL = 9  # by which a system without memory, or an operator, ends processes
_ANSWER_HEAD = 4096  # bytes of a message besides the result
_QUEUED_CALLS = 4  # for each child, submitted before their results are read
_CHILD_CODE = (
  "import json, sys; job = json.loads(sys.argv[1]); sys.path[:] = job['path'];"
  " from dr3d.runtime.worker import serve; serve(job)"
)


class WorkerError(Dr3dError):
  """A call in a child process failed.

  The message is a predicate, to follow the name of the file.
  """


class LostWorkerError(WorkerError):
  """The child itself ended each time, which is not the call's fault."""


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


@dataclasses.dataclass(frozen=True)
class Limits:
  """Limits of one call.

  Attributes:
    seconds: wall-clock time.
    memory: bytes; only Linux enforces it.
    answer: bytes of its result.
  """

  seconds: float = 120.0
  memory: int = 4 << 30
  answer: int = 1 << 30


def call_each(
  function: str,
  arguments: Iterable[dict[str, Any]],
  *,
  limits: Limits,
  count: int,
  access: Access = "folder",
) -> Iterator[Any]:
  """Calls a function in child processes, once for each set of arguments.

  The first calls start at once. At most a few calls for each child are ahead of
  the results that were read, so memory does not grow with the number of calls.

  Args:
    function: "package.module:name"; its arguments and results are of the types
      that `codec` knows.
    arguments: keyword arguments of each call.
    limits: of each call.
    count: number of children, at least 1.
    access: what a call may read; see `worker.Access`.

  Returns:
    An iterator over the results, in the order of the arguments. The result of a
    call that failed is a Dr3dError: the one that the function raised, or a
    WorkerError.

  Raises:
    Dr3dError: the children cannot be started.
  """
  results = _call_each(function, arguments, limits, count, access)
  next(results)  # a generator runs nothing before its first value is read
  return results


def _call_each(
  function: str,
  arguments: Iterable[dict[str, Any]],
  limits: Limits,
  count: int,
  access: Access,
) -> Iterator[Any]:
  """Starts the first calls and yields None, then yields the results."""
  children = Pool(function, limits=limits, count=count, access=access)
  threads = concurrent.futures.ThreadPoolExecutor(count)
  waiting: collections.deque[concurrent.futures.Future] = collections.deque()
  todo = iter(arguments)
  try:
    for keywords in itertools.islice(todo, _QUEUED_CALLS * count):
      waiting.append(threads.submit(children.call, keywords))
    yield None
    while waiting:
      yield waiting.popleft().result()
      for keywords in itertools.islice(todo, 1):
        waiting.append(threads.submit(children.call, keywords))
  finally:
    for future in waiting:
      future.cancel()
    children.close()
    threads.shutdown()


class Pool:
  """Child processes that answer the calls of many threads until closed."""

  def __init__(
    self,
    function: str,
    *,
    limits: Limits,
    count: int,
    access: Access = "file",
  ):
    """Makes a pool; the first call that needs a child starts it.

    Args:
      function: see `call_each`.
      limits: of each call.
      count: number of children, at least 1.
      access: what a call may read; see `worker.Access`.
    """
    job = Job(
      path=sys.path,
      function=function,
      access=access,
      seconds=limits.seconds,
      memory=limits.memory,
      answer=limits.answer,
    )
    self._children = [_Child(job) for _ in range(count)]
    self._free: queue.SimpleQueue[_Child] = queue.SimpleQueue()
    for child in self._children:
      self._free.put(child)

  def call(
    self, keywords: dict[str, Any], *, timeout: float | None = None
  ) -> Any:
    """Calls the function in the next free child.

    Args:
      keywords: arguments of the function.
      timeout: seconds to wait for a free child; None waits without limit.

    Returns:
      The function's result, or a Dr3dError: the one that it raised, or a
      WorkerError.

    Raises:
      TimeoutError: no child became free.
      Dr3dError: a child cannot be started.
    """
    try:
      child = self._free.get(timeout=timeout)
    except queue.Empty:
      raise TimeoutError("no child process is free") from None
    try:
      return child.call(keywords)
    finally:
      self._free.put(child)

  def start(self) -> list[str]:
    """Starts a child, and names the protections that the kernel gives it.

    Raises:
      Dr3dError: a child cannot be started.
    """
    child = self._free.get()
    try:
      child.start()
      return child.protections
    finally:
      self._free.put(child)

  def close(self) -> None:
    """Ends all children, also those that are busy."""
    for child in self._children:
      child.stop()


class _Child:
  """A process that answers calls one after the other; started when needed."""

  def __init__(self, job: Job):
    self._job = job
    self._process: subprocess.Popen | None = None
    self._timed_out = False
    self._stopped = False
    self.protections: list[str] = []

  def call(self, keywords: dict[str, Any]) -> Any:
    """Returns the function's result, or the Dr3dError that it failed with.

    A child that has ended meanwhile, is killed while it starts, or ends during
    the call is not to blame on the call, which is repeated.
    """
    call, status = codec.encode(keywords), 0
    for tries in range(1, _MAX_TRIES + 1):
      if self._stopped:
        break
      try:
        answer = self._ask(self.start(), call)
      except StartError as error:
        if error.status != -_SIGKILL or tries == _MAX_TRIES:
          raise
        continue
      except (OSError, EOFError, codec.CodecError) as error:
        status = self._end()
        if self._timed_out:
          return WorkerError(self._explain(TIMEOUT))
        _LOG.warning("a child process ended (%s, %s)", status, error)
        continue
      if answer[0] == "ended":
        return WorkerError(self._explain(answer[1]))
      if answer[0] == "error" and isinstance(answer[1], str):
        return WorkerError(answer[1])
      return answer[1]
    return LostWorkerError(self._explain(status))

  def start(self) -> subprocess.Popen:
    """Starts the process unless it runs.

    Raises:
      Dr3dError: it cannot be started.
    """
    if self._process is not None and self._process.poll() is None:
      return self._process
    self._end()
    process = subprocess.Popen(
      [sys.executable, "-c", _CHILD_CODE, json.dumps(self._job)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      env={
        **sandbox.clean_environment(),
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

  def _explain(self, status: int | str) -> str:
    if status == TIMEOUT:
      return (
        f"is not done after {self._job['seconds']:g} seconds; allow more time"
        " or simplify it"
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
