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
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from dr3d.error import Dr3dError
from dr3d.runtime import codec
from dr3d.runtime.child import (
  Child,
  EndedError,
  StartError,
  WorkerError,
  explain,
)
from dr3d.runtime.worker import Access, Job

_LOG = logging.getLogger("dr3d.runtime")
_MAX_TRIES = 3  # of a call whose child ends
_SIGKILL = 9  # by which a system without memory, or an operator, ends processes
_KEEPER_SECONDS = 0.1  # between looks for children that have ended
_SPARE_SECONDS = 2.0  # after a child has ended, until the spare one is started
_QUEUED_CALLS = 4  # for each child, submitted before their results are read


class LostWorkerError(WorkerError):
  """The child itself ended each time, which is not the call's fault."""


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
    has_spare: bool = False,
  ):
    """Makes a pool; the first call that needs a child starts it.

    Args:
      function: see `call_each`.
      limits: of each call.
      count: calls at once, at least 1.
      access: what a call may read; see `worker.Access`.
      has_spare: whether one child more than calls are active shall run, for
        the case that another ends: a start takes longer than most calls. After
        `start` a thread sees to that.
    """
    job = Job(
      path=sys.path,
      function=function,
      access=access,
      seconds=limits.seconds,
      memory=limits.memory,
      answer=limits.answer,
    )
    self._job = job
    self._children = [Child(job) for _ in range(count + has_spare)]
    self._places = threading.BoundedSemaphore(count)
    self._free = list(self._children)
    self._changed = threading.Condition()
    self._is_replacing = False
    self._ended = -_SPARE_SECONDS  # when a child last ended, on this clock
    self._closing = threading.Event()
    self._keeper = (
      threading.Thread(target=self._replace_ended, daemon=True)
      if has_spare
      else None
    )

  def call(
    self, keywords: dict[str, Any], *, timeout: float | None = None
  ) -> Any:
    """Calls the function in a free child.

    A child that has ended meanwhile, is killed while it starts, or ends during
    the call is not to blame on the call, which is repeated.

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
    if not self._places.acquire(timeout=timeout):
      raise TimeoutError("no child process is free")
    try:
      return self._call(codec.encode(keywords))
    finally:
      self._places.release()

  def start(self) -> list[str]:
    """Starts a child, and names the protections that the kernel gives it.

    Raises:
      Dr3dError: a child cannot be started.
    """
    with self._places, self._take() as child:
      child.start()
      protections = child.protections
    if self._keeper is not None and not self._keeper.is_alive():
      self._keeper.start()
    return protections

  def close(self) -> None:
    """Ends all children, also those that are busy."""
    self._closing.set()
    for child in self._children:
      child.stop()

  def _call(self, call: bytes) -> Any:
    status = 0
    for tries in range(1, _MAX_TRIES + 1):
      if self._closing.is_set():
        break
      try:
        with self._take() as child:
          return child.call(call)
      except StartError as error:
        if error.status != -_SIGKILL or tries == _MAX_TRIES:
          raise
      except EndedError as error:
        status = error.status
        self._ended = time.monotonic()
    return LostWorkerError(explain(status, self._job))

  @contextlib.contextmanager
  def _take(self) -> Iterator["Child"]:
    """Takes a free child for the block, one that runs if there is one.

    There is always a free one: at most one for each place is taken, and the
    spare one may be taken to be replaced.
    """
    with self._changed:
      self._changed.wait_for(
        lambda: (
          not self._is_replacing
          or any(child.is_running for child in self._free)
        )
      )
      running = [child for child in self._free if child.is_running]
      child = (running or self._free)[0]
      self._free.remove(child)
    try:
      yield child
    finally:
      self._give_back(child)

  def _give_back(self, child: "Child") -> None:
    with self._changed:
      self._free.append(child)
      self._changed.notify_all()

  def _replace_ended(self) -> None:
    """Starts children before a call needs them, one at a time."""
    while not self._closing.wait(_KEEPER_SECONDS):
      with self._changed:
        child = self._find_wanted()
        if child is None:
          continue
        self._free.remove(child)
        self._is_replacing = True
      try:
        child.start()
      except (Dr3dError, OSError) as error:
        self._ended = time.monotonic()
        if not self._closing.is_set():
          _LOG.warning("a child process cannot be replaced (%s)", error)
      finally:
        with self._changed:
          self._is_replacing = False
        self._give_back(child)

  def _find_wanted(self) -> Child | None:
    """A free child that should be started now; None if there is none."""
    if any(child.is_running for child in self._free):
      return None
    # While children end one after the other, the spare one must not take the
    # processor from the one that a call waits for.
    is_quiet = time.monotonic() - self._ended > _SPARE_SECONDS
    has_running = any(child.is_running for child in self._children)
    if has_running and not is_quiet:
      return None
    return self._free[0]
