"""Calls that are repeated until their budget holds what they need."""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
import pytest

from dr3d.render import raster
from dr3d.render.budget import Unlimited, within_budget


@dataclasses.dataclass(frozen=True)
class Count:
  """Room for a number of things."""

  room: int

  def holds(self, usage: int) -> bool:
    return usage <= self.room

  def grown_to(self, usage: int) -> Self:
    return dataclasses.replace(self, room=max(self.room, usage))

  def widened(self, factor: float) -> Self:
    return dataclasses.replace(self, room=int(self.room * factor))


class Stuck(Count):
  def grown_to(self, usage):
    return self


def test_sufficient_budget_calls_once_and_stays():
  calls = []

  def call(budget):
    calls.append(budget)
    return "whole", 3

  assert within_budget(call, Count(3)) == ("whole", Count(3))
  assert calls == [Count(3)]


def test_small_budget_grows_with_headroom_until_it_holds():
  calls = []

  def call(budget):  # the true need shows only once the first part fits
    calls.append(budget.room)
    return budget.room, 10 if budget.room < 10 else 40

  result, budget = within_budget(call, Count(2), headroom=1.5)
  assert calls == [2, 15, 60]
  assert result == 60
  assert budget == Count(60)


def test_headroom_of_one_fits_exactly():
  assert within_budget(lambda budget: (0, 7), Count(1), headroom=1)[1].room == 7


def test_budget_that_does_not_grow_raises():
  with pytest.raises(RuntimeError, match=r"Stuck\(room=1\) did not grow"):
    within_budget(lambda budget: (0, 2), Stuck(1))


def test_unlimited_budget_holds_every_usage():
  assert within_budget(lambda budget: (1, ()), Unlimited()) == (1, Unlimited())
  assert Unlimited().grown_to(()).widened(2) == Unlimited()
  assert hash(Unlimited()) == hash(Unlimited())


def test_rasterizer_budget_grows_to_counts_of_arrays():
  @jax.jit
  def usage():
    return raster.Usage(pairs=jnp.array([50, 100]), blocks=jnp.array(9))

  _, budget = within_budget(
    lambda budget: ((), usage()), raster.Budget(8, 8), headroom=1
  )
  assert budget == raster.Budget(pairs=128, blocks=12)
