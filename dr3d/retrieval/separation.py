"""The separation loss that G minimises: Eq. 3 of WO 2021/178001.

G minimises it on the features of a frozen T. It is large if T gives similar
features to different images, or to different models. The printed equation and
the stated intent contradict each other, so both are here. `B` models, `N` views
of a model, `D` feature size, `M = B·N` images.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from dr3d.geometry.norm import squared_distance
from dr3d.retrieval.pair import relate_images, stack_pair

Objective = Literal["intent", "models", "literal"]

OBJECTIVES: tuple[Objective, ...] = ("intent", "models", "literal")

_EPSILON = 1e-6  # the constant in Eq. 3a and 3b

# δ as a share of the mean squared distance: pairs nearer than about a quarter
# of the mean distance (√0.05 ≈ 0.22) get most of the gradient.
_DELTA_SHARE = 0.05


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SeparationLoss:
  """The loss of G, with its two terms and a measurement.

  Two models are dissimilar unless they have the same label.

  Attributes:
    loss: scalar: `between + within` (Eq. 3).
    between: scalar: over pairs of images of dissimilar models (Eq. 3a), or over
      pairs of dissimilar models if the objective is "models".
    within: scalar: over pairs of images of one model (Eq. 3b).
    distance: scalar without gradient: mean squared distance over the pairs of
      both terms; over those of `between` alone if the objective is "models".
      Its running mean is the `scale` of the next steps.
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
  """Eq. 3 for two models.

  Args:
    features_a: [N, D]: features of model A's images.
    features_b: [N, D]: features of model B's images.
    objective: as in `batch_separation_loss`.
    scale: as in `batch_separation_loss`.

  Returns:
    The loss and its terms. `between` is over the N² pairs of an image of A and
    an image of B, `within` over the pairs inside A and inside B: N·(N − 1)
    unordered ones, or as many ordered ones of each model if the objective is
    "literal".

  Raises:
    ValueError: the shapes do not match, or `objective` is unknown.

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
  """Eq. 3 over a batch.

  A pair of images of dissimilar models belongs to `between`, a pair of one
  model to `within`, a pair of two models of one class to neither. The means
  count each unordered pair once.

  "intent": the mean of δ/(d² + δ) in each term, with δ = 0.05·`scale`. It is
  in [0, 1], 1 for equal images, and its slope is at most 0.65/√δ.

  "models": as "intent", but `between` is over pairs of dissimilar models, whose
  d² is the mean of ‖A_i − B_i‖² over the N views. Two images may be similar if
  another view separates their models, so each view is rewarded for what the
  others do not show. With "intent" N copies of one view can be the minimum.

  "literal": the sum of 1 − 1/(d² + 1e-6) in each term, as printed. Eq. 3b runs
  over both indices of the views of a model, so each of its pairs counts twice.

  Args:
    features: [B, N, D]: features of rendered images. The gradient flows to the
      renderer; the caller freezes the parameters of T.
    labels: int [B], or None, as in `loss.batch_triplet_loss`.
    objective: one of `OBJECTIVES`.
    scale: scalar without gradient: running mean of `distance`. 2 is the
      expectation for independent unit vectors. If None, `distance` of these
      features.

  Returns:
    The loss and its terms; a term without pairs is 0.

  Raises:
    ValueError: the shapes do not match, or `objective` is unknown.

  References:
    WO 2021/178001, Eq. 3, 3a, 3b [0027–0029]. The minimum of the printed terms
    is d = 0, equal images, against the stated intent, and one nearly equal pair
    outweighs all others by 1e6. "intent" does what the text says; for δ = 1e-6
    it is the mean of 1e-6·(1 − printed term). The caller weights the two
    terms; the patent's weight is 1.

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
    dissimilar = pairs.negative[::count, ::count]
    distance = _average(apart, dissimilar)
  else:
    apart, dissimilar = square, pairs.negative
    distance = _average(square, dissimilar | pairs.within)
  distance = jax.lax.stop_gradient(distance)
  if objective == "literal":
    kernel = 1 - 1 / (square + _EPSILON)
    between = jnp.sum(kernel, where=dissimilar) / 2  # the masks are symmetric
    within = jnp.sum(kernel, where=pairs.within)  # i, j and j, i [0028]
  else:
    scale = distance if scale is None else jax.lax.stop_gradient(scale)
    delta = jnp.maximum(_DELTA_SHARE * scale, _EPSILON)
    between = _average(delta / (apart + delta), dissimilar)
    within = _average(delta / (square + delta), pairs.within)
  return SeparationLoss(between + within, between, within, distance)


def _average(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Returns the mean of the values under the mask; 0 if the mask is empty."""
  return jnp.sum(values, where=mask) / jnp.maximum(jnp.sum(mask), 1)
