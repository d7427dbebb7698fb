"""Penalties and measurements against degenerate solutions of T and G.

T can collapse: it maps every image to the same vector. G can let two cameras
coincide, or move the object out of the frame. `N` views, `D` feature size,
`H W` pixels. Quaternions are w, x, y, z. None of this is in the patent.
"""

import math

import jax
import jax.numpy as jnp

from dr3d.camera.view import view_directions
from dr3d.geometry.norm import safe_norm


def measure_spread(features: jax.Array) -> jax.Array:
  """Mean squared distance between two different images; 0 means collapse.

  Args:
    features: [..., D]: all leading dimensions count images.

  Returns:
    scalar: 2 for independent random unit vectors; 0 if all vectors are equal
    or there is only one.

  Example:
    >>> print(measure_spread(jnp.array([[1.0, 0], [0, 1.0]])))
    2.0
  """
  images = _flatten(features)
  count = images.shape[0]
  # Σ over pairs ‖x − y‖² is count·Σ‖x − mean‖²: linear in time and exact.
  variance = jnp.sum(jnp.var(images, axis=0))
  return 2 * variance * count / max(count - 1, 1)


def variance_floor(
  features: jax.Array, *, floor: float | None = None
) -> jax.Array:
  """Penalty on feature dimensions that vary too little between images.

  The mean over dimensions of max(0, 1 − std / floor). Near collapse the
  gradient of Eq. 1 is close to 0. The gradient of this penalty keeps its size
  until the standard deviation is below a thousandth of the floor. If all
  features are equal to the last bit its gradient is 0 too, as that of every
  loss that is symmetric in the images. Rounding and the differences between
  images end this state in practice; `measure_spread` detects it.

  Args:
    features: [..., D]: unit vectors; all leading dimensions count images.
    floor: standard deviation required of each dimension, above 0. If None,
      0.5/√D: half of what uniformly distributed directions have.

  Returns:
    scalar in [0, 1].

  Raises:
    ValueError: `floor` is not above 0, or there is no feature dimension.

  References:
    Bardes, Ponce, LeCun, VICReg, ICLR 2022, Eq. 1; here divided by the floor.

  Example:
    >>> print(variance_floor(jnp.array([[1.0, 0], [0, 1.0]])))
    0.0
  """
  images = _flatten(features)
  if floor is None:
    floor = 0.5 / math.sqrt(images.shape[1])
  if not floor > 0:
    raise ValueError(f"floor must be above 0, got {floor}")
  variance = jnp.var(images, axis=0)
  # The square root has an infinite slope at 0.
  deviation = jnp.sqrt(variance + (1e-3 * floor) ** 2)
  return jnp.mean(jnp.maximum(0, 1 - deviation / floor))


def smallest_view_angle(quaternions: jax.Array) -> jax.Array:
  """Smallest angle between the directions of two different views.

  Args:
    quaternions: [N, 4].

  Returns:
    scalar: radians in [0, π]; π for a single view.

  Raises:
    ValueError: the shape is not [N, 4].

  Example:
    >>> print(smallest_view_angle(jnp.eye(4)[:2]))  # z and −z
    3.1415927
  """
  distance = jnp.min(_direction_distance(quaternions))
  return 2 * jnp.arcsin(jnp.minimum(distance / 2, 1))


def view_repulsion(quaternions: jax.Array, *, angle: float = 0.25) -> jax.Array:
  """Penalty on views whose directions are closer than an angle.

  A pair of views costs max(0, 1 − c/c₀)². c is the distance between the two
  directions as unit vectors, c₀ the distance of two directions at `angle`. The
  cost is 0 beyond `angle`, and 1 at equality. Views that differ only by a
  rotation about their direction count as equal. At exact equality the gradient
  is 0, since no direction of movement is preferred.

  Args:
    quaternions: [N, 4]: viewpoints.
    angle: radians in (0, π). At the default, 100 directions fit on the sphere
      without cost.

  Returns:
    scalar in [0, N − 1]: sum over ordered pairs, divided by N.

  Raises:
    ValueError: the shape is not [N, 4], or `angle` is out of range.

  Example:
    >>> print(view_repulsion(jnp.ones((3, 4))))
    2.0
  """
  if not 0 < angle < math.pi:
    raise ValueError(f"angle must be in (0, pi), got {angle}")
  distance = _direction_distance(quaternions)
  limit = 2 * math.sin(angle / 2)
  near = jnp.square(jnp.maximum(0, 1 - distance / limit))
  return jnp.sum(near) / quaternions.shape[0]


def coverage_guard(
  alpha: jax.Array, *, low: float = 0.02, high: float = 0.9
) -> jax.Array:
  """Penalty on images in which the object is too small or fills the frame.

  max(0, 1 − m/low)² + max(0, (m − high)/(1 − high))² of the mean alpha m. If
  the object is so far outside the frame that no pixel sees it, alpha and this
  penalty have no gradient.

  Args:
    alpha: [..., H, W]: coverage of each pixel, in [0, 1].
    low: smallest mean without cost.
    high: largest mean without cost; 0 < low < high < 1.

  Returns:
    [...]: penalty of each image, in [0, 1].

  Raises:
    ValueError: `alpha` has fewer than two dimensions, or `low` and `high` are
      out of range.

  Example:
    >>> print(coverage_guard(jnp.zeros((8, 8))))
    1.0
  """
  if alpha.ndim < 2:
    raise ValueError(f"alpha must have shape [..., H, W], got {alpha.shape}")
  if not 0 < low < high < 1:
    raise ValueError(
      f"low and high must keep 0 < low < high < 1, got {low} and {high}"
    )
  mean = jnp.mean(alpha, axis=(-2, -1))
  empty = jnp.maximum(0, 1 - mean / low)
  full = jnp.maximum(0, (mean - high) / (1 - high))
  return jnp.square(empty) + jnp.square(full)


def _flatten(features: jax.Array) -> jax.Array:
  if features.ndim < 1:
    raise ValueError(f"features must have shape [..., D], got {features.shape}")
  return features.reshape(-1, features.shape[-1])


def _direction_distance(quaternions: jax.Array) -> jax.Array:
  """Distances between view directions, [N, N]; 2 on the diagonal.

  2 is the largest distance of unit vectors, so a view is never its own nearest.
  """
  if quaternions.ndim != 2 or quaternions.shape[1] != 4:
    raise ValueError(
      f"quaternions must have shape [N, 4], got {quaternions.shape}"
    )
  direction = view_directions(quaternions)
  distance = safe_norm(direction[:, None] - direction[None])
  return jnp.where(jnp.eye(quaternions.shape[0], dtype=bool), 2, distance)
