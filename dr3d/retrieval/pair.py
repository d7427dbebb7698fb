"""Which images of a batch are positives and negatives of each other.

`B` models, `N` views of a model, `D` feature size, `M = B·N` images, ordered
model by model. Two models are similar if both have labels and the labels are
equal. A label below 0 means that a model has none; it is then similar to no
other model, as A and B in the patent's step with two models [0024].
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

Alike = Literal["class", "pose", "both"]
"""What makes two images similar: class, pose, or both [0020]."""

ALIKE: tuple[Alike, ...] = ("class", "pose", "both")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pairs:
  """Symmetric masks over pairs of images; the diagonal is False in all.

  Attributes:
    positive: bool [M, M]: two images of one model or of two similar models.
    negative: bool [M, M]: two images of models that are not similar.
    within: bool [M, M]: two images of one model.
  """

  positive: jax.Array
  negative: jax.Array
  within: jax.Array


def relate_images(
  features: jax.Array, labels: jax.Array | None = None
) -> Pairs:
  """Returns the masks of the pairs that a loss attracts or separates.

  Args:
    features: [B, N, D]; only the shape is used.
    labels: int [B]: class of each model, below 0 if it has none. If None, no
      model has a label.

  Returns:
    The masks.

  Raises:
    ValueError: the shapes do not match, or labels are not integers.

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
  similar = same | ((label[:, None] == label) & (label >= 0))
  return Pairs(similar & other, ~similar, same & other)


def relate_by_pose(
  pairs: Pairs, angles: jax.Array, *, alike: Alike, limit: float
) -> Pairs:
  """Returns the masks if the pose of the object counts, across classes.

  "pose": two images are positives if their views are near, of whatever models,
  and negatives otherwise. "both": positives are near in pose and similar in
  label; what differs in one of them is a negative.

  Args:
    pairs: from `relate_images`, of B models under the same N views.
    angles: [N, N]: angles between the views, radians; see `margin.view_angle`.
    alike: one of `ALIKE`; "class" returns `pairs`.
    limit: angle up to which two views count as the same pose, radians.

  Returns:
    The masks; `within` is that of `pairs`.

  Raises:
    ValueError: `alike` is unknown, or B·N images do not have N views.

  References:
    WO 2021/178001 [0020]: similar "in terms of label or pose".

  Example:
    >>> pairs = relate_images(jnp.zeros((2, 2, 3)))  # two models, two views
    >>> angles = jnp.array([[0.0, 2.0], [2.0, 0.0]])
    >>> near = relate_by_pose(pairs, angles, alike="pose", limit=0.5)
    >>> print(near.positive[0].astype(int), near.negative[0].astype(int))
    [0 0 1 0] [0 1 0 1]
  """
  if alike not in ALIKE:
    raise ValueError(f"alike must be one of {ALIKE}, got {alike!r}.")
  if alike == "class":
    return pairs
  M, N = len(pairs.positive), len(angles)
  if M % N:
    raise ValueError(f"{M} images are not of models under {N} views each.")
  near = jnp.tile(angles <= limit, (M // N, M // N))
  other = ~jnp.eye(M, dtype=bool)
  if alike == "pose":
    return Pairs(near & other, ~near, pairs.within)
  return Pairs(pairs.positive & near, pairs.negative | ~near, pairs.within)


def stack_pair(features_a: jax.Array, features_b: jax.Array) -> jax.Array:
  """Stacks the features of models A and B to a batch of two.

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
