"""What Milvus filters models by, and conditions in its language."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Fields = Mapping[str, Any]
"""`label`, `metadata` and the sorted sides of a model; see `make_fields`."""


def make_fields(
  label: str = "",
  metadata: Mapping[str, str] | None = None,
  extent: Sequence[float] | None = None,
) -> Fields:
  """What Milvus filters a model by.

  Args:
    label: of the model.
    metadata: text by key.
    extent: its true size, millimetres; none is larger than any condition.
  """
  sides = sorted(extent) if extent else (float(2**60),) * 3
  return {
    "label": label,
    "metadata": dict(metadata or {}),
    **{f"side{i}": float(side) for i, side in enumerate(sides)},
  }


def make_expression(
  labels: Sequence[str] = (),
  where: Mapping[str, Sequence[str]] | None = None,
  extent: Sequence[float] = (),
  slack: float | None = None,
) -> str:
  """Milvus's filter for a condition; empty if there is none.

  milvus-lite knows no `in` for JSON, so values are compared one by one.

  Args:
    labels: accepted ones; empty accepts all.
    where: accepted values by key of the metadata.
    extent: of the query, millimetres.
    slack: how much each of its sorted sides may differ; None for any.
  """
  parts = []
  if labels:
    parts.append(f"label in [{', '.join(map(_quote, sorted(labels)))}]")
  for key, values in sorted((where or {}).items()):
    field = f"metadata[{_quote(key)}]"
    each = [f"{field} == {_quote(value)}" for value in sorted(values)]
    parts.append(f"({' or '.join(each)})")
  if slack is not None:
    parts += [
      f"side{i} >= {side - slack!r} and side{i} <= {side + slack!r}"
      for i, side in enumerate(map(float, sorted(extent)))
    ]
  return " and ".join(parts)


def _quote(text: str) -> str:
  return json.dumps(text, ensure_ascii=False)
