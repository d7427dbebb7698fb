"""Random choices in two layers: those of a family and those of its member."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


class Dice:
  """Choices of which the members of a family share all but the dimensions.

  The choices of a family are drawn from one stream, the deviations of a member
  from another, so that both are functions of the two seeds alone.
  """

  def __init__(
    self, family: np.random.SeedSequence, member: np.random.SeedSequence
  ):
    """Takes the seeds of the family and of the member."""
    self._seeds = (family, member)
    self._family = np.random.default_rng(family)
    self._member = np.random.default_rng(member)
    self._spread = 0.0
    # Members as unlike as those of a class of real parts: more alike, T learns
    # to know the single family, and real classes less.
    self._spread = self._family.uniform(0.05, 0.5)

  def split(self) -> "Dice":
    """Dice of a component: what it throws does not change what follows."""
    family, member = self._seeds
    return Dice(family.spawn(1)[0], member.spawn(1)[0])

  def pick(
    self, options: Sequence[Choice], weights: Sequence[float] | None = None
  ) -> Choice:
    """One of the options, the same for all members."""
    share = None if weights is None else np.array(weights) / np.sum(weights)
    return options[int(self._family.choice(len(options), p=share))]

  def chance(self, probability: float) -> bool:
    """Whether it happens, the same for all members."""
    return bool(self._family.random() < probability)

  def count(self, low: int, high: int) -> int:
    """From low to high, the same for all members."""
    return int(self._family.integers(low, high + 1))

  def length(self, low: float, high: float) -> float:
    """Above 0; members differ by a factor."""
    base = math.exp(self._family.uniform(math.log(low), math.log(high)))
    return base * math.exp(self._spread * self._member.standard_normal())

  def share(self, low: float, high: float) -> float:
    """From low to high; members differ by a part of that range."""
    base = self._family.uniform(low, high)
    step = self._spread * (high - low) * self._member.standard_normal()
    return float(np.clip(base + step, low, high))

  def points(self, count: int, size: int) -> np.ndarray:
    """Normal deviates [count, size]; members differ a little."""
    base = self._family.standard_normal((count, size))
    step = self._spread * self._member.standard_normal((count, size))
    return base + step
