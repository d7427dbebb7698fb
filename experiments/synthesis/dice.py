"""Random choices of a family and deviations of its members."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


class Dice:
  """Draws choices that all members of a family share, and their dimensions.

  The choices come from the family's random stream, the deviations of a member
  from its own, so that the two seeds alone determine both.
  """

  def __init__(
    self, family: np.random.SeedSequence, member: np.random.SeedSequence
  ):
    """Takes the seeds of the family and of the member."""
    self._seeds = (family, member)
    self._family = np.random.default_rng(family)
    self._member = np.random.default_rng(member)
    self._spread = 0.0
    # Members differ as much as those of a class of real parts. If they are more
    # similar, T learns to tell families apart, but real classes less well.
    self._spread = self._family.uniform(0.05, 0.5)

  def split(self) -> "Dice":
    """Dice of a component, whose draws do not change later ones of this."""
    family, member = self._seeds
    return Dice(family.spawn(1)[0], member.spawn(1)[0])

  def pick(
    self, options: Sequence[Choice], weights: Sequence[float] | None = None
  ) -> Choice:
    """Picks one of the options, the same for all members."""
    share = None if weights is None else np.array(weights) / np.sum(weights)
    return options[int(self._family.choice(len(options), p=share))]

  def chance(self, probability: float) -> bool:
    """Draws True with a probability, the same for all members."""
    return bool(self._family.random() < probability)

  def count(self, low: int, high: int) -> int:
    """Draws an integer from low to high, the same for all members."""
    return int(self._family.integers(low, high + 1))

  def length(self, low: float, high: float) -> float:
    """Draws a length, log-uniform; members differ by a factor."""
    base = math.exp(self._family.uniform(math.log(low), math.log(high)))
    return base * math.exp(self._spread * self._member.standard_normal())

  def share(self, low: float, high: float) -> float:
    """Draws a number from low to high; members differ by a part of it."""
    base = self._family.uniform(low, high)
    step = self._spread * (high - low) * self._member.standard_normal()
    return float(np.clip(base + step, low, high))

  def points(self, count: int, size: int) -> np.ndarray:
    """Draws normal deviates [count, size]; members differ a little."""
    base = self._family.standard_normal((count, size))
    step = self._spread * self._member.standard_normal((count, size))
    return base + step
