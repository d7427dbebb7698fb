"""Task losses that T minimises: Eq. 1 of WO 2021/178001 and two others.

The triplet ratio (Eq. 1 with the margin of Eq. 2), the supervised contrastive
loss, and the cross-entropy over class prototypes. `B` models, `N` views of a
model, `D` feature size, `M = B·N` images in a batch, `K` classes. In formulas
a, p, n are the features of anchor, positive and negative, d² is a squared
distance, ε a margin, τ a temperature.

`dr3d.retrieval.pair` says which images are positives and negatives of each
other, `dr3d.retrieval.separation` holds the loss of G.
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
from dr3d.retrieval.pair import Pairs, relate_images, stack_pair

Mining = Literal["all", "hard", "semihard"]

_DENOMINATOR_MIN = 1e-6  # of Eq. 1; the patent's Eq. 3a has the same constant
_ANCHORS_AT_ONCE = 8  # bounds the triplets in memory to 8·M²


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TaskLoss:
  """A loss of T, with two measurements.

  Attributes:
    loss: scalar: mean over the terms; `loss * count` is their sum.
    active: scalar in [0, 1]: share of the terms that are not yet satisfied, as
      each loss defines it.
    count: scalar: number of terms.
  """

  loss: jax.Array
  active: jax.Array
  count: jax.Array


def triplet_ratio(
  positive: jax.Array, negative: jax.Array, epsilon: jax.Array | float
) -> jax.Array:
  """Terms of Eq. 1: max(0, 1 − ‖a − n‖² / (‖a − p‖² + ε)).

  A term is 0 if the squared distance of the negative exceeds that of the
  positive by ε or more. It is below 1 unless the negative equals the anchor.

  Args:
    positive: [...]: ‖a − p‖².
    negative: [...]: ‖a − n‖²; finite.
    epsilon: [...]: margin ε of a and p.

  Returns:
    [...]: terms in [0, 1].

  References:
    WO 2021/178001, Eq. 1 [0020]. Here the denominator is at least 1e-6: two
    equal viewpoints have the margin 0 in the patent, which would give 0/0.

  Example:
    >>> print(triplet_ratio(jnp.array(0.5), jnp.array(0.25), 0.5))
    0.75
  """
  denominator = jnp.maximum(positive + epsilon, _DENOMINATOR_MIN)
  return jnp.maximum(0, 1 - negative / denominator)


def pair_triplet_loss(
  features_a: jax.Array, features_b: jax.Array, margin: Margin
) -> TaskLoss:
  """Eq. 1 over all triplets of two models of different classes.

  Every image is an anchor. Its positives are the other images of its model,
  its negatives all images of the other model. ε depends on the views of anchor
  and positive, so `margin.between` is not used.

  Args:
    features_a: [N, D]: T's features of model A.
    features_b: [N, D]: T's features of model B under the same views.
    margin: from `make_margin`.

  Returns:
    The mean over all 2·N·(N − 1)·N triplets; 0 if N is 1.

  Raises:
    ValueError: the shapes do not match.

  References:
    WO 2021/178001, Eq. 1 [0020], with the roles of A and B swapped as well and
    every image as anchor [0025]. The patent prints the sum: `loss * count`.
  """
  features = stack_pair(features_a, features_b)
  return batch_triplet_loss(features, margin, mining="all")


def batch_triplet_loss(
  features: jax.Array,
  margin: Margin,
  *,
  labels: jax.Array | None = None,
  mining: Mining = "hard",
  pairs: Pairs | None = None,
) -> TaskLoss:
  """Eq. 1 over a batch of many models, with a choice of negatives.

  Every image is an anchor, with all its positives. For each of these pairs
  "all" takes every negative. "hard" takes the negative nearest to the anchor.
  "semihard" takes the nearest one that is further away than the positive, or
  the furthest one if none is. ε belongs to anchor and positive. It is
  `margin.within` at their views if they show one model. It is `margin.between`
  if they show two models of one class: their poses are unrelated, so the angle
  between the views does not predict the similarity of the images.

  If all features are equal, each term is 1 and each gradient 0. A loss that
  stays at 1 therefore means collapse (`dr3d.retrieval.guard`).

  Args:
    features: [B, N, D].
    margin: from `make_margin`.
    labels: int [B]: class of each model, below 0 if it has none. If None, no
      model has a label.
    mining: choice of negatives. "all" and "semihard" take time in M³ and memory
      in M².
    pairs: positives and negatives, see `pair.relate_by_pose`; those of the
      labels if None.

  Returns:
    The mean over the chosen triplets; 0 if there are none.

  Raises:
    ValueError: the shapes do not match, or `mining` is unknown.

  References:
    WO 2021/178001, Eq. 1 and "similar in terms of label" [0020]. Departs from
    it in the choice of negatives: random pairs of models soon give no active
    term. "semihard" after Schroff et al., FaceNet, CVPR 2015, section 3.2.

  Example:
    >>> features = jnp.eye(4).reshape(2, 2, 4)
    >>> print(batch_triplet_loss(features, Margin(jnp.ones((2, 2)), 1.5)).loss)
    0.3333333
  """
  if mining not in ("all", "hard", "semihard"):
    raise ValueError(
      f"mining must be 'all', 'hard' or 'semihard', got {mining!r}"
    )
  pairs = relate_images(features, labels) if pairs is None else pairs
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
  pairs: Pairs | None = None,
) -> TaskLoss:
  """Supervised contrastive loss over a batch, an alternative to Eq. 1.

  For an anchor a with positives P: −1/|P| Σ_p log(exp(a·p/τ) / Σ_x exp(a·x/τ)),
  where x runs over all images except a. `active` is the share of anchors with a
  negative at least as near as their nearest positive.

  Args:
    features: [B, N, D]: unit vectors.
    labels: int [B], or None, as in `batch_triplet_loss`.
    temperature: τ, above 0.
    pairs: as in `batch_triplet_loss`.

  Returns:
    The mean over the anchors that have a positive; 0 if none has one.

  Raises:
    ValueError: the shapes do not match, or `temperature` is not above 0.

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
  pairs = relate_images(features, labels) if pairs is None else pairs
  positive, negative = pairs.positive, pairs.negative
  images = features.reshape(-1, features.shape[-1])
  logits = jnp.matmul(images, images.T, precision="highest") / temperature
  # Not −inf: a batch of one image has no other image, and −inf − (−inf) is NaN.
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
  """Joins the features of a model's views to one vector, for losses of models.

  The inner product of two such vectors is the mean cosine between equal views
  of two models.

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
  """Cross-entropy of each image over one learned vector for each class.

  A batch contains few classes. The prototypes represent all of them, so each
  image is compared with every class in every step. `active` is the share of
  images whose nearest prototype belongs to another class.

  Args:
    features: [B, N, D]: unit vectors.
    prototypes: [K, D]; only their directions are used.
    labels: int [B]: class of each model, below K. Models with a label below 0
      are left out.
    temperature: τ, above 0: the logits are cosines divided by τ.
    smoothing: share of the target that is spread over all K classes.

  Returns:
    The mean over the images; 0 if no model has a label.

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
  mining: Mining,
) -> jax.Array:
  """Eq. 1 for one anchor.

  Args:
    square: [M]: squared distances from the anchor.
    epsilon: [M]: margins with the anchor.
    positive: bool [M].
    negative: bool [M].
    mining: choice of negatives.

  Returns:
    [3]: sum of the terms, number of active terms, number of terms.
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
    # Masked before the division: an infinity that is masked after it gives
    # 0·inf = NaN in the gradient.
    valid = (positive & jnp.any(negative))[:, None]
    chosen = jnp.where(valid, chosen[:, None], 0)
  terms = triplet_ratio(square[:, None], chosen, epsilon[:, None])
  terms = jnp.where(valid, terms, 0)
  active = jnp.sum(terms > 0, dtype=terms.dtype)
  return jnp.stack([jnp.sum(terms), active, jnp.sum(valid, dtype=terms.dtype)])
