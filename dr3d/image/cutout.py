"""A photograph → the thing cut out of it, and the squares an encoder sees.

`H W` pixels.
"""

import dataclasses
import os

import numpy as np

from dr3d.image.frame import cut_square, find_hull, fit_square
from dr3d.image.mask import Box, Mask, clip_box, find_mask, import_opencv
from dr3d.image.photograph import read_photograph

SIDE_MAX = 640
"""Longest side, pixels, of the part of a photograph in which the thing is
looked for. An encoder sees less than a fifth of it."""


@dataclasses.dataclass(frozen=True, eq=False)
class CutOut:
  """The thing that a photograph shows.

  Attributes:
    picture: uint8 `[H, W, 4]`, the photograph, reduced if it is large.
    mask: of the thing in it.
    scale: H and W over those of the photograph, at most 1.
    name: of the photograph.
  """

  picture: np.ndarray
  mask: Mask
  scale: float = 1.0
  name: str = ""

  @property
  def box(self) -> Box:
    """The box around the thing, in pixels of the photograph as it was given."""
    x, y, w, h = (round(value / self.scale) for value in self.mask.box)
    return x, y, max(w, 1), max(h, 1)

  def turn(self, size: int, *, count: int) -> np.ndarray:
    """Returns the thing in equal steps of a turn in its plane.

    Args:
      size: height and width, pixels.
      count: steps of a full turn, the first without one.

    Returns:
      float32 `[count, size, size, 4]`: red, green and blue in [0, 1] multiplied
      by the mask, then the mask.
    """
    alpha = self.mask.pixels.astype(np.float32)
    color = self.picture[..., :3].astype(np.float32) / 255
    whole = np.concatenate([color * alpha[..., None], alpha[..., None]], -1)
    hull = find_hull(self.mask.pixels)
    turned = [
      cut_square(
        whole,
        fit_square(hull, turn=360 * i / count),
        size=size,
        beyond="empty",
      )
      for i in range(count)
    ]
    return np.clip(np.stack(turned), 0, 1)

  def draw(self, *, dim: float = 0.25) -> np.ndarray:
    """Returns the photograph, dark and grey where the thing is not.

    Args:
      dim: brightness of what is not of the thing.

    Returns:
      uint8 `[H, W, 3]`.
    """
    color = self.picture[..., :3].astype(np.float32)
    grey = color.mean(axis=-1, keepdims=True)
    shown = np.where(self.mask.pixels[..., None], color, dim * grey)
    return np.rint(shown).astype(np.uint8)


Photo = str | os.PathLike[str] | bytes | np.ndarray | CutOut
"""A file, its content, its pixels, or what was cut out of it before."""


def cut_out(
  photograph: str | os.PathLike[str] | bytes | np.ndarray,
  *,
  region: Box | None = None,
  name: str = "",
) -> CutOut:
  """Cuts the one thing out of a photograph.

  Args:
    photograph: a file, its content, or uint8 `[H, W, 3]` or `[H, W, 4]`.
    region: x, y, width and height of a box around the thing, pixels of the
      upright photograph; the whole of it if None.
    name: of the photograph in messages.

  Raises:
    PictureError: the photograph cannot be read, nothing stands out from its
      background, or OpenCV is not installed.
    ValueError: the array is not a picture.

  Example:
    >>> import numpy as np
    >>> picture = np.full((60, 80, 3), 200, np.uint8)
    >>> picture[20:40, 30:60] = 40, 60, 180
    >>> cut_out(picture).box
    (30, 20, 30, 20)
  """
  if isinstance(photograph, np.ndarray):
    picture = _check(photograph)
    name = name or "the picture"
  else:
    if not isinstance(photograph, bytes):
      name = name or os.fspath(photograph)
    picture = read_photograph(photograph, name=name)
  height, width = picture.shape[:2]
  box = clip_box(region, width=width, height=height, name=name)
  scale = min(1.0, SIDE_MAX / max(box[2:]))
  if scale < 1:
    cv2 = import_opencv()
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    x, y, w, h = (round(value * scale) for value in box)
    box = x, y, max(w, 4), max(h, 4)
  whole = None if region is None else box
  return CutOut(picture, find_mask(picture, box=whole, name=name), scale, name)


def _check(picture: np.ndarray) -> np.ndarray:
  """Returns a picture with alpha."""
  is_picture = picture.ndim == 3 and picture.shape[2] in (3, 4)
  if not is_picture or picture.dtype != np.uint8 or not picture.size:
    raise ValueError(
      "a photograph must be uint8 [H, W, 3] or [H, W, 4], got"
      f" {picture.dtype} {list(picture.shape)}."
    )
  if picture.shape[2] == 4:
    return picture
  opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
  return np.concatenate([picture, opaque], axis=-1)
