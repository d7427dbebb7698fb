"""Contact sheets: the views of a model, and queries beside their answers.

`N` views of a model, `H W` pixels. Images are as `Pipeline.render` returns
them: red, green, blue, multiplied by alpha, and alpha.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dr3d.runtime.atomic import atomic_file
from dr3d.search.answer import Match

if TYPE_CHECKING:
  from dr3d.mesh import Mesh
  from dr3d.retrieval.pipeline import Pipeline

PAGE = (237, 240, 244)
CARD = (255, 255, 255)
BORDER = (214, 219, 226)
INK = (32, 38, 46)
FAINT = (101, 111, 124)
RIGHT = (26, 127, 55)
WRONG = (200, 40, 40)
GAP = 12  # between cards and within them, pixels
MARGIN = 24  # around the page


@dataclasses.dataclass(frozen=True, eq=False)
class RenderedMatch:
  """A match and how its model looks.

  Attributes:
    match: from an answer.
    images: float `[N, H, W, 4]`, its views.
  """

  match: Match
  images: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
  """A query and what was found.

  Attributes:
    name: of the query.
    images: float `[N, H, W, 4]`, its views.
    matches: best first.
    label: what the query is; empty where that is not known.
  """

  name: str
  images: np.ndarray
  matches: Sequence[RenderedMatch]
  label: str = ""


def draw_views(
  images: np.ndarray, *, columns: int | None = None
) -> Image.Image:
  """Draws the views of a model, numbered from 1.

  Args:
    images: float `[N, H, W, 4]`.
    columns: views side by side; as square a sheet as possible where None.

  Returns:
    The sheet, RGB.

  Raises:
    ValueError: images of another shape, or none.
  """
  count, height, width = _check_images(images)
  columns = columns or _column_count(count)
  rows = -(-count // columns)
  page, draw = _make_page(
    2 * MARGIN + columns * (width + GAP) - GAP,
    2 * MARGIN + rows * (height + GAP) - GAP,
  )
  font = _font(max(11, height // 14))
  for i, image in enumerate(images):
    x = MARGIN + i % columns * (width + GAP)
    y = MARGIN + i // columns * (height + GAP)
    _draw_card(draw, x, y, width, height)
    page.paste(_to_picture(image), (x, y))
    draw.text((x + 7, y + 5), str(i + 1), font=font, fill=FAINT)
  return page


def draw_answers(
  rows: Sequence[Row], *, views: int = 3, matches: int = 3
) -> Image.Image:
  """Draws queries, each beside the best models that were found for it.

  A match has a green tick where its label is that of the query, a red cross
  where it is another, and neither where the query's label is not known.

  Args:
    rows: at least one; all images of one size.
    views: shown of the query; of a match, one less.
    matches: shown at most.

  Returns:
    The sheet, RGB.

  Raises:
    ValueError: no rows, or images of another shape.
  """
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
  fewer = max(1, views - 1)
  line = max(13, height // 9)
  wide, narrow = (_card_width(n, width) for n in (views, fewer))
  card_height = height + 2 * GAP + 2 * line + GAP // 2
  shown_count = min(matches, max(len(row.matches) for row in rows))
  top = MARGIN + line + GAP
  page, draw = _make_page(
    2 * MARGIN + wide + shown_count * (narrow + GAP) + GAP,
    top + len(rows) * (card_height + GAP) - GAP + MARGIN,
  )
  first = MARGIN + wide + 2 * GAP
  heading = _font(line)
  draw.text((MARGIN, MARGIN - GAP // 2), "query", font=heading, fill=FAINT)
  if shown_count:
    at = (first, MARGIN - GAP // 2)
    draw.text(at, "best matches", font=heading, fill=FAINT)
  for i, row in enumerate(rows):
    y = top + i * (card_height + GAP)
    card = _Card(page, draw, y, height, width, card_height, line)
    card.fill(MARGIN, row.images[:views], views, row.name, row.label or "?")
    for j, shown in enumerate(row.matches[:matches]):
      match = shown.match
      unit = "vote" if match.votes == 1 else "votes"
      card.fill(
        first + j * (narrow + GAP),
        shown.images[:fewer],
        fewer,
        match.label or match.model,
        f"{match.score:.3f}   {match.votes} {unit}",
        mark=_judge(match.label, row.label),
      )
  return page


def with_white_light(pipeline: "Pipeline") -> "Pipeline":
  """The same viewpoints and cameras in white light, as people know parts.

  The network has learned other lights: use the result to draw, not to embed.
  """
  from dr3d.camera.view import make_views

  views = pipeline.views
  white = make_views(np.asarray(views.quaternion), colored=False)
  light = dataclasses.replace(
    white.light,
    intensity=0.7 * white.light.intensity,
    ambient=white.light.ambient + 0.25,
  )
  views = dataclasses.replace(views, light=light, material=white.material)
  return dataclasses.replace(pipeline, views=views)


def render_preview(
  pipeline: "Pipeline", mesh: "Mesh", *, size: int
) -> np.ndarray:
  """Renders a mesh for people: with smooth edges, by averaging four pixels.

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
  """Writes a sheet, whole or not at all; its folder is made if need be.

  Raises:
    OSError: it cannot be written.
  """
  with atomic_file(pathlib.Path(path)) as partial:
    sheet.save(partial)


