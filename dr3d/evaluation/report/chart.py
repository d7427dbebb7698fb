"""Curves over the unit square, as SVG that takes the colours of its page."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Dark enough for white paper, light enough for a dark page (contrast above 3).
COLORS = (
  "#3b7dd8", "#d9730d", "#2f9e5f", "#d9483f", "#9168d0", "#7d8794", "#12989a"
)  # fmt: skip
MARKED_POINTS = 12  # curves of up to so many points show each of them
SIZE_INCH = (5.0, 4.2)

# matplotlib writes fixed colours. These two stand for those of the page's CSS,
# and must differ from every colour of a curve.
_INK, _GRID = "#010203", "#040506"


class Curve(NamedTuple):
  """A line of a chart.

  Attributes:
    name: in the legend.
    x: [n], 0 to 1.
    y: [n], 0 to 1.
    color: index into `COLORS`.
    style: a line style of matplotlib.
  """

  name: str
  x: np.ndarray
  y: np.ndarray
  color: int = 0
  style: str = "-"


def draw_curves(curves: Sequence[Curve], *, x_label: str, y_label: str) -> str:
  """Draws curves over the unit square, with a legend below.

  Args:
    curves: points that are not finite are left out.
    x_label: below the horizontal axis.
    y_label: beside the vertical axis.

  Returns:
    An SVG element for an HTML page that defines the CSS variable `--line`.
  """
  import matplotlib as mpl  # 0.5 s, needed by a report only
  from matplotlib.figure import Figure

  style = mpl.rc_context(
    {
      "axes.edgecolor": _GRID,
      "axes.labelcolor": _INK,
      "grid.color": _GRID,
      "svg.fonttype": "none",  # letters stay text, to be found and copied
      "svg.hashsalt": y_label,  # ids repeat on a rerun, not on the same page
      "text.color": _INK,
      "text.parse_math": False,  # a "$" in a folder's name is not a formula
      "xtick.color": _INK,
      "ytick.color": _INK,
    }
  )
  with style:
    figure = Figure(SIZE_INCH, layout="constrained")
    axes = figure.add_subplot(
      xlim=(0, 1.02), ylim=(0, 1.02), xlabel=x_label, ylabel=y_label
    )
    axes.grid()
    axes.spines[["top", "right"]].set_visible(False)
    lines = []
    for curve in curves:
      finite = np.isfinite(curve.x) & np.isfinite(curve.y)
      lines += axes.plot(
        curve.x[finite],
        curve.y[finite],
        curve.style,
        color=COLORS[curve.color % len(COLORS)],
        linewidth=2,
        marker="o" if finite.sum() <= MARKED_POINTS else None,
        clip_on=False,  # a line at 1 has its full width
      )
    # Passed one by one, since matplotlib hides labels that begin with "_".
    names = [curve.name for curve in curves]
    figure.legend(lines, names, loc="outside lower left", frameon=False)
    file = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
  text = file.getvalue()
  svg = text[text.index("<svg") :]  # without the XML declaration
  return svg.replace(_INK, "currentColor").replace(_GRID, "var(--line)")
