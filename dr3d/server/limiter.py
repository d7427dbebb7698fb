"""How many requests one address, and all addresses together, may make.

Only the event loop uses `ConcurrencyLimiter` and `RateLimiter`, so they lock
nothing. Threads use `Lanes`.
"""

import collections
import contextlib
import ipaddress
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from dr3d.server.http_error import HttpError

_MAX_ADDRESSES = 10_000  # remembered; about 1 MB
_MAX_LENGTH = 64  # characters of what a proxy gives instead of an address


def group_address(host: str) -> str:
  """Returns what counts as one address.

  A provider gives a customer 2⁶⁴ addresses of IPv6 (RFC 6177), so all of a
  network of that size count as one.
  """
  try:
    address = ipaddress.ip_address(host.split("%")[0])
  except ValueError:
    return host[:_MAX_LENGTH]
  if isinstance(address, ipaddress.IPv4Address):
    return str(address)
  if address.ipv4_mapped is not None:
    return str(address.ipv4_mapped)
  return str(ipaddress.ip_network((address, 64), strict=False))


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(names: Sequence[str]) -> list[Network]:
  """Reads addresses and networks, such as "10.0.0.0/8".

  Raises:
    ValueError: one is neither.
  """
  return [ipaddress.ip_network(name) for name in names]


def is_in(host: str, networks: Sequence[Network]) -> bool:
  """Whether a host is an address of one of the networks."""
  try:
    address = ipaddress.ip_address(host)
  except ValueError:
    return False
  return any(address in network for network in networks)


def share(limit: int) -> int:
  """How many of a limit one address may have: three quarters, at least one."""
  return max(1, limit - limit // 4)


class ConcurrencyLimiter:
  """Admits a number of requests at once and rejects the others."""

  def __init__(
    self,
    limit: int,
    observe: Callable[[int], None] = lambda count: None,
  ):
    """Makes a limiter.

    Args:
      limit: requests at once; one address may have `share` of them.
      observe: called with the number of active requests when it changes.
    """
    self.limit = limit
    self.active = 0
    self._observe = observe
    self._of_address: collections.Counter[str] = collections.Counter()

  @contextlib.contextmanager
  def enter(self, address: str) -> Iterator[None]:
    """Counts a request as active within the block.

    Raises:
      HttpError: the limit is reached.
    """
    if self.active >= self.limit:
      raise HttpError(
        503, "the service is busy: try again in a moment.", retry_after=2
      )
    if self._of_address[address] >= share(self.limit):
      raise HttpError(
        429,
        "too many requests of this address are active: try again in a moment.",
        retry_after=2,
      )
    self._add(address, 1)
    try:
      yield
    finally:
      self._add(address, -1)

  def _add(self, address: str, count: int) -> None:
    self.active += count
    self._of_address[address] += count
    if not self._of_address[address]:
      del self._of_address[address]
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
    tokens, now = self._refill(address)
    allowed = tokens >= 1
    self._keep(address, tokens - allowed, now)
    if not allowed:
      raise HttpError(
        429,
        "too many requests from this address: try again in a moment.",
        retry_after=math.ceil((1 - tokens) / self.rate),
      )

  def is_empty(self, address: str) -> bool:
    """Whether `take` would reject."""
    tokens, now = self._refill(address)
    self._keep(address, tokens, now)
    return bool(self.rate) and tokens < 1

  def _keep(self, address: str, tokens: float, now: float) -> None:
    """Stores a bucket, and forgets the one that was not used for longest."""
    self._buckets[address] = (tokens, now)
    while len(self._buckets) > _MAX_ADDRESSES:
      self._buckets.popitem(last=False)

  def _refill(self, address: str) -> tuple[float, float]:
    """Removes a bucket; returns what is in it now, and the time."""
    now = self._clock()
    tokens, then = self._buckets.pop(address, (float(self.burst), now))
    return min(float(self.burst), tokens + (now - then) * self.rate), now


class Lanes:
  """Makes the calls of one address wait for one another, not for others."""

  def __init__(self, width: int):
    """Makes lanes.

    Args:
      width: calls of one address at once.
    """
    self._width = width
    self._active: collections.Counter[str] = collections.Counter()
    self._changed = threading.Condition()

  @contextlib.contextmanager
  def enter(self, address: str, *, timeout: float) -> Iterator[None]:
    """Waits for a place in the lane of an address.

    Raises:
      TimeoutError: none became free.
    """
    with self._changed:
      if not self._changed.wait_for(
        lambda: self._active[address] < self._width, timeout
      ):
        raise TimeoutError("other calls of this address are still running")
      self._active[address] += 1
    try:
      yield
    finally:
      with self._changed:
        self._active[address] -= 1
        if not self._active[address]:
          del self._active[address]
        self._changed.notify_all()
