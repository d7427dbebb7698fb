"""The margin ε of Eq. 2 of WO 2021/178001, and the angle between two views.

`B` models, `N` views of a model, `M = B·N` images. Quaternions are w, x, y, z;
q and −q are the same rotation.
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

from dr3d.geometry.norm import safe_norm, to_unit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Margin:
  """ε of Eq. 2.

  Attributes:
    within: [N, N]: margin between views i and j of one model; [B, N, N] if each
      model has its own views.
    between: scalar: margin between images of two models.
  """

  within: jax.Array
  between: float | jax.Array


def view_angle(first: jax.Array, second: jax.Array) -> jax.Array:
  """Angle of the rotation from one view to another.

  With unit quaternions q, q' and s = sign(q·q') it is
  4·atan2(‖q − s·q'‖, ‖q + s·q'‖), which equals 2·arccos|q·q'|. Quaternions
  are normalised inside. The gradient is finite everywhere; it is 0 at the two
  kinks, equal and opposite quaternions. A zero quaternion is π away from every
  rotation and 0 from another zero quaternion.

  Args:
    first: [..., 4]: quaternions w, x, y, z.
    second: [..., 4]: quaternions; the leading dimensions broadcast.

  Returns:
    [...]: radians, in [0, π].

  Raises:
    ValueError: the last dimension is not 4.

  References:
    WO 2021/178001, Eq. 2 [0025]. The printed arc cosine is NaN if rounding
    makes |q·q'| exceed 1. At 1 its slope is infinite and its error in float32
    is 5e-4. This form has none of these faults.

  Example:
    >>> identity, half_turn = jnp.array([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    >>> print(view_angle(identity, half_turn))
    3.1415927
  """
  if first.shape[-1:] != (4,) or second.shape[-1:] != (4,):
    raise ValueError(
      "quaternions must have shape [..., 4],"
      f" got {first.shape} and {second.shape}"
    )
  first, second = to_unit(first), to_unit(second)
  dot = jnp.sum(first * second, axis=-1, keepdims=True)
  second = jnp.where(dot < 0, -second, second)
  apart = safe_norm(first - second)
  # At least as long as `apart`, so it is 0 only between two zeros.
  along = safe_norm(first + second)
  return 4 * jnp.arctan2(apart, jnp.where(along > 0, along, 1))


def make_margin(
  quaternions: jax.Array,
  *,
  kind: Literal["unit", "patent"] = "unit",
  between: float | None = None,
) -> Margin:
  """Dynamic margin ε: the larger, the larger the angle between two views.

  θ is the angle between two views. "patent" is θ within a model and a constant
  n > π, here 4, between models. "unit" is 0.05 + 0.9·θ/π within a model and
  1.5 between models.

  Args:
    quaternions: [N, 4], or [B, N, 4]: viewpoints w, x, y, z.
    kind: "unit" for unit vectors, "patent" for features of any length.
    between: the constant between models, above π for "patent". If None, the
      number above.

  Returns:
    The margin, without gradient.

  Raises:
    ValueError: the shape, `kind` or `between` is not as above.

  References:
    WO 2021/178001, Eq. 2 [0025]. Departs from it in two ways. No gradient
    flows to the viewpoints: G could lower ε, and so T's loss, by moving the
    viewpoints together. And unit vectors have d² ≤ 4, so that a margin n > π is
    almost never met; "unit" keeps the order of the margins and makes them
    reachable. Its minimum of 0.05 keeps the denominator of Eq. 1 above 0 for
    equal viewpoints.

  Example:
    >>> print(make_margin(jnp.eye(4)[:2]).within)
    [[0.05 0.95]
     [0.95 0.05]]
  """
  if quaternions.ndim not in (2, 3) or quaternions.shape[-1] != 4:
    raise ValueError(
      "quaternions must have shape [N, 4] or [B, N, 4],"
      f" got {quaternions.shape}"
    )
  quaternions = jax.lax.stop_gradient(quaternions)
  angle = view_angle(quaternions[..., :, None, :], quaternions[..., None, :, :])
  if kind == "unit":
    within = 0.05 + 0.9 * angle / math.pi
    return Margin(within, 1.5 if between is None else between)
  if kind == "patent":
    if between is not None and not between > math.pi:
      raise ValueError(
        f"between must be above pi for the patent's margin, got {between}"
      )
    return Margin(angle, 4.0 if between is None else between)
  raise ValueError(f"kind must be 'unit' or 'patent', got {kind!r}")


def expand_margin(margin: Margin, *, models: int, views: int) -> jax.Array:
  """Returns ε for every pair of images of a batch.

  Args:
    margin: from `make_margin`.
    models: B.
    views: N.

  Returns:
    [M, M]: `margin.within` for two images of one model, `margin.between` for
    images of two models. Images are ordered model by model.

  Raises:
    ValueError: the shape of `margin.within` does not match B and N.

  Example:
    >>> margin = Margin(jnp.zeros((1, 1)), 1.5)
    >>> print(expand_margin(margin, models=2, views=1))
    [[0.  1.5]
     [1.5 0. ]]
  """
  B, N = models, views
  within = jnp.asarray(margin.within)
  if within.shape not in ((N, N), (B, N, N)):
    raise ValueError(
      f"margin.within must have shape [N, N] or [B, N, N] for B = {B} models"
      f" of N = {N} views, got {within.shape}"
    )
  within = jnp.broadcast_to(within, (B, N, N))[:, :, None, :]
  same = jnp.eye(B, dtype=bool)[:, None, :, None]
  epsilon = jnp.where(same, within, margin.between)
  return epsilon.reshape(B * N, B * N)
