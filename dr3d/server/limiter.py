"""How much of a service one address, and all together, may ask for.

Used in the event loop alone, so nothing here is locked.
"""

import collections
import contextlib
import math
import time
from collections.abc import Callable, Iterator

from dr3d.server.http_error import HttpError

_ADDRESSES = 10_000  # that are remembered


class ConcurrencyLimiter:
  """Lets so many requests in at once and refuses the others at the door."""

  def __init__(self, bound: int, watch: Callable[[int], None]):
    """Makes a gate.

    Args:
      bound: requests inside.
      watch: is told how many are inside.
    """
    self.bound = bound
    self.inside = 0
    self._watch = watch

  @contextlib.contextmanager
  def enter(self) -> Iterator[None]:
    """A request is inside for as long as the block.

    Raises:
      HttpError: there are as many as may be.
    """
    if self.inside >= self.bound:
      raise HttpError(
        503, "the service is busy: try again in a moment.", wait=2
      )
    self._count(1)
    try:
      yield
    finally:
      self._count(-1)

  def _count(self, step: int) -> None:
    self.inside += step
    self._watch(self.inside)


class RateLimiter:
  """Lets each address ask at a rate, with bursts: a bucket of tokens each."""

  def __init__(
    self,
    rate: float,
    burst: int,
    *,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Makes it.

    Args:
      rate: requests a second; 0 for any number.
      burst: requests at once.
      clock: tells seconds.
    """
    self.rate, self.burst = rate, burst
    self._clock = clock
    self._buckets: collections.OrderedDict[str, tuple[float, float]] = (
      collections.OrderedDict()
    )

  def take(self, address: str) -> None:
    """Counts a request.

    Raises:
      HttpError: the address asks too often.
    """
    if not self.rate:
      return
    now = self._clock()
    tokens, then = self._buckets.pop(address, (float(self.burst), now))
    tokens = min(float(self.burst), tokens + (now - then) * self.rate)
    allowed = tokens >= 1
    self._buckets[address] = (tokens - allowed, now)
    while len(self._buckets) > _ADDRESSES:
      self._buckets.popitem(last=False)
    if not allowed:
      raise HttpError(
        429,
        "too many requests from this address: try again in a moment.",
        wait=math.ceil((1 - tokens) / self.rate),
      )
