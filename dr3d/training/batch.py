"""Which models make the batch of a step of training."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from dr3d.error import TrainingError


def number_classes(labels: Sequence[str]) -> np.ndarray:
  """Classes as integers from 0; a model without a label is its own class.

  Args:
    labels: class of each model, or `""`.

  Returns:
    int32 `[M]` for M models.
  """
  numbers: dict[tuple[str, int], int] = {}
  return np.array(
    [
      numbers.setdefault((label, -1 if label else i), len(numbers))
      for i, label in enumerate(labels)
    ],
    np.int32,
  )


class Sampler:
  """Draws the models of a step: a function of seed and step alone.

  Attributes:
    size: B, models in a batch.
  """

  def __init__(
    self,
    classes: np.ndarray,
    *,
    sampling: Literal["batch", "pair"],
    class_count: int,
    models_per_class: int,
    seed: int,
  ):
    """Args are those of `dr3d.TrainConfig`.

    Raises:
      ValueError: `sampling` is unknown.
      TrainingError: the models are all of one class.
    """
    if sampling not in ("batch", "pair"):
      raise ValueError(f'sampling must be "batch" or "pair", got {sampling!r}.')
    count = len(np.unique(classes))
    if count < 2:
      raise TrainingError(
        f"training needs models of at least two classes to tell apart, got"
        f" {count}: give the models' folders the names of their classes, or a"
        " table with --labels."
      )
    self._members = [np.flatnonzero(classes == c) for c in np.unique(classes)]
    self._drawn = 2 if sampling == "pair" else min(class_count, count)
    self._each = 1 if sampling == "pair" else models_per_class
    self._seed = seed
    self.size = self._drawn * self._each

  def __call__(self, step: int) -> np.ndarray:
    """Returns int `[B]`, the models of a step; a small class repeats."""
    rng = np.random.default_rng((self._seed, step))
    drawn = rng.choice(len(self._members), self._drawn, replace=False)
    chosen = [
      np.resize(rng.permutation(self._members[c]), self._each) for c in drawn
    ]
    return np.concatenate(chosen)
