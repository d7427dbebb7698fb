"""Conditions on the models that a query searches."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from dr3d.database.model import Model
from dr3d.error import ConditionError

TOLERANCE = 0.05  # of the longest side: a scan measures it to some percent


def split_pairs(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
  """Parses `key=value` pairs; keys are lowered, and may have several values.

  Raises:
    ValueError: a pair has no equals sign or no key; the message is a
      predicate.
  """
  found: dict[str, tuple[str, ...]] = {}
  for pair in pairs:
    key, sign, value = pair.partition("=")
    key = key.strip().lower()
    if not sign or not key:
      raise ValueError(f"takes key=value, not {pair!r}")
    found[key] = (*found.get(key, ()), value.strip())
  return found


@dataclasses.dataclass(frozen=True)
class Condition:
  """What a model must have to be searched.

  Attributes:
    labels: accepted labels; empty accepts all.
    where: accepted values by key of the metadata.
    same_size: largest difference of the true size along each principal axis,
      as a share of the query's longest; None for any size.
  """

  labels: Collection[str] = ()
  where: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)
  same_size: float | None = None

  def choose(
    self, models: Sequence[Model], *, extent: Sequence[float]
  ) -> set[str]:
    """Returns the names of the models that meet the condition.

    Args:
      models: the indexed models.
      extent: of the query along its principal axes, millimetres.

    Raises:
      ConditionError: no model has such a label, key or value, which is
        probably misspelt.
    """
    self._check(models)
    return {
      model.name
      for model in models
      if (not self.labels or model.label in self.labels)
      and all(model.metadata.get(key) in self.where[key] for key in self.where)
      and (self.same_size is None or self._fits(model, extent))
    }

  def _check(self, models: Sequence[Model]) -> None:
    known = {model.label for model in models}
    for label in self.labels:
      if label not in known:
        raise ConditionError(f"no indexed model has the label {label!r}.")
    for key, values in self.where.items():
      found = {model.metadata.get(key) for model in models} - {None}
      if not found:
        keys = sorted({key for model in models for key in model.metadata})
        raise ConditionError(
          f"no indexed model has metadata {key!r}; the known keys are "
          f"{', '.join(keys) or 'none'}."
        )
      for value in values:
        if value not in found:
          raise ConditionError(f"no indexed model has {key}={value}.")

  def _fits(self, model: Model, extent: Sequence[float]) -> bool:
    assert self.same_size is not None
    if model.extent is None:
      return False
    slack = self.same_size * max(extent)
    sides = zip(sorted(model.extent), sorted(extent), strict=True)
    return all(abs(one - two) <= slack for one, two in sides)
