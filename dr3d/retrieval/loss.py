"""What T learns from: Eq. 1 and 2 of WO 2021/178001, and beside them.

`B` models, `N` views of a model, `D` feature size, `M = B·N` images in a
batch, `K` classes. T minimises a task loss: the triplet ratio (Eq. 1 and 2),
the supervised contrastive loss, or that of class prototypes. In the formulas
a, p, n are the features of anchor, positive and negative, d² is a squared
distance, ε a margin.

Which images are positives and negatives of each other: `dr3d.retrieval.pair`.
What G learns from: `dr3d.retrieval.separation`.
"""

import dataclasses
import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from dr3d.geometry.norm import squared_distance, to_unit
from dr3d.retrieval.margin import Margin, expand_margin
from dr3d.retrieval.pair import relate_images, stack_pair

_SMALLEST = 1e-6  # of a denominator
_ANCHORS_AT_ONCE = 8  # bounds the triplets in memory to 8·M²


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TaskLoss:
  """What T minimises, with two measurements.

  Attributes:
    loss: scalar: mean over the terms; `loss * count` is their sum.
    active: scalar in [0, 1]: share of the terms with work left.
    count: scalar: number of terms.
  """

  loss: jax.Array
  active: jax.Array
  count: jax.Array


def triplet_ratio(
  positive: jax.Array, negative: jax.Array, epsilon: jax.Array | float
) -> jax.Array:
  """Terms of Eq. 1: max(0, 1 − ‖a − n‖² / (‖a − p‖² + ε)).

  A term is 0 once the negative is further away than the positive by ε
  (in squared distance), and below 1 unless the negative equals the anchor.

  Args:
    positive: [...]: ‖a − p‖².
    negative: [...]: ‖a − n‖²; finite.
    epsilon: [...]: margin ε of a and p.

  Returns:
    [...]: terms in [0, 1].

  References:
    WO 2021/178001, Eq. 1 [0020]. The denominator is held at 1e-6 or above:
    with the patent's ε two equal viewpoints would give 0/0.

  Example:
    >>> print(triplet_ratio(jnp.array(0.5), jnp.array(0.25), 0.5))
    0.75
  """
  denominator = jnp.maximum(positive + epsilon, _SMALLEST)
  return jnp.maximum(0, 1 - negative / denominator)


def pair_triplet_loss(
  features_a: jax.Array, features_b: jax.Array, margin: Margin
) -> TaskLoss:
  """Eq. 1 for the images of two different models, with every triplet.

  Every image is an anchor once: its positives are the other images of its
  model, its negatives all images of the other model. ε compares the views of
  anchor and positive, so `margin.between` plays no part.

  Args:
    features_a: [N, D]: T's features of model A.
    features_b: [N, D]: of model B, under the same views.
    margin: from `make_margin`.

  Returns:
    The mean over all 2·N·(N − 1)·N triplets; 0 where N is 1.

  Raises:
    ValueError: shapes do not fit.

  References:
    WO 2021/178001, Eq. 1 [0020], with the roles of A and B swapped and every
    image as anchor [0025]. The patent prints the sum: `loss * count`.
  """
  features = stack_pair(features_a, features_b)
  return batch_triplet_loss(features, margin, mining="all")


