"""Tables in plain text."""

from collections.abc import Sequence


def format_table(
  header: Sequence[str],
  rows: Sequence[Sequence[str]],
  *,
  right: Sequence[int] = (),
) -> str:
  """Formats a table in plain text, with two spaces before each column.

  Args:
    header: names of the columns.
    rows: cells.
    right: indices of the columns that are aligned to the right.
  """
  widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
  lines = []
  for row in (header, *rows):
    cells = [
      cell.rjust(width) if i in right else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    lines.append("  " + "  ".join(cells).rstrip())
  return "\n".join(lines)
