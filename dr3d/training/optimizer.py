"""Learning rates, clipping and running means, for the step of any system."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import optax

Tree = TypeVar("Tree")

# The learning rate rises during the first tenth of a run, but no longer than
# this.
WARM_UP_STEPS_MAX = 50
FIRST_RATE_SHARE = 0.1  # of the peak rate, before the first step
LAST_RATE_SHARE = 0.01  # of the peak rate, after the last step

# A gradient beyond this norm is scaled down to it. A single large gradient
# would otherwise dominate Adam's moments for many steps.
GRADIENT_NORM_MAX = 1.0


def schedule_rate(peak: float, *, steps: int) -> optax.Schedule:
  """Returns a learning rate with linear warm-up and cosine decay.

  Args:
    peak: the largest rate.
    steps: length of the run.
  """
  warm_up = max(1, min(WARM_UP_STEPS_MAX, steps // 10))
  return optax.warmup_cosine_decay_schedule(
    FIRST_RATE_SHARE * peak,
    peak,
    warm_up,
    max(steps, warm_up + 1),
    LAST_RATE_SHARE * peak,
  )


def clip_gradient(
  optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """Returns the optimizer with the norm of its gradient clipped."""
  return optax.chain(optax.clip_by_global_norm(GRADIENT_NORM_MAX), optimizer)


def update_mean(
  mean: Tree, new: Tree, *, step: jax.Array, decay: float
) -> Tree:
  """Updates a running mean of parameters.

  Args:
    mean: a tree of arrays, from the step before.
    new: the same tree after this step.
    step: steps made, this one included.
    decay: weight of the old mean in the long run. At the start it is smaller,
      (1 + step)/(10 + step), or the mean would remember the random
      initialisation.

  Returns:
    The mean after this step.
  """
  weight = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
  return jax.tree.map(lambda m, x: weight * m + (1 - weight) * x, mean, new)
