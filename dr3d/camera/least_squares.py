"""Non-linear least squares by Levenberg and Marquardt, for `jit` and `vmap`.

Small dense problems of fixed shape: all steps are made, so that a batch of them
is one program.

References:
  Levenberg 1944, Marquardt 1963, with the damping of Nielsen 1999.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array

STEPS = 60  # of a descent; most end within twenty
FIRST_DAMPING = 1e-3  # of the largest diagonal element


def minimize(
  residual: Callable[[Array], Array], start: Array, *, steps: int = STEPS
) -> tuple[Array, Array]:
  """Minimises the sum of squares of residuals by Levenberg and Marquardt.

  Pure, so that it works under `jit` and `vmap`.

  Args:
    residual: `[P]` unknowns to `[R]` residuals.
    start: `[P]`.
    steps: of the descent; all are made, so that the shape is fixed.

  Returns:
    `[P]` unknowns and `[]` half the sum of squares there.
  """

  def half_square(x: Array) -> Array:
    return 0.5 * jnp.sum(jnp.square(residual(x)))

  def step(carry, _):
    x, value, damping, growth = carry
    r, J = residual(x), jax.jacfwd(residual)(x)
    A, g = J.T @ J, J.T @ r
    scale = damping * jnp.max(jnp.diagonal(A)) + 1e-12
    d = -jnp.linalg.solve(A + scale * jnp.eye(len(x)), g)
    tried = half_square(x + d)
    # Gain over what the linear model promises.
    gain = (value - tried) / (0.5 * jnp.dot(d, scale * d - g) + 1e-20)
    better = (tried < value) & jnp.isfinite(tried)
    shrink = jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3)
    return (
      jnp.where(better, x + d, x),
      jnp.where(better, tried, value),
      jnp.clip(damping * jnp.where(better, shrink, growth), 1e-12, 1e9),
      jnp.where(better, 2.0, jnp.minimum(growth * 2, 1e6)),
    ), None

  first = (start, half_square(start), jnp.asarray(FIRST_DAMPING), 2.0)
  first = jax.tree.map(lambda v: jnp.asarray(v, start.dtype), first)
  (x, value, _, _), _ = jax.lax.scan(step, first, length=steps)
  return x, value
