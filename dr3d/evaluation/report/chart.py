"""Charts as SVG text, to be read in any browser."""

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 44
COLORS = (
  "#1f5fbf", "#d9730d", "#2d8a4e", "#b3261e", "#7b4fb5", "#6b7280", "#0f8b8d"
)  # fmt: skip
FEW = 12  # points that are marked one by one
CELL = 9  # of a confusion, pixels
NAME_ROOM = 150  # pixels for the name of a class


class Curve(NamedTuple):
  """A line of a chart.

  Attributes:
    name: in the legend.
    x: [n], 0 to 1.
    y: [n], 0 to 1.
    color: number of the colour.
    dashes: lengths of its dashes and gaps; none where the line is whole.
  """

  name: str
  x: np.ndarray
  y: np.ndarray
  color: int = 0
  dashes: tuple[int, ...] = ()


def draw_curves(curves: Sequence[Curve], *, x_label: str, y_label: str) -> str:
  """Draws curves over the unit square, with a legend below.

  Args:
    curves: points that are not finite are left out.
    x_label: below the horizontal axis.
    y_label: beside the vertical axis.

  Returns:
    An SVG element.
  """
  wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

  def place(x, y):
    return f"{LEFT + wide * x:.1f},{TOP + high * (1 - y):.1f}"

  total = HEIGHT + 18 * len(curves)
  parts = [
    f'<svg viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" height="{total}"'
    f' role="img" aria-label="{html.escape(y_label)}">'
  ]
  for k in range(6):
    share = k / 5
    x, y = LEFT + wide * share, TOP + high * (1 - share)
    parts += [
      f'<path class="grid" d="M{LEFT},{y:.1f}h{wide}M{x:.1f},{TOP}v{high}"/>',
      f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="end">{share:.1f}</text>',
      f'<text x="{x:.1f}" y="{TOP + high + 18}" class="mid">{share:.1f}</text>',
    ]
  middle = TOP + high / 2
  parts += [
    f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 8}" class="mid">'
    f"{html.escape(x_label)}</text>",
    f'<text x="14" y="{middle}" class="mid"'
    f' transform="rotate(-90 14 {middle})">{html.escape(y_label)}</text>',
  ]
  for i, curve in enumerate(curves):
    color = COLORS[curve.color % len(COLORS)]
    style = f'stroke="{color}"' + (
      f' stroke-dasharray="{" ".join(map(str, curve.dashes))}"'
      if curve.dashes
      else ""
    )
    shown = np.isfinite(curve.x) & np.isfinite(curve.y)
    points = " ".join(
      place(x, y) for x, y in zip(curve.x[shown], curve.y[shown], strict=True)
    )
    if shown.sum() <= FEW:
      parts += [
        f'<circle cx="{LEFT + wide * x:.1f}" cy="{TOP + high * (1 - y):.1f}"'
        f' r="3.5" fill="{color}"/>'
        for x, y in zip(curve.x[shown], curve.y[shown], strict=True)
      ]
    y = HEIGHT + 18 * i + 8
    parts += [
      f'<polyline class="curve" {style} points="{points}"/>',
      f'<path class="curve" {style} d="M{LEFT},{y}h28"/>',
      f'<text x="{LEFT + 36}" y="{y + 4}">{html.escape(curve.name)}</text>',
    ]
  return "\n".join([*parts, "</svg>"])


def draw_confusion(
  counts: np.ndarray, rows: Sequence[str], columns: Sequence[str]
) -> str:
  """Draws which class is taken for which; the darker, the more of a row.

  Args:
    counts: int [R, C].
    rows: R classes that the queries are of.
    columns: C classes that they are taken for.

  Returns:
    An SVG element; a cell tells its numbers under the pointer.
  """
  counts = np.asarray(counts)
  wide = NAME_ROOM + CELL * (len(columns) + 1)  # some room at the end
  high = NAME_ROOM + CELL * len(rows)
  parts = [
    f'<svg viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
    ' role="img" aria-label="confusion of classes" class="small">',
    f'<rect x="{NAME_ROOM}" y="{NAME_ROOM}" width="{CELL * len(columns)}"'
    f' height="{CELL * len(rows)}" class="frame"/>',
  ]
  for i, name in enumerate(rows):
    y = NAME_ROOM + CELL * (i + 1) - 2
    parts.append(
      f'<text x="{NAME_ROOM - 4}" y="{y}" class="end">{html.escape(name)}'
      "</text>"
    )
  for j, name in enumerate(columns):
    x = NAME_ROOM + CELL * (j + 1) - 2
    parts.append(
      f'<text transform="translate({x} {NAME_ROOM - 4}) rotate(-90)">'
      f"{html.escape(name or 'no label')}</text>"
    )
  total = np.maximum(counts.sum(axis=1), 1)
  for i, j in np.argwhere(counts):
    share = counts[i, j] / total[i]
    kind = "right" if rows[i] == columns[j] else "wrong"
    parts.append(
      f'<rect x="{NAME_ROOM + CELL * j}" y="{NAME_ROOM + CELL * i}"'
      f' width="{CELL}" height="{CELL}" class="{kind}"'
      f' fill-opacity="{0.2 + 0.8 * share:.2f}"><title>'
      f"{html.escape(rows[i])}: {counts[i, j]} of {total[i]} taken for"
      f" {html.escape(columns[j] or 'no label')}</title></rect>"
    )
  return "\n".join([*parts, "</svg>"])
