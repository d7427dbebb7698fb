"""Calls a function in child processes, with limits of time and memory.

A call that hangs, allocates too much or crashes its process fails alone: the
other calls and the caller continue. Children are started by `subprocess`. A
fork would not be safe, because JAX runs threads, and `multiprocessing` would
import the caller's main module again.
"""

import collections
import concurrent.futures
import dataclasses
import itertools
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from dr3d.error import Dr3dError
from dr3d.runtime.worker import read_message, write_message

_QUEUED_CALLS = 4  # for each child, submitted before their results are read
_CHILD_CODE = (
  "import json, sys; job = json.loads(sys.argv[1]); sys.path[:] = job['path'];"
  " from dr3d.runtime.worker import serve; serve(job)"
)


class WorkerError(Dr3dError):
  """A call in a child process failed.

  The message is a predicate, to follow the name of the file.
  """


@dataclasses.dataclass(frozen=True)
class Limits:
  """Limits of one call.

  Attributes:
    seconds: wall-clock time.
    memory: bytes; only Linux enforces it.
  """

  seconds: float = 120.0
  memory: int = 4 << 30


def call_each(
  function: str,
  arguments: Iterable[dict[str, Any]],
  *,
  limits: Limits,
  count: int,
) -> Iterator[Any]:
  """Calls a function in child processes, once for each set of arguments.

  The first calls start at once. At most a few calls for each child are ahead of
  the results that were read, so memory does not grow with the number of calls.

  Args:
    function: "package.module:name"; its arguments and results are pickled.
    arguments: keyword arguments of each call.
    limits: of each call.
    count: number of children, at least 1.

  Returns:
    An iterator over the results, in the order of the arguments. The result of a
    call that failed is a Dr3dError: the one that the function raised, or a
    WorkerError.

  Raises:
    Dr3dError: the children cannot be started.
  """
  results = _call_each(function, arguments, limits, count)
  next(results)  # a generator runs nothing before its first value is read
  return results


def _call_each(
  function: str,
  arguments: Iterable[dict[str, Any]],
  limits: Limits,
  count: int,
) -> Iterator[Any]:
  """Starts the first calls and yields None, then yields the results."""
  children = Pool(function, limits=limits, count=count)
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

  def __init__(self, function: str, *, limits: Limits, count: int):
    """Makes a pool; the first call that needs a child starts it.

    Args:
      function: see `call_each`.
      limits: of each call.
      count: number of children, at least 1.
    """
    self._children = [_Child(function, limits) for _ in range(count)]
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

  def close(self) -> None:
    """Ends all children, also those that are busy."""
    for child in self._children:
      child.stop()


class _Child:
  """A process that answers calls one after the other; started when needed."""

  def __init__(self, function: str, limits: Limits):
    self._job = {
      "path": sys.path,
      "function": function,
      **dataclasses.asdict(limits),
    }
    self._limits = limits
    self._process: subprocess.Popen | None = None
    self._timed_out = False
    self._stopped = False

  def call(self, keywords: dict[str, Any]) -> Any:
    """Returns the function's result, or the Dr3dError that it failed with."""
    process = self._process or self._start()
    self._timed_out = False
    timer = threading.Timer(
      self._limits.seconds, self._end_on_timeout, [process]
    )
    timer.start()
    try:
      write_message(process.stdin, keywords)
      kind, value = read_message(process.stdout)
    except (OSError, EOFError, pickle.UnpicklingError):
      process.kill()
      self._process = None
      return WorkerError(self._explain(process.wait()))
    finally:
      timer.cancel()
    if kind == "error" and not isinstance(value, Dr3dError):
      return WorkerError(value)
    return value

  def stop(self) -> None:
    """Ends the process."""
    self._stopped = True
    if self._process is not None:
      self._process.kill()
      self._process.wait()

  def _start(self) -> subprocess.Popen:
    process = subprocess.Popen(
      [sys.executable, "-c", _CHILD_CODE, json.dumps(self._job)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      # One thread for each child: the children share the cores.
      env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    self._process = process
    if self._stopped:
      process.kill()
    try:
      if read_message(process.stdout) != ("ready", None):
        raise EOFError
    except (OSError, EOFError, pickle.UnpicklingError) as error:
      process.kill()
      raise Dr3dError(
        f"a child process cannot be started ({sys.executable} ended with"
        f" status {process.wait()}); use --jobs=0 to read files without one."
      ) from error
    return process

  def _end_on_timeout(self, process: subprocess.Popen) -> None:
    self._timed_out = True
    process.kill()

  def _explain(self, status: int) -> str:
    if self._timed_out:
      return (
        f"is not done after {self._limits.seconds:g} seconds; allow more time"
        " or simplify it"
      )
    if status < 0:  # a signal; never on Windows
      name = signal.Signals(-status).name
      if name == "SIGKILL":
        return "was ended by the system, most likely because memory ran out"
      return f"crashes its reader process ({name})"
    return f"ends its reader process with status {status}"
