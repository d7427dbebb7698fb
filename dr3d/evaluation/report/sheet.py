"""Contact sheets: the views of a model, and queries beside their matches.

`N` views of a model, `H W` pixels. Images are as `Pipeline.render` returns
them: red, green, blue, multiplied by alpha, and alpha.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from dr3d.evaluation.report import canvas
from dr3d.runtime.atomic import atomic_file
from dr3d.search.answer import Match, Prediction

if TYPE_CHECKING:
  from dr3d.mesh import Mesh
  from dr3d.retrieval.pipeline import Pipeline

GAP = 12  # between cards and within them, pixels
MARGIN = 24  # around the page, pixels
LINE_COUNT = 3  # of text on a card, below its images

NUMBERS_KEY = (
  "score: similarity of a model to the query, 1 at most. votes: for how many"
  " views of the query it is the most similar model."
)
PREDICTION_KEY = (
  "accepted: the vote for the label reaches the target precision, and the query"
  " does not look like one of an unknown class."
)
MARK_KEY = "tick: a model of the query's class. cross: of another class."


@dataclasses.dataclass(frozen=True, eq=False)
class RenderedMatch:
  """A match and what its model looks like.

  Attributes:
    match: from an answer.
    images: float `[N, H, W, 4]`, its views.
  """

  match: Match
  images: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
  """A query and its answer.

  Attributes:
    name: of the query.
    images: float `[N, H, W, 4]`, its views.
    matches: best first.
    label: the query's true class; empty if it is not known.
    prediction: from the answer; None leaves it out.
  """

  name: str
  images: np.ndarray
  matches: Sequence[RenderedMatch]
  label: str = ""
  prediction: Prediction | None = None


def draw_views(
  images: np.ndarray, *, columns: int | None = None
) -> Image.Image:
  """Draws the views of a model, numbered from 1.

  Args:
    images: float `[N, H, W, 4]`.
    columns: views side by side; if None, the sheet is nearly square.

  Returns:
    The sheet, RGB.

  Raises:
    ValueError: images of another shape, or none.
  """
  count, height, width = _check_images(images)
  columns = columns or _column_count(count)
  rows = -(-count // columns)
  page, draw = canvas.make_page(
    2 * MARGIN + columns * (width + GAP) - GAP,
    2 * MARGIN + rows * (height + GAP) - GAP,
  )
  font = canvas.get_font(max(11, height // 14))
  for i, image in enumerate(images):
    x = MARGIN + i % columns * (width + GAP)
    y = MARGIN + i // columns * (height + GAP)
    canvas.draw_card(draw, x, y, width, height)
    page.paste(canvas.to_image(image), (x, y))
    draw.text((x + 7, y + 5), str(i + 1), font=font, fill=canvas.FAINT)
  return page


def draw_answers(
  rows: Sequence[Row], *, views: int = 3, matches: int = 3
) -> Image.Image:
  """Draws queries, each beside its best matches, and a key to the numbers.

  A match has a green tick if its label is that of the query, and a red cross
  if it is another; neither if the query's label is not known.

  Args:
    rows: at least one; all images of one size.
    views: shown of the query; of a match, one less.
    matches: shown at most.

  Returns:
    The sheet, RGB.

  Raises:
    ValueError: no rows, or images of another shape.
  """
  height, width = _find_size(rows)
  layout = _Layout(height, width, line=max(13, height // 11))
  shown_count = min(matches, max(len(row.matches) for row in rows))
  first, step = layout.place_matches(views)
  # Without matches the gap before them goes too.
  right = first + (shown_count * step - GAP if shown_count else -2 * GAP)
  font = canvas.get_font(round(0.75 * layout.line))
  key = [
    line
    for text in _list_keys(rows)
    for line in canvas.wrap(text, font, right - MARGIN)
  ]
  top = MARGIN + layout.line + GAP
  bottom = top + len(rows) * (layout.card_height + GAP)
  page, draw = canvas.make_page(
    right + MARGIN, bottom + len(key) * layout.line + MARGIN
  )
  heading = canvas.get_font(layout.line)
  for x, text in ((MARGIN, "query"), (first, "best matches")):
    if x == MARGIN or shown_count:
      draw.text((x, MARGIN - GAP // 2), text, font=heading, fill=canvas.FAINT)
  for i, row in enumerate(rows):
    y = top + i * (layout.card_height + GAP)
    layout.draw_row(page, draw, y, row, views=views, matches=matches)
  for i, line in enumerate(key):
    at = (MARGIN, bottom + i * layout.line)
    draw.text(at, line, font=font, fill=canvas.FAINT)
  return page


def _find_size(rows: Sequence[Row]) -> tuple[int, int]:
  """Returns height and width of all images of the rows."""
  if not rows:
    raise ValueError("rows must hold at least one query, got none.")
  sizes = {
    _check_images(images)[1:]
    for row in rows
    for images in (row.images, *(shown.images for shown in row.matches))
  }
  if len(sizes) > 1:
    raise ValueError(f"images must have one size, got {sorted(sizes)}.")
  ((height, width),) = sizes
  return height, width


def with_white_light(pipeline: "Pipeline") -> "Pipeline":
  """Returns a pipeline with the same cameras, but in white light.

  T has learned with other lights: use the result to draw, not to embed.
  """
  from dr3d.camera.view import make_views

  views = pipeline.views
  white = make_views(np.asarray(views.quaternion), colored=False)
  light = dataclasses.replace(
    white.light,
    # Softer than the light of a new pipeline, so that no face is black.
    intensity=0.7 * white.light.intensity,
    ambient=white.light.ambient + 0.25,
  )
  views = dataclasses.replace(views, light=light, material=white.material)
  return dataclasses.replace(pipeline, views=views)


def render_preview(
  pipeline: "Pipeline", mesh: "Mesh", *, size: int
) -> np.ndarray:
  """Renders a mesh with smooth edges, by averaging four pixels.

  Args:
    pipeline: whose views are drawn; see `with_white_light`.
    mesh: the model.
    size: height and width of an image, pixels.

  Returns:
    float32 `[N, size, size, 4]`, as of `Pipeline.render`.
  """
  images = pipeline.render(mesh, size=2 * size)
  return images.reshape(-1, size, 2, size, 2, 4).mean(axis=(2, 4))


def save(sheet: Image.Image, path: str | os.PathLike[str]) -> None:
  """Writes a sheet, whole or not at all; makes its folder if it is missing.

  Raises:
    OSError: the file cannot be written.
  """
  with atomic_file(pathlib.Path(path)) as partial:
    sheet.save(partial)


_Lines = Sequence[tuple[str, canvas.Color]]


def _list_keys(rows: Sequence[Row]) -> list[str]:
  """What has to be explained of these rows."""
  keys = [NUMBERS_KEY] if any(row.matches for row in rows) else []
  if any(row.prediction for row in rows):
    keys.append(PREDICTION_KEY)
  if keys and any(row.label for row in rows):
    keys.append(MARK_KEY)
  return keys


def _tell_row(row: Row) -> _Lines:
  lines = [(row.name, canvas.INK)]
  if row.label:
    lines.append((f"class {row.label}", canvas.FAINT))
  if row.prediction is not None:
    label = row.prediction.label or "no label"
    text = f"{label}, {_format_probability(row.prediction.probability)} likely"
    if row.prediction.accepted:
      lines.append((f"accepted: {text}", canvas.RIGHT))
    else:
      reason = row.prediction.reject_reason
      lines.append((f"not accepted ({reason}): {text}", canvas.REJECTED))
  return lines


def _format_probability(probability: float) -> str:
  """In percent; never 100, which no vote can promise."""
  return f"{probability:.0%}" if probability < 0.995 else "over 99%"


def _tell_match(match: Match) -> _Lines:
  unit = "vote" if match.votes == 1 else "votes"
  # The folder is mostly the label, which has a line of its own.
  name = match.model.removeprefix(f"{match.label}/")
  return [
    (name, canvas.INK),
    (match.label or "no label", canvas.FAINT),
    (f"score {match.score:.3f}, {match.votes} {unit}", canvas.FAINT),
  ]


@dataclasses.dataclass(frozen=True)
class _Layout:
  """Sizes of the images and of a line of text, pixels."""

  image_height: int
  image_width: int
  line: int

  @property
  def card_height(self) -> int:
    return self.image_height + LINE_COUNT * self.line + 3 * GAP

  def card_width(self, count: int) -> int:
    """Width of a card with room for so many images."""
    return count * (self.image_width + GAP // 2) - GAP // 2 + 2 * GAP

  def place_matches(self, views: int) -> tuple[int, int]:
    """Where the first match's card begins, and the distance of the next."""
    first = MARGIN + self.card_width(views) + 2 * GAP
    return first, self.card_width(_count_match_views(views)) + GAP

  def draw_row(
    self,
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    y: int,
    row: Row,
    *,
    views: int,
    matches: int,
  ) -> None:
    """Draws the cards of a query and of its matches."""
    images = row.images[:views]
    self.fill(page, draw, MARGIN, y, images, views, _tell_row(row))
    first, step = self.place_matches(views)
    count = _count_match_views(views)
    for i, shown in enumerate(row.matches[:matches]):
      x = first + i * step
      images, lines = shown.images[:count], _tell_match(shown.match)
      mark = _judge(shown.match.label, row.label)
      self.fill(page, draw, x, y, images, count, lines, mark=mark)

  def fill(
    self,
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    x: int,
    y: int,
    images: np.ndarray,
    count: int,
    lines: _Lines,
    *,
    mark: canvas.Mark = "",
  ) -> None:
    """Draws a card: images side by side, lines of text below them.

    The mark stands at the end of the second line, which is a match's label.
    """
    width = self.card_width(count)
    canvas.draw_card(draw, x, y, width, self.card_height)
    for i, image in enumerate(images):
      left = x + GAP + i * (self.image_width + GAP // 2)
      page.paste(canvas.to_image(image), (left, y + GAP))
    below = y + self.image_height + 3 * GAP // 2
    size = round(0.8 * self.line)
    for i, (text, color) in enumerate(lines):
      font = canvas.get_font(round((0.75 if i else 0.85) * self.line))
      room = width - 2 * GAP - (size + GAP if mark and i == 1 else 0)
      at = (x + GAP, below + i * self.line + (GAP // 3 if i else 0))
      draw.text(at, canvas.shorten(text, font, room), font=font, fill=color)
    at = (x + width - GAP - size, below + self.line + GAP // 3)
    canvas.draw_mark(draw, *at, size, mark)


def _count_match_views(views: int) -> int:
  """How many views of a match are shown beside so many of the query."""
  return max(1, views - 1)


def _judge(label: str, truth: str) -> canvas.Mark:
  if not truth:
    return ""
  return "right" if label == truth else "wrong"


def _check_images(images: np.ndarray) -> tuple[int, int, int]:
  """Count, height and width of `[N, H, W, 4]` images."""
  shape = np.shape(images)
  if len(shape) != 4 or shape[3] != 4 or not shape[0]:
    raise ValueError(f"images must be [N, H, W, 4], got {shape}.")
  return shape[:3]


def _column_count(count: int) -> int:
  """Columns of a grid that is a little wider than high and has few gaps."""
  root = count**0.5
  return min(
    range(1, count + 1),
    key=lambda c: (-(-count // c) * c - count + abs(c - 1.25 * root), c),
  )
