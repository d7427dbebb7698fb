"""Text of unknown origin, such as names of files, made safe to print."""

import re
from typing import Any

# Control characters of C0 and C1, which terminals obey; those that turn the
# direction of text (Unicode Annex 9); line separators; and surrogates.
CONTROL = re.compile(
  r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
  r"\ud800-\udfff]"
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # OWASP, CSV injection


def neutralize(text: str, *, keep: str = "\n\t") -> str:
  r"""Writes control characters as escapes, such as \x1b.

  A name could otherwise clear a terminal, or show "exe.stl" for "lts.exe".

  Args:
    text: to print.
    keep: control characters to leave.
  """
  return CONTROL.sub(
    lambda found: found[0] if found[0] in keep else _escape(found[0]), text
  )


def escape_cell(value: Any) -> Any:
  """Returns a cell of CSV that a spreadsheet does not take for a formula.

  An apostrophe in front marks text there. Numbers stay as they are.
  """
  if not isinstance(value, str):
    return value
  text = neutralize(value, keep="")
  return f"'{text}" if value.startswith(_FORMULA) else text


def escape_row(row: dict[str, Any]) -> dict[str, Any]:
  """Escapes all cells of a row; see `escape_cell`."""
  return {name: escape_cell(value) for name, value in row.items()}


def _escape(character: str) -> str:
  code = ord(character)
  return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def count(number: int, noun: str) -> str:
  """A number with its noun: "1 group", "2 groups"."""
  return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
