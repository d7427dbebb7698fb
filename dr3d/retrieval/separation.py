"""What G learns from: Eq. 3 of WO 2021/178001, as printed and as meant.

`B` models, `N` views of a model, `D` feature size, `M = B·N` images. G
minimises the separation loss on the features of a frozen T: images, or whole
models, that T cannot tell apart.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from dr3d.geometry.norm import squared_distance
from dr3d.retrieval.pair import relate_images, stack_pair

Objective = Literal["intent", "models", "literal"]

OBJECTIVES: tuple[Objective, ...] = ("intent", "models", "literal")

_SMALLEST = 1e-6  # the constant in Eq. 3a and 3b


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SeparationLoss:
  """What G minimises, with its two terms and a measurement.

  Attributes:
    loss: scalar: `between + within` (Eq. 3).
    between: scalar: over pairs of images of unlike models (Eq. 3a), or over
      models.
    within: scalar: over pairs of images of one model (Eq. 3b).
    distance: scalar without gradient: mean squared distance of all those
      pairs, or of unlike models where `between` is over models; its running
      mean is the `scale` of the next steps.
  """

  loss: jax.Array
  between: jax.Array
  within: jax.Array
  distance: jax.Array


def pair_separation_loss(
  features_a: jax.Array,
  features_b: jax.Array,
  *,
  objective: Objective = "intent",
  scale: float | jax.Array | None = 2.0,
) -> SeparationLoss:
  """Eq. 3 for two models: images that look alike to a frozen T.

  Args:
    features_a: [N, D]: features of model A's images.
    features_b: [N, D]: of model B's.
    objective: as in `batch_separation_loss`.
    scale: the same.

  Returns:
    The loss and its terms: `between` over the N² pairs of an image of A and
    one of B, `within` over the pairs inside A and inside B.

  Raises:
    ValueError: shapes do not fit, or `objective` is unknown.

  References:
    WO 2021/178001, Eq. 3, 3a, 3b [0027–0029].
  """
  features = stack_pair(features_a, features_b)
  return batch_separation_loss(features, objective=objective, scale=scale)


def batch_separation_loss(
  features: jax.Array,
  *,
  labels: jax.Array | None = None,
  objective: Objective = "intent",
  scale: float | jax.Array | None = 2.0,
) -> SeparationLoss:
  """Eq. 3 over a batch: what looks alike to a frozen T.

  "intent" is the mean of δ/(d² + δ), δ = 0.05·`scale`, for each term: in
  [0, 1], 1 where images are alike, and no slope steeper than 0.65/√δ. "literal"
  is the sum of 1 − 1/(d² + 1e-6). Every pair of images counts once. A pair
  of unlike models enters `between`, one of a single model `within`, one of
  two models of one class neither.

  "models" is "intent" with `between` over pairs of unlike models, whose d² is
  the mean over the N views of ‖A_i − B_i‖². Two images may be alike where
  another view tells their models apart. So views are of use that see what the
  others do not, while by the images one by one the best view is best N times.

  Args:
    features: [B, N, D]: features of rendered images; the gradient goes to the
      renderer, T's parameters are the caller's to freeze.
    labels: int [B], or None, as in `batch_triplet_loss`.
    objective: one of `OBJECTIVES`.
    scale: scalar: running mean of `distance`, without gradient. 2 is the
      expectation for unit vectors that have nothing in common. That of these
      features where None.

  Returns:
    The loss and its terms; a term without a pair is 0.

  Raises:
    ValueError: shapes do not fit, or `objective` is unknown.

  References:
    WO 2021/178001, Eq. 3, 3a, 3b [0027–0029]. Printed is "literal", whose
    minimum is d = 0, images alike, and where one near-equal pair outweighs
    all others by 1e6. "intent" does what the text says; for δ = 1e-6 it is
    the mean of 1e-6·(1 − printed term). Counting a pair twice, or one term
    more than the other, would be a weight: the caller's, on the two terms.

  Example:
    >>> features = jnp.eye(2)[:, None, :]  # two models, one view: d² = 2
    >>> print(batch_separation_loss(features, scale=10.0).between)
    0.2
  """
  if objective not in OBJECTIVES:
    raise ValueError(
      f"objective must be one of {', '.join(map(repr, OBJECTIVES))}, got"
      f" {objective!r}"
    )
  pairs = relate_images(features, labels)
  images = features.reshape(-1, features.shape[-1])
  square = squared_distance(images, images)
  if objective == "models":
    count = features.shape[1]
    models = features.reshape(len(features), -1)
    apart = squared_distance(models, models) / count
    unlike = pairs.negative[::count, ::count]
    distance = _average(apart, unlike)
  else:
    apart, unlike = square, pairs.negative
    distance = _average(square, unlike | pairs.within)
  distance = jax.lax.stop_gradient(distance)
  if objective == "literal":
    kernel = 1 - 1 / (square + _SMALLEST)
    between = jnp.sum(kernel, where=unlike) / 2  # a pair stands twice
    within = jnp.sum(kernel, where=pairs.within) / 2
  else:
    scale = distance if scale is None else jax.lax.stop_gradient(scale)
    delta = jnp.maximum(0.05 * scale, _SMALLEST)
    between = _average(delta / (apart + delta), unlike)
    within = _average(delta / (square + delta), pairs.within)
  return SeparationLoss(between + within, between, within, distance)


def _average(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Mean of the values under the mask, 0 where it is empty."""
  return jnp.sum(values, where=mask) / jnp.maximum(jnp.sum(mask), 1)
