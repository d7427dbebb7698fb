"""A function called in child processes, bounded in time and memory.

What a child does, hang, eat memory or crash, ends that one call: the others
and the caller go on. The children are started as programs of their own, not
forked, because a process in which jax runs must not be forked, and not by
`multiprocessing`, which would run the caller's main module again.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import importlib
import itertools
import json
import os
import pathlib
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any

from dr3d.error import Dr3dError

_AHEAD = 4  # calls for each child that are begun before they are asked for
_GRACE = 5.0  # seconds, after which a child whose parent is gone ends itself
_HEAD = struct.Struct("<Q")
_CHILD = (
  "import json, sys; job = json.loads(sys.argv[1]); sys.path[:] = job['path'];"
  " from dr3d.runtime.pool import serve; serve(job)"
)


class WorkerError(Dr3dError):
  """A call in a child came to nothing; the message is a predicate."""


@dataclasses.dataclass(frozen=True)
class Limits:
  """What one call may take.

  Attributes:
    seconds: of the clock.
    memory: bytes, where the system keeps to it (Linux).
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
  """Calls a function in child processes for each of many arguments.

  The first calls are begun at once, and at most a few for each child are
  ahead of what has been asked for, so memory does not grow with the number of
  arguments.

  Args:
    function: "package.module:name"; what it takes and returns is pickled.
    arguments: keyword arguments of each call.
    limits: of each call.
    count: children, at least 1.

  Returns:
    An iterator: in the order of the arguments what the function returned, or a
    Dr3dError: the one that it raised, or a WorkerError.

  Raises:
    Dr3dError: the children cannot be started.
  """
  results = _call_each(function, arguments, limits, count)
  next(results)
  return results


def _call_each(
  function: str,
  arguments: Iterable[dict[str, Any]],
  limits: Limits,
  count: int,
) -> Iterator[Any]:
  """Begins the first calls and yields None, then the results."""
  children = Pool(function, limits=limits, count=count)
  threads = concurrent.futures.ThreadPoolExecutor(count)
  waiting: collections.deque[concurrent.futures.Future] = collections.deque()
  todo = iter(arguments)
  try:
    for keywords in itertools.islice(todo, _AHEAD * count):
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
  """Child processes that answer calls of many threads until it is closed."""

  def __init__(self, function: str, *, limits: Limits, count: int):
    """Makes a pool; a child is started by the first call that needs it.

    Args:
      function: see `call_each`.
      limits: of each call.
      count: children, at least 1.
    """
    self._children = [_Child(function, limits) for _ in range(count)]
    self._free: queue.SimpleQueue[_Child] = queue.SimpleQueue()
    for child in self._children:
      self._free.put(child)

  def call(
    self, keywords: dict[str, Any], *, patience: float | None = None
  ) -> Any:
    """Calls the function in a child, when one is free.

    Args:
      keywords: its arguments.
      patience: seconds to wait for a child; without end where None.

    Returns:
      What it returned, or a Dr3dError: the one that it raised, or a
      WorkerError.

    Raises:
      TimeoutError: no child became free.
      Dr3dError: a child cannot be started.
    """
    try:
      child = self._free.get(timeout=patience)
    except queue.Empty:
      raise TimeoutError("no child process is free") from None
    try:
      return child.call(keywords)
    finally:
      self._free.put(child)

  def close(self) -> None:
    """Ends all children, whatever they are at."""
    for child in self._children:
      child.stop()


class _Child:
  """A process that answers one call after the other; begun when first used."""

  def __init__(self, function: str, limits: Limits):
    self._job = {
      "path": sys.path,
      "function": function,
      **dataclasses.asdict(limits),
    }
    self._limits = limits
    self._process: subprocess.Popen | None = None
    self._late = False
    self._stopped = False

  def call(self, keywords: dict[str, Any]) -> Any:
    """Returns what the function returned, or the Dr3dError it ended in."""
    process = self._process or self._start()
    self._late = False
    timer = threading.Timer(self._limits.seconds, self._end_late, [process])
    timer.start()
    try:
      _write(process.stdin, keywords)
      kind, value = _read(process.stdout)
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
      [sys.executable, "-c", _CHILD, json.dumps(self._job)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      # one child, one core: the children share the machine with the caller
      env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    self._process = process
    if self._stopped:
      process.kill()
    try:
      if _read(process.stdout) != ("ready", None):
        raise EOFError
    except (OSError, EOFError, pickle.UnpicklingError) as error:
      process.kill()
      raise Dr3dError(
        f"a process to read files in cannot be started ({sys.executable} "
        f"ended with status {process.wait()}); --jobs=0 does without."
      ) from error
    return process

  def _end_late(self, process: subprocess.Popen) -> None:
    self._late = True
    process.kill()

  def _explain(self, status: int) -> str:
    if self._late:
      return (
        f"is not done after {self._limits.seconds:g} seconds; allow more, or "
        "simplify it"
      )
    if status < 0:  # never so on Windows
      name = signal.Signals(-status).name
      if name == "SIGKILL":
        return "was ended by the system, most likely for want of memory"
      return f"crashes its reader ({name})"
    return f"ends its reader with status {status}"


def serve(job: dict[str, Any]) -> None:
  """What a child does: answers calls on its standard input until it ends."""
  calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints
  module, name = job["function"].split(":")
  function = getattr(importlib.import_module(module), name)
  _limit_memory(job["memory"])
  with contextlib.suppress(ValueError):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
  _write(answers, ("ready", None))
  while True:
    try:
      keywords = _read(calls)
    except EOFError:
      return
    _set_alarm(job["seconds"] + _GRACE)
    try:
      answer = ("done", function(**keywords))
    except Dr3dError as error:
      answer = ("error", error)
    except MemoryError:
      answer = (
        "error",
        (
          f"needs more memory than {job['memory'] >> 20} MiB; allow more, or "
          "simplify it"
        ),
      )
    except Exception as error:
      answer = ("error", f"fails ({type(error).__name__}: {error})")
    _write(answers, answer)
    _set_alarm(0)


def _limit_memory(size: int) -> None:
  """Bounds what this process may ask for on top of what it has now."""
  try:
    import resource
  except ImportError:  # Windows
    return
  with contextlib.suppress(OSError, ValueError):
    before = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    size += before * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _set_alarm(seconds: float) -> None:
  """Ends this process by the system after some time, whatever it does."""
  if hasattr(signal, "setitimer"):
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _write(stream: IO[bytes] | None, value: Any) -> None:
  assert stream is not None
  data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
  stream.write(_HEAD.pack(len(data)) + data)
  stream.flush()


def _read(stream: IO[bytes] | None) -> Any:
  assert stream is not None
  head = stream.read(_HEAD.size)
  if len(head) < _HEAD.size:
    raise EOFError
  (length,) = _HEAD.unpack(head)
  data = stream.read(length)
  if len(data) < length:
    raise EOFError
  return pickle.loads(data)
