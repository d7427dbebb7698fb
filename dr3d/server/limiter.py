"""How many requests one address, and all addresses together, may make.

Only the event loop uses these objects, so nothing here is locked.
"""

import collections
import contextlib
import math
import time
from collections.abc import Callable, Iterator

from dr3d.server.http_error import HttpError

_MAX_ADDRESSES = 10_000  # remembered; about 1 MB


class ConcurrencyLimiter:
  """Admits a number of requests at once and rejects the others."""

  def __init__(self, limit: int, observe: Callable[[int], None]):
    """Makes a limiter.

    Args:
      limit: requests at once.
      observe: called with the number of active requests when it changes.
    """
    self.limit = limit
    self.active = 0
    self._observe = observe

  @contextlib.contextmanager
  def enter(self) -> Iterator[None]:
    """Counts a request as active within the block.

    Raises:
      HttpError: the limit is reached.
    """
    if self.active >= self.limit:
      raise HttpError(
        503, "the service is busy: try again in a moment.", retry_after=2
      )
    self._add(1)
    try:
      yield
    finally:
      self._add(-1)

  def _add(self, count: int) -> None:
    self.active += count
    self._observe(self.active)


class RateLimiter:
  """Limits the rate of each address, with bursts, by a token bucket each."""

  def __init__(
    self,
    rate: float,
    burst: int,
    *,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Makes a limiter.

    Args:
      rate: requests a second; 0 for no limit.
      burst: requests at once.
      clock: returns seconds.
    """
    self.rate, self.burst = rate, burst
    self._clock = clock
    self._buckets: collections.OrderedDict[str, tuple[float, float]] = (
      collections.OrderedDict()
    )

  def take(self, address: str) -> None:
    """Counts a request.

    Raises:
      HttpError: the address sends too many.
    """
    if not self.rate:
      return
    now = self._clock()
    tokens, then = self._buckets.pop(address, (float(self.burst), now))
    tokens = min(float(self.burst), tokens + (now - then) * self.rate)
    allowed = tokens >= 1
    self._buckets[address] = (tokens - allowed, now)
    while len(self._buckets) > _MAX_ADDRESSES:
      self._buckets.popitem(last=False)
    if not allowed:
      raise HttpError(
        429,
        "too many requests from this address: try again in a moment.",
        retry_after=math.ceil((1 - tokens) / self.rate),
      )
