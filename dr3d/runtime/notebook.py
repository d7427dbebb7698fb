"""What notebooks show for an object: HTML, pictures and data frames."""

import base64
import html
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dr3d.error import Dr3dError

if TYPE_CHECKING:
  import pandas


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


def make_dataframe(
  rows: Iterable[Sequence[object]], columns: Sequence[str]
) -> "pandas.DataFrame":
  """Makes a table of pandas.

  Raises:
    Dr3dError: pandas is not installed.
  """
  try:
    import pandas
  except ImportError as error:
    raise Dr3dError(
      "to_dataframe needs pandas: install it with pip install pandas."
    ) from error
  return pandas.DataFrame(list(rows), columns=list(columns))


def is_notebook() -> bool:
  """Whether this process serves a notebook, which can show HTML."""
  module = sys.modules.get("IPython")
  shell = module and module.get_ipython()
  return shell is not None and hasattr(shell, "kernel")


def display_html(text: str) -> None:
  """Shows HTML below the cell of a notebook that runs."""
  from IPython.display import HTML, display

  display(HTML(text))
