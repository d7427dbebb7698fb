"""Conditions on the models that a query searches."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from dr3d.database.model import Model
from dr3d.error import ConditionError
from dr3d.index.milvus import make_expression

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
    rows = np.flatnonzero(self.mark(Columns(models), extent=extent))
    return {models[row].name for row in rows.tolist()}

  def mark(self, columns: "Columns", *, extent: Sequence[float]) -> np.ndarray:
    """Which models meet the condition: bool [B].

    Args:
      columns: of the B indexed models.
      extent: see `choose`.

    Raises:
      ConditionError: see `choose`.
    """
    self._check(columns)
    marked = np.ones(columns.count, bool)
    if self.labels:
      marked &= columns.mark(columns.labels, self.labels)
    for key, values in self.where.items():
      marked &= columns.mark(columns.values[key], values)
    if self.same_size is not None:
      gap = np.abs(columns.sides - np.sort(np.asarray(extent, np.float64)))
      # Those of an unknown size are NaN, and not near.
      marked &= (gap <= self.find_slack(extent)).all(axis=1)
    return marked

  def find_slack(self, extent: Sequence[float]) -> float:
    """How much each side may differ from that of the query, millimetres."""
    assert self.same_size is not None
    return self.same_size * max(extent)

  def express(self, extent: Sequence[float]) -> str:
    """The condition in the language of Milvus; empty if it accepts all."""
    return make_expression(
      tuple(self.labels),
      {key: tuple(values) for key, values in self.where.items()},
      extent,
      None if self.same_size is None else self.find_slack(extent),
    )

  def _check(self, columns: "Columns") -> None:
    for label in self.labels:
      if label not in columns.labels:
        raise ConditionError(f"no indexed model has the label {label!r}.")
    for key, values in self.where.items():
      if key not in columns.values:
        raise ConditionError(
          f"no indexed model has metadata {key!r}; the known keys are "
          f"{', '.join(sorted(columns.values)) or 'none'}."
        )
      for value in values:
        if value not in columns.values[key]:
          raise ConditionError(f"no indexed model has {key}={value}.")


class Columns:
  """What conditions are about, by column, so that millions are filtered fast.

  Attributes:
    count: B, the number of models.
    labels: rows of the models by label.
    values: rows of the models by value, by key of the metadata.
    sides: float64 [B, 3], sorted true sizes, millimetres; NaN if unknown.
  """

  def __init__(self, models: Sequence[Model]):
    """Sorts models into columns."""
    labels: dict[str, list[int]] = {}
    values: dict[str, dict[str, list[int]]] = {}
    self.count = len(models)
    self.sides = np.full((len(models), 3), np.nan)
    for row, model in enumerate(models):
      labels.setdefault(model.label, []).append(row)
      for key, value in model.metadata.items():
        values.setdefault(key, {}).setdefault(value, []).append(row)
      if model.extent is not None:
        self.sides[row] = sorted(model.extent)
    self.labels = {name: np.array(rows) for name, rows in labels.items()}
    self.values = {
      key: {name: np.array(rows) for name, rows in column.items()}
      for key, column in values.items()
    }

  def mark(
    self, column: Mapping[str, np.ndarray], names: Collection[str]
  ) -> np.ndarray:
    """Which models have one of the values of a column: bool [B]."""
    marked = np.zeros(self.count, bool)
    for name in names:
      marked[column[name]] = True
    return marked
