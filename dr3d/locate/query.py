"""A query's canonical picture: the object in the middle of a square.

`h w` pixels of the picture, `S` of the canonical one.
"""

import dataclasses

import cv2
import numpy as np

from dr3d.image.composite import find_box
from dr3d.locate.network import QUERY_SIZES

SIZE = QUERY_SIZES[0]
OBJECT_SHARE = 7 / 8  # of the square's side is the object's longer side
BLANK = 127 / 255  # grey that the trunk takes for 0


@dataclasses.dataclass(frozen=True, eq=False)
class Query:
  """One view of the object that is looked for.

  Attributes:
    image: float32 `[S, S, 3]`, `BLANK` off the object.
    mask: float32 `[S, S]`, the object's share of each pixel.
  """

  image: np.ndarray
  mask: np.ndarray


def frame_query(image: np.ndarray, mask: np.ndarray) -> Query:
  """Crops and scales an object to the canonical picture.

  Args:
    image: float32 `[h, w, 3]` in [0, 1].
    mask: float32 `[h, w]`, 1 on the object.

  Raises:
    ValueError: the mask is empty.
  """
  box = find_box(mask)
  if box is None:
    raise ValueError("the mask of a query must not be empty.")
  x, y, width, height = box
  side = max(width, height) / OBJECT_SHARE
  scale = SIZE / side
  left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
  solid = np.concatenate([image * mask[..., None], mask[..., None]], -1)
  if scale < 1:  # warpAffine would skip pixels
    small = (
      max(1, round(solid.shape[1] * scale)),
      max(1, round(solid.shape[0] * scale)),
    )
    solid = cv2.resize(solid, small, interpolation=cv2.INTER_AREA)
    left, top, scale = left * scale, top * scale, 1.0
  matrix = move_matrix(scale, -left * scale, -top * scale)
  framed = cv2.warpAffine(
    solid.astype(np.float32), matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR
  )
  alpha = framed[..., 3]
  return Query(framed[..., :3] + BLANK * (1 - alpha[..., None]), alpha)


def move_matrix(scale: float, x: float, y: float) -> np.ndarray:
  """The `[2, 3]` matrix of `warpAffine` that scales and then shifts.

  The origin is the corner of the first pixel, not its centre as in OpenCV.
  """
  middle = (scale - 1) / 2
  return np.array([[scale, 0, x + middle], [0, scale, y + middle]])


def frame_cutout(cutout: np.ndarray) -> Query:
  """As `frame_query`, of a cut-out float32 `[h, w, 4]`.

  Raises:
    ValueError: the cut-out is transparent.
  """
  alpha = cutout[..., 3]
  straight = cutout[..., :3] / np.maximum(alpha[..., None], 1e-6)
  return frame_query(np.clip(straight, 0, 1), alpha)
