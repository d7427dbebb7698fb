"""Configurations as plain values: for `--config` files and for JSON."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import dacite

Config = TypeVar("Config")


def to_values(config: Any) -> dict[str, Any]:
  """A configuration dataclass as nested dicts, as `from_values` reads it."""
  return dataclasses.asdict(config)


def from_values(kind: type[Config], values: Mapping[str, Any]) -> Config:
  """Nested dicts to a configuration dataclass.

  Args:
    kind: the dataclass.
    values: of its fields; those left out keep their defaults.

  Raises:
    ValueError: a field is unknown or its value is of the wrong type.
  """
  try:
    return dacite.from_dict(
      kind, values, dacite.Config(cast=[tuple], strict=True)
    )
  except (dacite.DaciteError, TypeError) as error:
    raise ValueError(f"no {kind.__name__}: {error}.") from error
