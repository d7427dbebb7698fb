"""Gradient descent from several starts at once, while edges become sharper.

`S` starts. Each has its own loss, so that none affects another. They share the
calls of the renderer.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.render.raster import Budget, Usage

Array = jax.Array
Loss = Callable[[Any, Array | float, Budget], tuple[Array, Usage]]

HEADROOM = 1.25  # factor on a grown budget, so that few steps are repeated
FIRST_BUDGET = Budget(pairs=1 << 14, blocks=1 << 11)


@dataclasses.dataclass(frozen=True, eq=False)
class Descent:
  """Result of a descent.

  Attributes:
    parameters: at the end; all leaves `[S, ...]`.
    losses: `[S]` at the end, with the last σ.
    kept: some parameters of the descent, from the first to the last.
    budget: that held every step.
  """

  parameters: Any
  losses: np.ndarray
  kept: list[Any]
  budget: Budget


def descend(
  loss: Loss,
  parameters: Any,
  *,
  sigmas: tuple[float, float],
  steps: int,
  rate: float,
  restore: Callable[[Any], Any] = lambda x: x,
  keep_every: int = 0,
) -> Descent:
  """Minimises with Adam while σ falls geometrically from first to last.

  No step uses an incomplete image: a step that exceeds the budget is repeated
  with a larger one.

  Args:
    loss: from parameters, σ in pixels and a budget to losses `[S]` and the
      usage of the renderer.
    parameters: of the S starts, leaves `[S, ...]`.
    sigmas: σ at the beginning and at the end, pixels. It is traced: all steps
      run one program.
    steps: how many.
    rate: initial learning rate of Adam; decays to a twentieth by a cosine.
    restore: projects parameters to their valid range after each step.
    keep_every: steps between the parameters that are kept; 0 keeps the ends.

  Raises:
    FloatingPointError: if a loss is not finite.
  """
  schedule = optax.cosine_decay_schedule(rate, steps, alpha=0.05)
  optimizer = optax.adam(schedule, b2=0.99)
  state = optimizer.init(parameters)

  @functools.partial(jax.jit, static_argnames="budget")
  def step(parameters, state, sigma, *, budget):
    def total(parameters):
      losses, usage = loss(parameters, sigma, budget)
      return jnp.sum(losses), (losses, usage)

    slope, (losses, usage) = jax.grad(total, has_aux=True)(parameters)
    update, state = optimizer.update(slope, state)
    parameters = restore(optax.apply_updates(parameters, update))
    return parameters, state, losses, usage

  budget = _fit(loss, parameters, sigmas[0])
  kept = [parameters]
  # The last iteration only computes the losses of the returned parameters.
  for i in range(steps + 1):
    sigma = jnp.float32(sigmas[0] * (sigmas[1] / sigmas[0]) ** (i / steps))
    while True:
      new, new_state, losses, usage = step(
        parameters, state, sigma, budget=budget
      )
      if budget.holds(usage):
        break
      budget = budget.grown_to(usage).widened(HEADROOM)
    if not np.isfinite(losses).all():
      raise FloatingPointError(f"a loss is not finite at step {i}.")
    if i < steps:
      parameters, state = new, new_state
    if i < steps and keep_every and i % keep_every == 0:
      kept.append(parameters)
  return Descent(
    parameters=parameters,
    losses=np.asarray(losses),
    kept=[*kept, parameters],
    budget=budget,
  )


def image_distance(images: Array, targets: Array, *, levels: int = 4) -> Array:
  """Mean squared difference at several resolutions.

  Each level halves the one before. Coarse levels attract objects that do not
  overlap yet, for which fine levels have no gradient.

  Args:
    images: `[..., H, W, C]`.
    targets: of a shape that broadcasts with it.
    levels: how many; 1 is the plain mean squared error.

  Returns:
    `[...]`, the mean over the levels.
  """
  difference = images - targets
  total = jnp.mean(difference**2, axis=(-3, -2, -1))
  for _ in range(levels - 1):
    *lead, height, width, channels = difference.shape
    rows, columns = height // 2, width // 2
    even = difference[..., : 2 * rows, : 2 * columns, :]
    blocks = even.reshape(*lead, rows, 2, columns, 2, channels)
    difference = jnp.mean(blocks, axis=(-4, -2))
    total += jnp.mean(difference**2, axis=(-3, -2, -1))
  return total / levels


def draw_whole(
  draw: Callable[[Any, float, Budget], tuple[Array, Usage]],
  what: Any,
  sigma: float,
) -> Array:
  """Calls a renderer under jit with a sufficient budget.

  Args:
    draw: from its first argument, σ and a budget to images and their usage.
    what: the first argument.
    sigma: pixels.
  """
  budget = _fit(draw, what, sigma)
  return jax.jit(draw, static_argnums=2)(what, sigma, budget)[0]


def _fit(function, what, sigma) -> Budget:
  """Finds the budget of a call; compiles its usage only, not its images."""
  measure = jax.jit(lambda *call: function(*call)[1], static_argnums=2)
  budget = FIRST_BUDGET
  while not budget.holds(usage := measure(what, sigma, budget)):
    budget = budget.grown_to(usage)
  return budget.widened(HEADROOM)
