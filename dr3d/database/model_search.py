"""Which models have given words, labels, metadata and sizes, and how many.

Nothing is compared with a shape here; `reader` does that.
"""

import collections
import dataclasses
import math
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping

from dr3d.database.model import INDEXED, Model, State
from dr3d.database.text_search import TextIndex

LABEL = "label"
"""Name of the label among the columns of `count_values`."""

_OTHER = "\0"  # a condition on no column
_DEFAULT_SHOWN = 3  # columns, if none were chosen


@dataclasses.dataclass(frozen=True)
class Filter:
  """What a model must have to be listed.

  Attributes:
    labels: accepted labels; empty accepts all.
    where: accepted values by key of the metadata.
    state: of the model; None for any.
    smallest: least length of the longest side, millimetres.
    largest: greatest length of it.
  """

  labels: Collection[str] = ()
  where: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)
  state: State | None = None
  smallest: float = 0.0
  largest: float = math.inf


@dataclasses.dataclass(frozen=True)
class Column:
  """Values of a label or of a key of the metadata.

  Attributes:
    name: "label", or the key.
    values: with the number of models that have them, the most frequent first.
    total: number of different values, also of those that are not listed.
  """

  name: str
  values: tuple[tuple[str, int], ...]
  total: int


class ModelSearch:
  """Finds and counts models; any number of threads may use it."""

  def __init__(self) -> None:
    """Makes a search whose words are read when a text is searched first."""
    self._lock = threading.Lock()
    self._index: TextIndex | None = None
    self._indexed: object = None

  def find_text(self, models: Mapping[str, Model], text: str) -> list[Model]:
    """Returns the models that the words of a text match.

    Args:
      models: by name. To search the same object again costs no update.
      text: see `text_search`.

    Returns:
      The best first; as `models` are ordered if there is no text.

    Raises:
      DatabaseError: this Python cannot search text.
    """
    if not text.strip():
      return list(models.values())
    with self._lock:
      self._index = self._index or TextIndex()
      if models is not self._indexed:
        self._index.update(models.values())
        self._indexed = models
      return [models[name] for name in self._index.find(text)]


def choose(models: Iterable[Model], condition: Filter) -> list[Model]:
  """Returns the models that meet a condition, in the same order."""
  return [model for model in models if not any(_list_unmet(model, condition))]


def count_values(
  models: Iterable[Model], condition: Filter, *, limit: int
) -> list[Column]:
  """Counts the values that further filters could ask for.

  The values of a column are counted among the models that meet the conditions
  on all other columns, so that one value can be exchanged for another.

  Args:
    models: those that a text has found, or all.
    condition: what else they must have.
    limit: values of a column.

  Returns:
    The label, then the keys of the metadata by name.
  """
  counts: dict[str, collections.Counter[str]] = collections.defaultdict(
    collections.Counter
  )
  for model in models:
    unmet = list(_list_unmet(model, condition))
    if len(unmet) > 1:
      continue
    values = {**model.metadata, LABEL: model.label}
    for key in unmet or values:
      if values.get(key):
        counts[key][values[key]] += 1
  keys = sorted(counts.keys() - {LABEL})
  return [
    Column(
      key,
      tuple(sorted(counts[key].items(), key=lambda one: (-one[1], one[0])))[
        :limit
      ],
      len(counts[key]),
    )
    for key in (LABEL, *keys)
    if key in counts
  ]


def choose_columns(models: Collection[Model]) -> tuple[str, ...]:
  """Keys of the metadata to show, if none were chosen: those most have."""
  counts = collections.Counter(
    key
    for model in models
    if model.state == INDEXED
    for key, value in model.metadata.items()
    if value
  )
  ranked = sorted(counts, key=lambda key: (-counts[key], key))
  return tuple(ranked[:_DEFAULT_SHOWN])


def _list_unmet(model: Model, condition: Filter) -> Iterator[str]:
  """Yields the columns on which a model fails."""
  if condition.labels and model.label not in condition.labels:
    yield LABEL
  for key, values in condition.where.items():
    if model.metadata.get(key) not in values:
      yield key
  if condition.state is not None and model.state != condition.state:
    yield _OTHER
  length = max(model.extent or (0.0,))
  if not condition.smallest <= length <= condition.largest:
    yield _OTHER
