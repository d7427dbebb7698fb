"""Drawing on a contact sheet: colours, cards, marks and text that fits."""

from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAGE = (237, 240, 244)
CARD = (255, 255, 255)
BORDER = (214, 219, 226)
INK = (32, 38, 46)
FAINT = (101, 111, 124)
RIGHT = (26, 127, 55)  # also: accepted
WRONG = (200, 40, 40)
REJECTED = (154, 103, 0)  # not RED: a rejected prediction may be right

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Mark = Literal["right", "wrong", ""]


def make_page(
  width: int, height: int
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
  """Makes an empty page, pixels, and what draws on it."""
  page = Image.new("RGB", (width, height), PAGE)
  return page, ImageDraw.Draw(page)


def to_image(image: np.ndarray) -> Image.Image:
  """Puts a rendered `[H, W, 4]`, premultiplied by alpha, on a card's colour."""
  color, alpha = np.asarray(image)[..., :3], np.asarray(image)[..., 3:]
  shown = color * 255 + (1 - alpha) * np.asarray(CARD)
  return Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))


def draw_card(
  draw: ImageDraw.ImageDraw, x: int, y: int, width: int, height: int
) -> None:
  """Draws an empty card with a border of one pixel around it."""
  box = (x - 1, y - 1, x + width, y + height)
  draw.rectangle(box, fill=CARD, outline=BORDER)


def draw_mark(
  draw: ImageDraw.ImageDraw, x: int, y: int, size: int, mark: Mark
) -> None:
  """Draws a tick or a cross, which differ without their colours as well."""
  thick = max(2, size // 6)
  if mark == "right":
    line = [(0.05, 0.55), (0.38, 0.88), (0.95, 0.15)]
    points = [(x + size * u, y + size * v) for u, v in line]
    draw.line(points, fill=RIGHT, width=thick, joint="curve")
  elif mark == "wrong":
    near, far = 0.12 * size, 0.88 * size
    for left, right in ((near, far), (far, near)):
      ends = (x + left, y + near, x + right, y + far)
      draw.line(ends, fill=WRONG, width=thick)


def get_font(size: int) -> Font:
  """The font that Pillow brings along, so that all machines draw the same."""
  return ImageFont.load_default(size=size)


def shorten(text: str, font: Font, room: float) -> str:
  """Cuts the middle out of a text that is wider than `room` pixels."""
  if font.getlength(text) <= room:
    return text
  for cut in range(len(text) - 1, 0, -1):
    head = cut - cut // 2
    short = f"{text[:head]}...{text[len(text) - cut // 2 :]}"
    if font.getlength(short) <= room:
      return short
  return ""


def wrap(text: str, font: Font, room: float) -> list[str]:
  """Breaks a text between words into lines of at most `room` pixels.

  A word that is wider stands alone on its line.
  """
  lines: list[str] = []
  for word in text.split():
    longer = f"{lines[-1]} {word}" if lines else word
    if lines and font.getlength(longer) <= room:
      lines[-1] = longer
    else:
      lines.append(word)
  return lines
