"""Units of length, as mesh files name them."""

from typing import Literal

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


def parse_unit(text: str | None) -> float | None:
  """Millimetres of a unit as trimesh writes it: "inch", "0.01 * meters".

  Raises:
    MeshError: the unit is not known; the message is a predicate.
  """
  if not text:
    return None
  factor, _, name = text.rpartition(" * ")
  length = UNITS.get(_SYNONYMS.get(name, name))
  if length is None or not 0 < float(factor or 1) < float("inf"):
    raise MeshError(f"has the unit {text!r}, which is not known")
  return float(factor or 1) * length


def name_unit(length: float) -> str:
  """Name of a unit of so many millimetres; "2 mm" where it has none."""
  names = (name for name, value in UNITS.items() if value == length)
  return next(names, f"{length:g} mm")