Mark = Literal["right", "wrong", ""]


@dataclasses.dataclass(frozen=True)
class _Card:
  """Where the cards of a row go, and how large they are, pixels."""

  page: Image.Image
  draw: ImageDraw.ImageDraw
  y: int
  image_height: int
  image_width: int
  height: int
  line: int

  def fill(
    self,
    x: int,
    images: np.ndarray,
    places: int,
    title: str,
    note: str,
    *,
    mark: Mark = "",
  ) -> None:
    """Draws a card: images side by side, below them a title and a note."""
    width = _card_width(places, self.image_width)
    _draw_card(self.draw, x, self.y, width, self.height)
    for i, image in enumerate(images):
      left = x + GAP + i * (self.image_width + GAP // 2)
      self.page.paste(_to_picture(image), (left, self.y + GAP))
    below = self.y + GAP + self.image_height + GAP // 2
    room = width - 2 * GAP
    if mark:
      size = round(0.8 * self.line)
      _draw_mark(
        self.draw, x + width - GAP - size, below + size // 4, size, mark
      )
      room -= size + GAP
    font = _font(round(0.85 * self.line))
    text = _shorten(title, font, room)
    self.draw.text((x + GAP, below), text, font=font, fill=INK)
    font = _font(round(0.75 * self.line))
    text = _shorten(note, font, width - 2 * GAP)
    at = (x + GAP, below + self.line + 2)
    self.draw.text(at, text, font=font, fill=FAINT)


def _judge(label: str, truth: str) -> Mark:
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
  """Columns of the most nearly square grid, wider than high, few gaps."""
  root = count**0.5
  return min(
    range(1, count + 1),
    key=lambda c: (-(-count // c) * c - count + abs(c - 1.25 * root), c),
  )


def _card_width(places: int, width: int) -> int:
  return places * (width + GAP // 2) - GAP // 2 + 2 * GAP


def _to_picture(image: np.ndarray) -> Image.Image:
  """Lays premultiplied `[H, W, 4]` over the colour of a card."""
  color, alpha = np.asarray(image)[..., :3], np.asarray(image)[..., 3:]
  shown = color * 255 + (1 - alpha) * np.asarray(CARD)
  return Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))


def _make_page(
  width: int, height: int
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
  page = Image.new("RGB", (width, height), PAGE)
  return page, ImageDraw.Draw(page)


def _draw_card(
  draw: ImageDraw.ImageDraw, x: int, y: int, width: int, height: int
) -> None:
  box = (x - 1, y - 1, x + width, y + height)
  draw.rectangle(box, fill=CARD, outline=BORDER)


def _draw_mark(
  draw: ImageDraw.ImageDraw, x: int, y: int, size: int, mark: Mark
) -> None:
  """A tick or a cross: told apart without their colours as well."""
  thick = max(2, size // 6)
  if mark == "right":
    line = [(0.05, 0.55), (0.38, 0.88), (0.95, 0.15)]
    points = [(x + size * u, y + size * v) for u, v in line]
    draw.line(points, fill=RIGHT, width=thick, joint="curve")
  else:
    inset = size * 0.12
    near, far = inset, size - inset
    for left, right in ((near, far), (far, near)):
      ends = (x + left, y + near, x + right, y + far)
      draw.line(ends, fill=WRONG, width=thick)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
  return ImageFont.load_default(size=size)


def _shorten(
  text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int
) -> str:
  """Cuts the middle out of a text that is wider than the room for it."""
  if font.getlength(text) <= room:
    return text
  for cut in range(len(text) - 1, 0, -1):
    head = cut - cut // 2
    short = f"{text[:head]}...{text[len(text) - cut // 2 :]}"
    if font.getlength(short) <= room:
      return short
  return ""
