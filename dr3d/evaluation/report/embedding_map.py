"""Draws a map of the embedding space as SVG."""

import collections
import html
from collections.abc import Sequence

from dr3d.search.embedding_map import EmbeddingMap

WIDTH, HEIGHT = 1000, 700  # of the picture, pixels
_PLOT = 640  # side of the square of points
_MARGIN = 30
_RADIUS = 4.5
_NAMED = 16  # classes with a colour of their own, the largest ones
_LINE = 26  # of the legend
_GREY = "#9aa3ad"
_NAME_LENGTH = 28  # characters of a class in the legend
# Turn of the hue from one class to the next, degrees: the golden angle, by
# which neighbours in the legend differ most.
_TURN = 137.5


def draw_map(found: EmbeddingMap) -> str:
  """Draws a point for each model, coloured by class.

  The name of a model shows when the pointer rests on its point.

  Returns:
    A document of SVG, readable on white and on black.
  """
  colors = choose_colors(found.labels)
  points = "\n".join(
    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}"'
    f' fill="{colors.get(label, _GREY)}">'
    f"<title>{_escape(_describe(name, label))}</title></circle>"
    for name, label, (x, y) in zip(
      found.names, found.labels, _place(found), strict=True
    )
  )
  return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" \
height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" \
font-size="14">
<title>Models by their vectors</title>
<rect width="100%" height="100%" fill="#fff"/>
<g fill-opacity="0.75" stroke="#fff" stroke-width="0.8">
{points}
</g>
{_draw_legend(found.labels, colors)}
<text x="{_MARGIN}" y="{HEIGHT - 14}" fill="#57606a">{_note(found)}</text>
</svg>
"""


def choose_colors(labels: Sequence[str]) -> dict[str, str]:
  """Colours of the largest classes, by name of the class."""
  counts = collections.Counter(label for label in labels if label)
  ranked = sorted(counts, key=lambda label: (-counts[label], label))[:_NAMED]
  return {
    label: f"hsl({i * _TURN % 360:.0f} 62% {44 + 12 * (i % 2)}%)"
    for i, label in enumerate(ranked)
  }


def _place(found: EmbeddingMap) -> list[tuple[float, float]]:
  half = _PLOT / 2
  return [
    (_MARGIN + half * (1 + x), _MARGIN + half * (1 - y))
    for x, y in found.points.tolist()
  ]


def _draw_legend(labels: Sequence[str], colors: dict[str, str]) -> str:
  counts = collections.Counter(labels)
  others = sum(
    n for label, n in counts.items() if label and label not in colors
  )
  rows = [(label, color, counts[label]) for label, color in colors.items()]
  if others:
    rows.append(("other classes", _GREY, others))
  if counts[""]:
    rows.append(("no class", _GREY, counts[""]))
  x = 2 * _MARGIN + _PLOT
  lines = []
  for i, (label, color, count) in enumerate(rows):
    y = _MARGIN + 10 + _LINE * i
    if len(label) > _NAME_LENGTH:
      label = f"{label[: _NAME_LENGTH - 3]}..."
    lines.append(
      f'<circle cx="{x}" cy="{y}" r="6" fill="{color}"/>'
      f'<text x="{x + 14}" y="{y + 5}" fill="#1f2328">{_escape(label)}'
      f" ({count})</text>"
    )
  return "\n".join(lines)


def _note(found: EmbeddingMap) -> str:
  shown = len(found.names)
  models = f"{shown} models"
  if shown < found.total:
    models = f"{shown} of {found.total} models, chosen evenly by name"
  return f"{models}; the two axes show {found.share:.0%} of the variance"


def _describe(name: str, label: str) -> str:
  return f"{name} ({label})" if label else name


def _escape(text: str) -> str:
  return html.escape(text)
