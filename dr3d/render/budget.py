"""Budgets: the room that one compiled call of a renderer has.

Shapes are fixed when a program is compiled, so a renderer whose work depends on
its input is given a budget. A call that needs more returns an incomplete result
together with its usage, and is repeated with a larger budget. A call never
drops work in silence.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

HEADROOM = 1.25
"""Factor by which a budget that has grown exceeds the usage that it grew to.

The next inputs differ a little; without the margin many would compile again.
"""

UsageT = TypeVar("UsageT", contravariant=True)
BudgetT = TypeVar("BudgetT", bound="Budget[Any]")
ResultT = TypeVar("ResultT")


class Budget(Protocol[UsageT]):
  """Room for one call; immutable and hashable, a static argument under jit."""

  def holds(self, usage: UsageT) -> bool:
    """Whether a call with this budget and this usage was complete."""
    ...

  def grown_to(self, usage: UsageT) -> Self:
    """Returns the smallest budget that has this room and holds the usage.

    Sizes are rounded up to a few steps, so that few programs are compiled.
    """
    ...

  def widened(self, factor: float) -> Self:
    """Returns a budget with `factor` times the room, factor at least 1."""
    ...


@dataclasses.dataclass(frozen=True)
class Unlimited:
  """The budget of a renderer whose work does not depend on its input.

  Its usage is the empty tuple, which is a pytree without arrays.
  """

  def holds(self, usage: tuple[()]) -> bool:
    """Always true."""
    del usage
    return True

  def grown_to(self, usage: tuple[()]) -> Self:
    """Returns itself."""
    del usage
    return self

  def widened(self, factor: float) -> Self:
    """Returns itself."""
    del factor
    return self


def within_budget(
  call: Callable[[BudgetT], tuple[ResultT, Any]],
  budget: BudgetT,
  *,
  headroom: float = HEADROOM,
) -> tuple[ResultT, BudgetT]:
  """Repeats a call with growing budgets until one holds its usage.

  Args:
    call: maps a budget to a result and a usage. The result is only used if the
      budget holds the usage.
    budget: to start with.
    headroom: factor by which a budget that had to grow is widened, at least 1.

  Returns:
    The complete result, and the budget that held it: start the next call with
    that one.

  Raises:
    RuntimeError: a budget did not grow to the usage it was given, so that
      repeating the call would not end.

  Example:
    >>> images, budget = within_budget(
    ...   lambda budget: renderer.render(views, budget=budget), budget
    ... )
  """
  while True:
    result, usage = call(budget)
    if budget.holds(usage):
      return result, budget
    grown = budget.grown_to(usage)
    if not grown.holds(usage):
      raise RuntimeError(f"{budget} did not grow to hold {usage}, but {grown}.")
    budget = grown.widened(headroom)
