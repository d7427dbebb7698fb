"""Calls on the machines of a Ray cluster that outlive processes and machines.

Ray itself repeats what it knows to be lost. Here a call is repeated as well if
its worker, its machine or its result is gone, so that one loss is one repeated
call, wherever it happens. Calls must therefore be free of side effects.
"""

import collections
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from dr3d.error import Dr3dError

T = TypeVar("T")

_LOG = logging.getLogger("dr3d.runtime")
_MAX_LOSSES = 12  # of a call whose worker ends; then the call is to blame
_CONNECT_SECONDS = "20"  # for an address that nobody answers at
_WAIT_SECONDS = 1.0  # between looks at what is running
_PAUSE_SECONDS = 0.2  # before an actor that starts again is asked once more
_QUIET_SECONDS = 600.0  # without an actor, until that is an error


class ClusterError(Dr3dError):
  """A Ray cluster cannot be reached, or loses a call again and again."""


def import_ray() -> Any:
  """Returns the module.

  Raises:
    ClusterError: it is not installed.
  """
  # Ray would otherwise send statistics of its use to its makers.
  os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
  try:
    import ray
  except ImportError as error:
    raise ClusterError(
      "Ray is not installed: pip install 'dr3d[ray]'."
    ) from error
  return ray


def connect(address: str) -> None:
  """Connects this process to a cluster, unless it is connected.

  Args:
    address: "HOST:PORT" of the head, "auto" for the cluster that this machine
      belongs to, or empty to start one on this machine alone, which ends with
      this process.

  Raises:
    ClusterError: nobody answers there.
  """
  ray = import_ray()
  if ray.is_initialized():
    return
  os.environ.setdefault(
    "RAY_gcs_rpc_server_connect_timeout_s", _CONNECT_SECONDS
  )
  options = {} if address else {"include_dashboard": False}
  try:
    ray.init(
      address=address or "local",
      log_to_driver=False,
      logging_level=logging.ERROR,
      **options,
    )
  except (ConnectionError, RuntimeError, ValueError, OSError) as error:
    raise ClusterError(
      f"no Ray cluster answers at {address or 'this machine'!r}: start one"
      " with ray start --head, and give its address and port."
    ) from error


def run_tasks(
  submit: Callable[[T], Any], items: Iterable[T], *, limit: int
) -> Iterator[Any]:
  """Runs a task for each item; yields the results in the order of the items.

  Args:
    submit: starts a task and returns the reference to its result; called again
      for an item whose result was lost.
    items: at most `limit` of them are taken ahead of the results.
    limit: tasks at once, at least 1.

  Raises:
    ClusterError: a task was lost too often.
    Exception: what a task raised.
  """
  ray = import_ray()
  running: collections.deque[tuple[Any, T]] = collections.deque()

  def take_first() -> Any:
    reference, item = running.popleft()
    losses = 0
    while True:
      try:
        return ray.get(reference)
      except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # of the task itself
      except ray.exceptions.RayError as error:
        losses = _count_loss(losses, error)
        reference = submit(item)

  for item in items:
    running.append((submit(item), item))
    if len(running) >= limit:
      yield take_first()
  while running:
    yield take_first()


class Actors(Generic[T]):
  """Actors that share the calls for a stream of items.

  An actor gets calls when it has answered that it is there, again after each
  loss. So a call never waits for an actor that finds no room since its machine
  is gone.
  """

  def __init__(
    self, actors: Sequence[Any], submit: Callable[[Any, T], Any], *, ahead: int
  ):
    """Takes actors.

    Args:
      actors: each with the method `ping`, restarted by Ray, with calls that Ray
        does not repeat.
      submit: starts a call of an actor for an item.
      ahead: calls of an actor at once, at least 1.
    """
    self._ray = import_ray()
    self._submit = submit
    self._ahead = ahead
    self._pings = {actor.ping.remote(): actor for actor in actors}
    self._free: collections.deque[Any] = collections.deque()
    self._calls: dict[Any, tuple[int, T, Any]] = {}  # number, item and actor
    self._lost: collections.deque[tuple[int, T]] = collections.deque()
    self._losses: collections.Counter[int] = collections.Counter()
    self._results: dict[int, Any] = {}

  def run(self, items: Iterable[T]) -> Iterator[Any]:
    """Yields the result of each item, in order.

    Raises:
      ClusterError: a call was lost too often, or no actor is there any more.
      Exception: what a call raised.
    """
    limit = 2 * self._ahead * len(self._pings)
    todo = enumerate(items)
    wanted = taken = 0
    quiet_since = time.monotonic()
    while True:
      while wanted in self._results:
        yield self._results.pop(wanted)
        wanted += 1
      following = None
      if self._free:
        if self._lost:
          following = self._lost.popleft()
        elif taken - wanted < limit:
          following = next(todo, None)
          taken += following is not None
      if following is not None:
        self._start(*following)
        continue
      if not self._calls and not self._lost and self._free:
        return  # no item is left
      if self._wait():
        quiet_since = time.monotonic()
      elif not self._calls and time.monotonic() - quiet_since > _QUIET_SECONDS:
        raise ClusterError(
          "no machine of the Ray cluster has room for the pipeline: see"
          " ray status."
        )

  def _start(self, number: int, item: T) -> None:
    actor = self._free.popleft()
    self._calls[self._submit(actor, item)] = number, item, actor

  def _wait(self) -> bool:
    """Waits until something happens, at most a second; whether it did."""
    ready, _ = self._ray.wait(
      [*self._calls, *self._pings], timeout=_WAIT_SECONDS
    )
    for reference in ready:
      if reference in self._pings:
        self._note_ping(reference)
      else:
        self._note_call(reference)
    return bool(ready)

  def _note_ping(self, reference: Any) -> None:
    actor = self._pings.pop(reference)
    try:
      self._ray.get(reference)
    except self._ray.exceptions.RayTaskError as error:
      raise error.cause from None
    except self._ray.exceptions.ActorDiedError as error:
      if not self._pings and not self._calls and not self._free:
        raise ClusterError(
          f"no actor of the Ray cluster starts any more ({error}): see the logs"
          " of Ray."
        ) from error
    except self._ray.exceptions.RayError:
      time.sleep(_PAUSE_SECONDS)
      self._pings[actor.ping.remote()] = actor
    else:
      self._free.extend([actor] * self._ahead)

  def _note_call(self, reference: Any) -> None:
    number, item, actor = self._calls.pop(reference)
    try:
      self._results[number] = self._ray.get(reference)
    except self._ray.exceptions.RayTaskError as error:
      raise error.cause from None
    except self._ray.exceptions.RayError as error:
      self._losses[number] = _count_loss(self._losses[number], error)
      self._lost.append((number, item))
      if actor not in self._pings.values():
        self._free = collections.deque(a for a in self._free if a != actor)
        self._pings[actor.ping.remote()] = actor
    else:
      if actor not in self._pings.values():
        self._free.append(actor)


def _count_loss(losses: int, error: Exception) -> int:
  """Counts a loss of the same work.

  Raises:
    ClusterError: there were too many.
  """
  reason = (str(error).strip() or type(error).__name__).splitlines()[0]
  if losses + 1 == _MAX_LOSSES:
    raise ClusterError(
      f"{_MAX_LOSSES} workers of the Ray cluster ended in a row while they did"
      f" the same work ({reason}): see the logs of Ray."
    ) from error
  _LOG.info("a call is repeated (%s)", reason)
  return losses + 1
