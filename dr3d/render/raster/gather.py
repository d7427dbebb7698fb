"""Row lookup in a table, with a gradient without contention.

The gradient of `table[index]` adds the gradients of all that took a row into
that row. On a processor these sums run one after the other anyway; on an
accelerator thousands of threads would wait for each other where a row is
popular, as a long edge beside hundreds of pixels is.
"""

import jax
import jax.numpy as jnp

Array = jax.Array

RUN = 64  # rows that are summed before one is added into the table


@jax.custom_vjp
def take_rows(table: Array, index: Array) -> Array:
  """`table[index]` for a table `[R, C]` and an index `[P]`: `[P, C]`."""
  return table[index]


def _take_forward(table, index):
  return table[index], (index, jnp.zeros((len(table), 0), table.dtype))


def _take_backward(saved, gradient):
  index, rows = saved
  return (
    jax.lax.platform_dependent(
      index,
      gradient,
      cpu=lambda i, g: add_rows(i, g, count=len(rows)),
      default=lambda i, g: add_sorted_rows(i, g, count=len(rows)),
    ),
    None,
  )


take_rows.defvjp(_take_forward, _take_backward)


def add_rows(index: Array, values: Array, *, count: int) -> Array:
  """Sums values `[P, C]` of equal index `[P]`: `[count, C]`."""
  return jnp.zeros((count, values.shape[1]), values.dtype).at[index].add(values)


def add_sorted_rows(index: Array, values: Array, *, count: int) -> Array:
  """The same sums, each run of equal indices summed before it is added.

  Rows are sorted by index and cut into runs of `RUN`; within a run the rows of
  one index are summed by doubling, and the last of them alone is added.
  """
  room = -len(index) % RUN
  order = jnp.argsort(index)
  index = jnp.pad(index[order], (0, room), constant_values=count)
  values = jnp.pad(values[order], [(0, room), (0, 0)])
  index = index.reshape(-1, RUN)
  values = values.reshape(*index.shape, -1)
  step = 1
  while step < RUN:
    # Sorted, so that the rows between two of one index are of it too.
    same = index[:, step:] == index[:, :-step]
    added = jnp.where(same[..., None], values[:, :-step], 0)
    values = values.at[:, step:].add(added)
    step *= 2
  ends = jnp.pad(
    index[:, 1:] != index[:, :-1], [(0, 0), (0, 1)], constant_values=True
  )
  index = jnp.where(ends, index, count)
  total = jnp.zeros((count, values.shape[-1]), values.dtype)
  return total.at[index].add(values, mode="drop")
