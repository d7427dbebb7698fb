"""HTML that notebooks show for an object."""

import base64
import html
from collections.abc import Sequence


def format_picture(png: bytes, caption: str) -> str:
  """A picture with a line of text below it.

  Args:
    png: the picture.
    caption: any text; it is escaped.
  """
  data = base64.b64encode(png).decode("ascii")
  text = html.escape(caption)
  return (
    f'<div><img alt="{text}" src="data:image/png;base64,{data}"/>'
    f"<br/>{text}</div>"
  )


def format_table(
  heading: str, header: Sequence[str], rows: Sequence[Sequence[object]]
) -> str:
  """A table below a line of text; all texts are escaped."""

  def format_row(cells: Sequence[object], tag: str) -> str:
    inner = "".join(
      f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells
    )
    return f"<tr>{inner}</tr>"

  lines = [format_row(header, "th"), *(format_row(row, "td") for row in rows)]
  return f"<p>{html.escape(heading)}</p><table>{''.join(lines)}</table>"
