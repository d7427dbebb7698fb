"""Random keys that depend on the seed and the step only."""

import jax


def step_key(seed: int, step: int) -> jax.Array:
  """Returns the random key of a step.

  A run that splits one key from step to step must save it. This key is a
  function of two integers, so a resumed run draws the same numbers.

  Args:
    seed: seed of the run.
    step: steps made before this one.
  """
  return jax.random.fold_in(jax.random.key(seed), step)