def batch_triplet_loss(
  features: jax.Array,
  margin: Margin,
  *,
  labels: jax.Array | None = None,
  mining: Literal["all", "hard", "semihard"] = "hard",
) -> TaskLoss:
  """Eq. 1 over a batch of many models, with a choice of negatives.

  Every image is an anchor, with all its positives. For each of these pairs
  "all" takes every negative; "hard" the one nearest to the anchor;
  "semihard" the nearest one that is further away than the positive, or the
  furthest where none is. ε is that of anchor and positive: `margin.within` at
  their views on one model, `margin.between` on two models of one class,
  whose poses nothing ties together, so that the angle of their views says
  nothing of how alike the images can be.

  When all features are equal, each term is 1 and each gradient 0: a loss that
  stays at 1 is collapse (`dr3d.retrieval.guard`).

  Args:
    features: [B, N, D].
    margin: from `make_margin`.
    labels: int [B]: class of each model, below 0 where it has none; no model
      has one where this is None.
    mining: "all" and "semihard" cost time in M³, memory in M².

  Returns:
    The mean over the triplets chosen; 0 where there are none.

  Raises:
    ValueError: shapes do not fit, or `mining` is none of the above.

  References:
    WO 2021/178001, Eq. 1 and "similar in terms of label" [0020]. Departs from
    it in the negatives: random pairs of models are soon too easy. "semihard"
    after Schroff et al., FaceNet, CVPR 2015, section 3.2.

  Example:
    >>> features = jnp.eye(4).reshape(2, 2, 4)
    >>> print(batch_triplet_loss(features, Margin(jnp.ones((2, 2)), 1.5)).loss)
    0.3333333
  """
  if mining not in ("all", "hard", "semihard"):
    raise ValueError(
      f"mining must be 'all', 'hard' or 'semihard', got {mining!r}"
    )
  pairs = relate_images(features, labels)
  images = features.reshape(-1, features.shape[-1])
  rows = (
    squared_distance(images, images),
    expand_margin(margin, models=features.shape[0], views=features.shape[1]),
    pairs.positive,
    pairs.negative,
  )
  mine = functools.partial(_mine_anchor, mining=mining)
  anchors = jax.lax.map(
    jax.checkpoint(lambda row: mine(*row)), rows, batch_size=_ANCHORS_AT_ONCE
  )
  total, active, count = jnp.sum(anchors, axis=0)
  divisor = jnp.maximum(count, 1)
  return TaskLoss(total / divisor, active / divisor, count)


def contrastive_loss(
  features: jax.Array,
  *,
  labels: jax.Array | None = None,
  temperature: float | jax.Array = 0.1,
) -> TaskLoss:
  """Supervised contrastive loss over a batch, an alternative to Eq. 1.

  For an anchor a, −1/|P| Σ_p log(exp(a·p/τ) / Σ_x exp(a·x/τ)) over its
  positives P; x runs over all images but a. `active` is the share of
  anchors with a negative at least as near as their nearest positive.

  Args:
    features: [B, N, D]: unit vectors.
    labels: int [B], or None, as in `batch_triplet_loss`.
    temperature: τ, above 0.

  Returns:
    The mean over the anchors that have a positive; 0 where none has.

  Raises:
    ValueError: shapes do not fit, or `temperature` is not above 0.

  References:
    Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, Eq. 2 (the
    sum over positives outside the logarithm). Not in the patent.

  Example:
    >>> loss = contrastive_loss(jnp.ones((2, 2, 1))).loss
    >>> print(f"{loss:.4f}")  # log 3: a guess among three
    1.0986
  """
  if not isinstance(temperature, jax.Array) and not temperature > 0:
    raise ValueError(f"temperature must be above 0, got {temperature}")
  pairs = relate_images(features, labels)
  positive, negative = pairs.positive, pairs.negative
  images = features.reshape(-1, features.shape[-1])
  logits = jnp.matmul(images, images.T, precision="highest") / temperature
  # Finite, so that an image that is alone in its batch gives no NaN.
  least = jnp.finfo(logits.dtype).min
  total = jax.nn.logsumexp(
    jnp.where(positive | negative, logits, least), axis=1, keepdims=True
  )
  chosen = jnp.sum(positive, axis=1)
  terms = jnp.sum(jnp.where(positive, total - logits, 0), axis=1)
  nearest = jnp.max(jnp.where(positive, logits, least), axis=1, keepdims=True)
  wrong = jnp.any(negative & (logits >= nearest), axis=1) & (chosen > 0)
  count = jnp.sum(chosen > 0, dtype=logits.dtype)
  divisor = jnp.maximum(count, 1)
  loss = jnp.sum(terms / jnp.maximum(chosen, 1)) / divisor
  return TaskLoss(loss, jnp.sum(wrong) / divisor, count)


