"""Vectors as three arrays, one for each axis: `x, y, z = vector`.

An array axis of length 3 prevents vectorisation if it is innermost, and makes
gradients sums of three terms if it is not.

`N` views, `F` faces; `...` are any leading dimensions.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

Array = jax.Array
Vector = Sequence[Array]  # of three


def dot(a: Vector, b: Vector) -> Array:
  """Returns the dot product."""
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
  """Returns the cross product."""
  return (
    a[1] * b[2] - a[2] * b[1],
    a[2] * b[0] - a[0] * b[2],
    a[0] * b[1] - a[1] * b[0],
  )


def unit(a: Vector) -> Vector:
  """Returns the unit vector; zero stays zero, with a finite gradient."""
  square = dot(a, a)
  positive = square > 0
  scale = jax.lax.rsqrt(jnp.where(positive, square, 1))
  scale = jnp.where(positive, scale, 0)
  return a[0] * scale, a[1] * scale, a[2] * scale


@jax.custom_vjp
def combine(matrix: Array, parts: Sequence[Array]) -> tuple[Array, ...]:
  """Returns linear combinations of arrays, with weights for each view.

  Row q of the result is `Σ_j matrix[:, q, j] parts[j]`. The sum is written out,
  so that XLA fuses it with its neighbours. The gradient by the matrix is a
  matrix product, so that its inputs are computed once instead of once for each
  entry.

  Args:
    matrix: `[N, Q, J]`.
    parts: J arrays `[..., N, F]`.

  Returns:
    Q arrays `[..., N, F]`.
  """
  weights = jnp.moveaxis(matrix, 0, -1)[..., None]  # [Q, J, N, 1]
  rows = []
  for row in weights:
    terms = [w * part for w, part in zip(row, parts, strict=True)]
    rows.append(functools.reduce(jnp.add, terms))
  return tuple(rows)


def _combine_forward(matrix, parts):
  return combine(matrix, parts), (matrix, parts)


def _combine_backward(saved, gradient):
  matrix, parts = saved
  to_parts = combine(jnp.swapaxes(matrix, 1, 2), gradient)
  views = len(matrix)

  def rows(arrays):
    stacked = jnp.stack(arrays)
    shape = (len(arrays), -1, views, stacked.shape[-1])
    return jnp.transpose(stacked.reshape(shape), (2, 0, 1, 3)).reshape(
      views, len(arrays), -1
    )

  to_matrix = jnp.matmul(
    rows(gradient), jnp.swapaxes(rows(parts), 1, 2), precision="highest"
  )
  return to_matrix, type(parts)(to_parts)


combine.defvjp(_combine_forward, _combine_backward)
