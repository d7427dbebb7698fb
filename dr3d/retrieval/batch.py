"""Which models make the batch of a step of training."""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """What a step of training looks at.

  Attributes:
    sampling: `"batch"` draws classes and models of each; `"pair"` is the
      patent's two models of different objects.
    balance: 0 draws classes evenly, 1 in proportion to their models, so that
      models come evenly; between, to that power of their number.
    model_count: B, models in a batch.
    models_per_class: models drawn of a class at a time.
    view_count: viewpoints of a step, the same for all its models; more models
      under fewer of the N views teach more than fewer under all. All N where
      None.
  """

  sampling: Literal["batch", "pair"] = "batch"
  model_count: int = 32
  balance: float = 0.0
  models_per_class: int = 1
  view_count: int | None = 3


class Sampler:
  """Draws models and views of a step: functions of seed and step alone.

  Attributes:
    size: B, models in a batch.
  """

  def __init__(self, classes: np.ndarray, *, config: BatchConfig, seed: int):
    """Takes `[M]` classes as `number_classes` gives them.

    Raises:
      ValueError: `sampling` is unknown, or a number is below 1.
      TrainingError: the models are all of one class.
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
        f"training needs models of at least two classes to tell apart, got"
        f" {count}: give the models' folders the names of their classes, or a"
        " table with --labels."
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
    """Returns int `[B]`, the models of a step.

    No class comes again before all have come; a model comes again only when
    all of its class have, and then it is augmented in another way. The greatest
    of log weight + Gumbel noise is a draw without replacement.
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
    """Returns int `[V]`, the views of a step, ascending.

    Args:
      step: number of the step.
      view_count: N, how many there are to choose from.
    """
    count = min(self._view_count or view_count, view_count)
    rng = np.random.default_rng((self._seed, step, 1))
    return np.sort(rng.permutation(view_count)[:count])
