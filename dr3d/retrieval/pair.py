"""Which images of a batch belong together.

`B` models, `N` views of a model, `D` feature size, `M = B·N` images, counted
model by model. Two models are alike when both have labels and the labels are
equal. A label below 0 says that a model has none: it is alike to no other, as
A and B are in the patent's two-model step [0024].
"""

import dataclasses

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pairs:
  """Symmetric masks over pairs of images; an image and itself are in none.

  Attributes:
    positive: bool [M, M]: of one model, or of two that are alike.
    negative: bool [M, M]: of two models that are not alike.
    within: bool [M, M]: of one model.
  """

  positive: jax.Array
  negative: jax.Array
  within: jax.Array


def relate_images(
  features: jax.Array, labels: jax.Array | None = None
) -> Pairs:
  """Masks of the pairs that a loss attracts, repels or separates.

  Args:
    features: [B, N, D]; only the shape counts.
    labels: int [B]: class of each model, below 0 where it has none; no model
      has one where this is None.

  Returns:
    The masks.

  Raises:
    ValueError: shapes do not fit, or labels are not integers.

  Example:
    >>> print(relate_images(jnp.zeros((2, 1, 3))).negative)
    [[False  True]
     [ True False]]
  """
  if features.ndim != 3:
    raise ValueError(
      f"features must have shape [B, N, D], got {features.shape}"
    )
  B, N = features.shape[:2]
  labels = jnp.full(B, -1) if labels is None else jnp.asarray(labels)
  if labels.shape != (B,) or not jnp.issubdtype(labels.dtype, jnp.integer):
    raise ValueError(
      f"labels must be integers of shape [B] = ({B},),"
      f" got {labels.dtype} {labels.shape}"
    )
  model = jnp.repeat(jnp.arange(B), N)
  label = jnp.repeat(labels, N)
  other = ~jnp.eye(B * N, dtype=bool)
  same = model[:, None] == model
  alike = same | ((label[:, None] == label) & (label >= 0))
  return Pairs(alike & other, ~alike, same & other)


def stack_pair(features_a: jax.Array, features_b: jax.Array) -> jax.Array:
  """The features of models A and B as a batch of two.

  Args:
    features_a: [N, D].
    features_b: [N, D].

  Returns:
    [2, N, D].

  Raises:
    ValueError: the shapes are not these.
  """
  if features_a.ndim != 2 or features_a.shape != features_b.shape:
    raise ValueError(
      "features of A and B must both have shape [N, D],"
      f" got {features_a.shape} and {features_b.shape}"
    )
  return jnp.stack([features_a, features_b])