def join_views(features: jax.Array) -> jax.Array:
  """The features of a model's views as a single one, for losses of models.

  The product of two such features is the mean cosine of the same views of two
  models, which is half of what ranks models in a search.

  Args:
    features: [B, N, D]: unit vectors.

  Returns:
    [B, 1, N·D]: unit vectors.

  Example:
    >>> views = jnp.array([[[1.0, 0], [1, 0]], [[1, 0], [0, 1]]])
    >>> print(f"{jnp.vdot(*join_views(views)):.2f}")  # one view of two agrees
    0.50
  """
  B, N = features.shape[:2]
  return features.reshape(B, 1, -1) / math.sqrt(N)


def prototype_loss(
  features: jax.Array,
  prototypes: jax.Array,
  *,
  labels: jax.Array,
  temperature: float | jax.Array = 0.1,
  smoothing: float = 0.1,
) -> TaskLoss:
  """Cross-entropy of each image against one learned vector a class.

  A batch shows few classes; the prototypes stand for all of them, so that each
  image is told from every class at every step. `active` is the share of
  images to which the prototype of another class is nearest.

  Args:
    features: [B, N, D]: unit vectors.
    prototypes: [K, D]; of any length, only their directions count.
    labels: int [B]: class of each model, below K; a model whose label is below
      0 is left out.
    temperature: τ, above 0: the logits are cosines over τ.
    smoothing: share of the target spread over all K classes.

  Returns:
    The mean over the images; 0 where none has a label.

  Raises:
    ValueError: `temperature` is not above 0.

  References:
    Wang et al., NormFace, ACM MM 2017, Eq. 6; Zhai and Wu, Classification is a
    Strong Baseline for Deep Metric Learning, BMVC 2019; smoothing after
    Szegedy et al., CVPR 2016, section 7. Not in the patent.

  Example:
    >>> right = prototype_loss(
    ...   jnp.eye(2)[:, None], jnp.eye(2), labels=jnp.arange(2), smoothing=0.0
    ... )
    >>> print(f"{right.loss:.6f}")  # log(1 + exp(-10))
    0.000045
  """
  if not isinstance(temperature, jax.Array) and not temperature > 0:
    raise ValueError(f"temperature must be above 0, got {temperature}")
  logits = jnp.matmul(features, to_unit(prototypes).T, precision="highest")
  logits = logits / temperature
  images = jnp.repeat((labels >= 0)[:, None], features.shape[1], axis=1)
  own = jnp.maximum(labels, 0)[:, None]
  target = optax.smooth_labels(
    jax.nn.one_hot(own, len(prototypes), dtype=logits.dtype), smoothing
  )
  terms = optax.softmax_cross_entropy(logits, target)
  wrong = jnp.argmax(logits, axis=-1) != own
  count = jnp.sum(images, dtype=logits.dtype)
  divisor = jnp.maximum(count, 1)
  return TaskLoss(
    jnp.sum(terms, where=images) / divisor,
    jnp.sum(wrong & images) / divisor,
    count,
  )


def _mine_anchor(
  square: jax.Array,
  epsilon: jax.Array,
  positive: jax.Array,
  negative: jax.Array,
  *,
  mining: str,
) -> jax.Array:
  """Sum of Eq. 1's terms of one anchor, how many are active, how many exist.

  All arrays are [M]: squared distances from the anchor, margins, masks.
  """
  if mining == "all":
    chosen = jnp.broadcast_to(square, (square.size, square.size))
    valid = positive[:, None] & negative
  else:
    nearest = jnp.min(jnp.where(negative, square, jnp.inf))
    if mining == "hard":
      chosen = jnp.broadcast_to(nearest, square.shape)
    else:
      further = negative & (square > square[:, None])
      chosen = jnp.min(jnp.where(further, square, jnp.inf), axis=1)
      furthest = jnp.max(jnp.where(negative, square, -jnp.inf))
      chosen = jnp.where(jnp.any(further, axis=1), chosen, furthest)
    # An infinity that is masked only later would give 0·inf in the gradient.
    valid = (positive & jnp.any(negative))[:, None]
    chosen = jnp.where(valid, chosen[:, None], 0)
  terms = triplet_ratio(square[:, None], chosen, epsilon[:, None])
  terms = jnp.where(valid, terms, 0)
  active = jnp.sum(terms > 0, dtype=terms.dtype)
  return jnp.stack([jnp.sum(terms), active, jnp.sum(valid, dtype=terms.dtype)])
