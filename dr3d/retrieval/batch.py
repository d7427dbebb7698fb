"""Which models and views a training step looks at.

`M` models in all, `B` models in a batch, `N` views, `V` of them in a step.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from dr3d.error import TrainingError


def number_classes(labels: Sequence[str]) -> np.ndarray:
  """Numbers the classes from 0; a model without a label is its own class.

  Args:
    labels: class of each model; `""` if it has none.

  Returns:
    int32 `[M]`.
  """
  numbers: dict[tuple[str, int], int] = {}
  return np.array(
    [
      numbers.setdefault((label, -1 if label else i), len(numbers))
      for i, label in enumerate(labels)
    ],
    np.int32,
  )


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """What a training step looks at.

  Attributes:
    sampling: `"batch"` draws classes, then models of each class. `"pair"` draws
      two models of different classes, as the patent does [0024].
    balance: a class is drawn with a probability proportional to its number of
      models to this power. 0 draws all classes equally often, 1 all models.
    model_count: B, models in a batch. `"pair"` ignores it.
    models_per_class: models drawn of a class at a time. `"pair"` ignores it.
    view_count: V, views of a step, the same for all its models. If None, all N.
      At the same cost, many models under few views train better than few
      models under all views.
  """

  sampling: Literal["batch", "pair"] = "batch"
  model_count: int = 32
  balance: float = 0.0
  models_per_class: int = 1
  view_count: int | None = 3


class Sampler:
  """Draws models and views as functions of the seed and the step only.

  Attributes:
    size: B, models in a batch.
  """

  def __init__(self, classes: np.ndarray, *, config: BatchConfig, seed: int):
    """Prepares the draws.

    Args:
      classes: int `[M]`, from `number_classes`.
      config: what a step looks at.
      seed: seed of all draws.

    Raises:
      ValueError: `sampling` is unknown, or `models_per_class` is not between 1
        and `model_count`.
      TrainingError: there are fewer than two classes.
    """
    if config.sampling not in ("batch", "pair"):
      raise ValueError(
        f'sampling must be "batch" or "pair", got {config.sampling!r}.'
      )
    if not 1 <= config.models_per_class <= config.model_count:
      raise ValueError(
        "models_per_class must be between 1 and model_count ="
        f" {config.model_count}, got {config.models_per_class}."
      )
    count = len(np.unique(classes))
    if count < 2:
      raise TrainingError(
        f"training needs models of at least two classes, got {count}: name"
        " each model's folder after its class, or pass a table with --labels."
      )
    self._members = [np.flatnonzero(classes == c) for c in np.unique(classes)]
    sizes = np.array([len(members) for members in self._members])
    self._weight = config.balance * np.log(sizes)
    pair = config.sampling == "pair"
    self._each = 1 if pair else config.models_per_class
    self._rounds = 2 if pair else config.model_count // self._each
    self._view_count = config.view_count
    self._seed = seed
    self.size = self._rounds * self._each

  def __call__(self, step: int) -> np.ndarray:
    """Returns the models of a step.

    A class is repeated only after all classes were drawn, a model only after
    all of its class. Augmentation makes the repeated models differ.

    Args:
      step: number of the step, from 0.

    Returns:
      int `[B]`, indices of models.

    References:
      Kool et al., Stochastic beams and where to find them, ICML 2019: sorting
      by log weight + Gumbel noise draws without replacement.
    """
    rng = np.random.default_rng((self._seed, step))
    classes = np.concatenate(
      [
        np.argsort(-self._weight - rng.gumbel(size=len(self._members)))
        for _ in range(0, self._rounds, len(self._members))
      ]
    )[: self._rounds]
    drawn, times = np.unique(classes, return_counts=True)
    return np.concatenate(
      [
        np.resize(rng.permutation(self._members[c]), n * self._each)
        for c, n in zip(drawn, times, strict=True)
      ]
    )

  def draw_views(self, step: int, view_count: int) -> np.ndarray:
    """Returns the views of a step.

    Args:
      step: number of the step, from 0.
      view_count: N, views to choose from.

    Returns:
      int `[V]`, indices of views, ascending.
    """
    count = min(self._view_count or view_count, view_count)
    rng = np.random.default_rng((self._seed, step, 1))
    return np.sort(rng.permutation(view_count)[:count])
