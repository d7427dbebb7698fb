"""A cut-out thing → the square picture that an encoder sees.

A thing fills the circle around it, whatever its size in the photograph. So the
picture of a thing that was turned in its plane is that picture, turned.

`H W` pixels.
"""

import dataclasses
from typing import Literal

import numpy as np

from dr3d.image.mask import import_opencv

FILL = 0.92
"""Diameter of the circle around a thing, of the side of the square."""


@dataclasses.dataclass(frozen=True)
class Circle:
  """The smallest circle around the pixels of a thing.

  Attributes:
    x: of the centre, pixels from the left edge.
    y: of the centre, pixels from the upper edge.
    radius: pixels.
  """

  x: float
  y: float
  radius: float


def find_circle(mask: np.ndarray) -> Circle:
  """Finds the smallest circle around the pixels of a mask, bool `[H, W]`.

  Raises:
    ValueError: no pixel is set.
  """
  if not mask.any():
    raise ValueError("a mask without pixels has no circle")
  cv2 = import_opencv()
  contours, _ = cv2.findContours(
    mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
  )
  hull = cv2.convexHull(np.concatenate(contours))
  (x, y), radius = cv2.minEnclosingCircle(hull.astype(np.float32))
  # From the middles of pixels to their outer edges.
  return Circle(x + 0.5, y + 0.5, radius + 0.5)


def cut_square(
  picture: np.ndarray,
  circle: Circle,
  *,
  size: int,
  turn: float = 0.0,
  beyond: Literal["edge", "empty"] = "edge",
) -> np.ndarray:
  """Cuts the square around a circle out of a picture.

  Args:
    picture: `[H, W, C]`.
    circle: of the thing.
    size: height and width of the result, pixels.
    turn: degrees, counter-clockwise, by which the result is turned.
    beyond: what stands beyond the border: its edge repeated, or 0.

  Returns:
    `[size, size, C]` of the same type.
  """
  cv2 = import_opencv()
  scale = FILL * size / (2 * circle.radius)
  x, y = circle.x, circle.y
  if scale < 0.5:  # reduced before it is turned, or pixels would be skipped
    height, width = picture.shape[:2]
    reduced = (
      max(1, round(2 * scale * width)),
      max(1, round(2 * scale * height)),
    )
    picture = cv2.resize(picture, reduced, interpolation=cv2.INTER_AREA)
    x, y = x * reduced[0] / width, y * reduced[1] / height
    scale = scale * width / reduced[0]
  matrix = cv2.getRotationMatrix2D((x - 0.5, y - 0.5), turn, scale)
  matrix[:, 2] += size / 2 - 0.5 - np.array([x - 0.5, y - 0.5])
  return cv2.warpAffine(
    picture,
    matrix,
    (size, size),
    flags=cv2.INTER_LINEAR,
    borderMode=cv2.BORDER_REPLICATE
    if beyond == "edge"
    else cv2.BORDER_CONSTANT,
  )
