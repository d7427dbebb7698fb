"""A cut-out thing → the square picture that an encoder sees.

The thing fills the square as an object fills a rendering of the framing
"object": its longer side is that of the square, less a margin for soft edges.

`H W` pixels.
"""

import dataclasses
import math
from typing import Literal

import numpy as np

from dr3d.image.mask import import_opencv

FILL = 2 / 2.04
"""Longer side of the thing, of the side of the square: as in a rendering, see
`camera.view.FOV_RATIO`."""


@dataclasses.dataclass(frozen=True)
class Square:
  """A square of a picture, turned in its plane.

  Attributes:
    x: of the centre, pixels from the left edge.
    y: of the centre, pixels from the upper edge.
    side: pixels.
    turn: degrees by which the picture is turned counter-clockwise before the
      square is cut out of it.
  """

  x: float
  y: float
  side: float
  turn: float = 0.0


def find_hull(mask: np.ndarray) -> np.ndarray:
  """Returns the corners [P, 2] of the convex hull of a mask's pixels, x and y.

  Args:
    mask: bool `[H, W]`.

  Raises:
    ValueError: no pixel is set.
  """
  if not mask.any():
    raise ValueError("a mask without pixels has no hull")
  cv2 = import_opencv()
  contours, _ = cv2.findContours(
    mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
  )
  # Points are middles of pixels, half a pixel inside of the first corner.
  return cv2.convexHull(np.concatenate(contours))[:, 0] + 0.5


def fit_square(hull: np.ndarray, *, turn: float = 0.0) -> Square:
  """Returns the square that a thing fills after a turn.

  Args:
    hull: [P, 2] from `find_hull`.
    turn: degrees, counter-clockwise.
  """
  cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
  # The y axis of a picture points down.
  matrix = np.array([[cosine, sine], [-sine, cosine]])
  turned = hull @ matrix.T
  low, high = turned.min(axis=0), turned.max(axis=0)
  x, y = (low + high) / 2 @ matrix  # turned back
  # Half a pixel on each side from middles of pixels to their edges.
  side = (float((high - low).max()) + 1) / FILL
  return Square(float(x), float(y), side, turn)


def cut_square(
  picture: np.ndarray,
  square: Square,
  *,
  size: int,
  beyond: Literal["edge", "empty"] = "edge",
) -> np.ndarray:
  """Cuts a square out of a picture.

  Args:
    picture: `[H, W]` or `[H, W, C]`.
    square: which one.
    size: height and width of the result, pixels.
    beyond: what stands beyond the border: its edge repeated, or 0.

  Returns:
    `[size, size]` or `[size, size, C]` of the same type.
  """
  cv2 = import_opencv()
  scale = size / square.side
  x, y = square.x, square.y
  if scale < 0.5:  # reduced before it is turned, or pixels would be skipped
    height, width = picture.shape[:2]
    reduced = (
      max(1, round(2 * scale * width)),
      max(1, round(2 * scale * height)),
    )
    picture = cv2.resize(picture, reduced, interpolation=cv2.INTER_AREA)
    x, y = x * reduced[0] / width, y * reduced[1] / height
    scale = scale * width / reduced[0]
  matrix = cv2.getRotationMatrix2D((x - 0.5, y - 0.5), square.turn, scale)
  matrix[:, 2] += size / 2 - np.array([x, y])
  edge = cv2.BORDER_REPLICATE if beyond == "edge" else cv2.BORDER_CONSTANT
  return cv2.warpAffine(
    picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=edge
  )
