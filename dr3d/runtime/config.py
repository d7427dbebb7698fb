"""Configuration dataclasses to plain values and back, for JSON files."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import dacite

Config = TypeVar("Config")


def to_values(config: Any) -> dict[str, Any]:
  """Converts a configuration dataclass to nested dicts."""
  return dataclasses.asdict(config)


def from_values(kind: type[Config], values: Mapping[str, Any]) -> Config:
  """Converts nested dicts to a configuration dataclass.

  Args:
    kind: the dataclass.
    values: values of its fields; missing ones have their defaults.

  Raises:
    ValueError: a field is unknown, or its value has the wrong type.
  """
  try:
    # A cast, because JSON returns tuples as lists.
    options = dacite.Config(cast=[tuple], strict=True)
    return dacite.from_dict(kind, values, options)
  except (dacite.DaciteError, TypeError) as error:
    raise ValueError(f"not a {kind.__name__}: {error}.") from error
