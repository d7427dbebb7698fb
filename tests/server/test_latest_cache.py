"""Tests of what the service keeps of its answers."""

import pytest

from dr3d.server.latest_cache import LatestCache

pytestmark = pytest.mark.fast


def test_value_is_made_once_and_the_least_recently_used_one_is_dropped():
  made = []

  def make(key):
    made.append(key)
    return key.upper()

  cache = LatestCache[str](2)
  found = [cache.find(key, lambda key=key: make(key)) for key in "abacab"]
  assert found == ["A", "B", "A", "C", "A", "B"]
  assert made == ["a", "b", "c", "b"]


def test_failure_keeps_nothing():
  cache = LatestCache[int](2)
  with pytest.raises(ZeroDivisionError):
    cache.find("a", lambda: 1 // 0)
  assert cache.find("a", lambda: 1) == 1
