"""Cut-outs pasted on pictures, and what of each object remains visible.

A cut-out is float32 `[h, w, 4]`: red, green and blue multiplied by alpha, then
alpha, as the renderer draws. So cut-outs scale and turn without fringes.
"""

import cv2
import numpy as np


def to_cutout(pixels: np.ndarray) -> np.ndarray:
  """`uint8 [h, w, 4]` of a PNG, not multiplied by alpha, to a cut-out."""
  cutout = pixels.astype(np.float32) / 255
  cutout[..., :3] *= cutout[..., 3:]
  return cutout


def to_pixels(cutout: np.ndarray) -> np.ndarray:
  """The inverse of `to_cutout`, up to rounding."""
  straight = cutout.copy()
  straight[..., :3] /= np.maximum(cutout[..., 3:], 1e-6)
  return np.rint(255 * straight.clip(0, 1)).astype(np.uint8)


def cut_out(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Returns the masked object of a photograph as a trimmed cut-out.

  Args:
    image: float32 `[H, W, 3]`.
    mask: float32 `[H, W]`.

  Raises:
    ValueError: the mask is empty.
  """
  cutout = np.concatenate([image * mask[..., None], mask[..., None]], axis=-1)
  return trim(cutout.astype(np.float32))


def trim(cutout: np.ndarray) -> np.ndarray:
  """Drops the transparent border.

  Raises:
    ValueError: all of it is transparent.
  """
  box = find_box(cutout[..., 3])
  if box is None:
    raise ValueError("a cut-out must have an opaque pixel, this one has none.")
  x, y, width, height = box
  return cutout[y : y + height, x : x + width]


def find_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
  """Returns x, y, width and height of the mask above 0.5; None if empty."""
  inside = mask > 0.5
  columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
  if not len(rows):
    return None
  x, y = int(columns[0]), int(rows[0])
  return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def scale(cutout: np.ndarray, longest: int) -> np.ndarray:
  """Scales a cut-out so that its longer side has so many pixels."""
  share = longest / max(cutout.shape[:2])
  size = [max(1, round(share * side)) for side in cutout.shape[1::-1]]
  how = cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
  return cv2.resize(cutout, size, interpolation=how).astype(np.float32)


def turn(cutout: np.ndarray, angle: float) -> np.ndarray:
  """Turns a cut-out in its plane, by radians, and trims it."""
  height, width = cutout.shape[:2]
  side = int(np.ceil(np.hypot(height, width))) + 2
  matrix = cv2.getRotationMatrix2D(
    (width / 2, height / 2), float(np.degrees(angle)), 1
  )
  matrix[:, 2] += (side - width) / 2, (side - height) / 2
  moved = cv2.warpAffine(cutout, matrix, (side, side), flags=cv2.INTER_LINEAR)
  return trim(moved)


def paste(
  image: np.ndarray, cutout: np.ndarray, *, left: int, top: int
) -> tuple[np.ndarray, np.ndarray]:
  """Puts a cut-out on a picture; what lies beyond the border is lost.

  Args:
    image: float32 `[H, W, 3]`.
    cutout: float32 `[h, w, 4]`.
    left: column of the picture where the cut-out begins; may be negative.
    top: row, likewise.

  Returns:
    The new picture, and the alpha of the cut-out in it, `[H, W]`.
  """
  H, W = image.shape[:2]
  h, w = cutout.shape[:2]
  y0, y1, x0, x1 = max(top, 0), min(top + h, H), max(left, 0), min(left + w, W)
  cover = np.zeros((H, W), np.float32)
  image = image.copy()
  if y0 < y1 and x0 < x1:
    part = cutout[y0 - top : y1 - top, x0 - left : x1 - left]
    cover[y0:y1, x0:x1] = part[..., 3]
    image[y0:y1, x0:x1] *= 1 - part[..., 3:]
    image[y0:y1, x0:x1] += part[..., :3]
  return image, cover


def cast_shadow(
  image: np.ndarray, cover: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Darkens a picture beside what will be pasted there.

  Args:
    image: float32 `[H, W, 3]`, without the object.
    cover: the object's alpha `[H, W]`.
    rng: draws direction, softness and darkness.
  """
  box = find_box(cover)
  if box is None:
    return image
  size = max(box[2:])
  dx, dy = rng.uniform(-0.15, 0.15) * size, rng.uniform(0, 0.15) * size
  moved = cv2.warpAffine(
    cover, np.array([[1, 0, dx], [0, 1, dy]]), cover.shape[::-1]
  )
  shadow = cv2.GaussianBlur(
    moved, (0, 0), max(0.5, size * rng.uniform(0.02, 0.1))
  )
  return image * (1 - rng.uniform(0.1, 0.6) * shadow[..., None])
