"""What was made last, kept for requests that ask for it again."""

import collections
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestCache(Generic[T]):
  """Values by key; the least recently used ones are dropped."""

  def __init__(self, limit: int):
    """Makes an empty cache.

    Args:
      limit: of values.
    """
    self._limit = limit
    self._lock = threading.Lock()
    self._values: collections.OrderedDict[Hashable, T] = (
      collections.OrderedDict()
    )

  def find(self, key: Hashable, make: Callable[[], T]) -> T:
    """Returns the value of a key.

    Args:
      key: of the value.
      make: makes it if it is not there. Others are not kept waiting meanwhile,
        so two threads may make the same one.
    """
    with self._lock:
      if key in self._values:
        self._values.move_to_end(key)
        return self._values[key]
    value = make()
    with self._lock:
      self._values[key] = value
      while len(self._values) > self._limit:
        self._values.popitem(last=False)
    return value
