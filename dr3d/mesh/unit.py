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

ASSUMED = ", assumed"
"""Follows the unit of a file that does not state one."""

GIVEN = ", given"
"""Follows it instead if somebody gave it for this file."""

_SYNONYMS = {
  "millimeter": "mm",
  "millimeters": "mm",
  "millimetre": "mm",
  "centimeter": "cm",
  "centimeters": "cm",
  "meter": "m",
  "meters": "m",
  "metre": "m",
  "in": "inch",
  "inches": "inch",
  "ft": "foot",
  "feet": "foot",
  "micrometer": "micron",
  "um": "micron",
}


def is_unit(text: str) -> TypeGuard[Unit]:
  """Whether text is the name of a unit."""
  return text in UNITS


def parse_unit(text: str | None) -> float | None:
  """Returns the millimetres of a unit, or None if it is not stated.

  Args:
    text: the name of a unit in any case, "inch", with or without a factor
      before it, "0.01 * meters".

  Raises:
    MeshError: the unit is not known; the message is a predicate, to follow
      the file's name.
  """
  if not text or not text.strip():
    return None
  factor, _, name = text.strip().lower().rpartition(" * ")
  length = UNITS.get(_SYNONYMS.get(name, name))
  if length is None:
    raise MeshError(f"has the unit {text[:40]!r}, which is not known")
  return parse_factor(factor or "1", text) * length


def parse_factor(number: str, text: str) -> float:
  """Returns a positive number that stands before a unit.

  Args:
    number: its digits.
    text: the whole, for the message.

  Raises:
    MeshError: it is not such a number; the message is a predicate.
  """
  try:
    factor = float(number)
  except ValueError:
    factor = 0
  if not 0 < factor < float("inf"):
    raise MeshError(f"has the unit {text[:40]!r}, which is not known")
  return factor


def parse_assumed(text: str) -> Unit | None:
  """The unit that was assumed for a file; None if the file states one."""
  unit = text.removesuffix(ASSUMED)
  return unit if unit != text and is_unit(unit) else None


def mark_given(text: str) -> str:
  """Text of a unit that somebody gave for a file that states none."""
  if text.endswith(ASSUMED):
    return text.removesuffix(ASSUMED) + GIVEN
  return text


def parse_length(text: str) -> float:
  """Millimetres of a unit, as a database stores it: "inch, assumed", "2 mm"."""
  factor, _, name = text.partition(",")[0].rpartition(" ")
  return float(factor or 1) * UNITS[name]


def name_unit(length: float) -> str:
  """Name of a unit from its millimetres; such as "2 mm" if it has none."""
  names = (name for name, value in UNITS.items() if value == length)
  return next(names, f"{length:g} mm")
