"""Units of length under the names that mesh files use."""

from typing import Literal, TypeGuard

from dr3d.error import MeshError

Unit = Literal["mm", "cm", "m", "inch", "foot", "micron"]

UNITS = {
  "mm": 1.0,
  "cm": 10.0,
  "m": 1000.0,
  "inch": 25.4,
  "foot": 304.8,
  "micron": 0.001,
}
"""Units of length in millimetres."""

_SYNONYMS = {
  "millimeter": "mm",
  "millimeters": "mm",
  "centimeter": "cm",
  "meter": "m",
  "meters": "m",
  "inches": "inch",
}


def is_unit(text: str) -> TypeGuard[Unit]:
  """Whether text is the name of a unit."""
  return text in UNITS


def parse_unit(text: str | None) -> float | None:
  """Length in millimetres of a unit in trimesh's notation.

  Args:
    text: such as "inch" or "0.01 * meters"; None or empty if not stated.

  Returns:
    Millimetres, or None if the file does not state a unit.

  Raises:
    MeshError: the unit is not known; the message is a predicate, to follow
      the file's name.
  """
  if not text:
    return None
  factor, _, name = text.rpartition(" * ")
  length = UNITS.get(_SYNONYMS.get(name, name))
  if length is None or not 0 < float(factor or 1) < float("inf"):
    raise MeshError(f"has the unit {text!r}, which is not known")
  return float(factor or 1) * length


def name_unit(length: float) -> str:
  """Name of a unit from its millimetres; such as "2 mm" if it has none."""
  names = (name for name, value in UNITS.items() if value == length)
  return next(names, f"{length:g} mm")
