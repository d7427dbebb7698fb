"""A photograph → which of its pixels show the thing, and the cut-out of them.

Three ways, the first that the picture allows: its alpha; a box that a person
drew around the thing; or the border of the picture as what lies behind it.

`H W` pixels; a box is `(x, y, width, height)`, pixels from the upper left.

References:
  Rother, Kolmogorov, Blake, "GrabCut": Interactive Foreground Extraction using
  Iterated Graph Cuts, SIGGRAPH 2004. Here the colours are first freed from the
  light that falls off across the background, see `_flatten`; without that, a
  white or grey part on white paper is lost in the shades of the paper.
"""

import dataclasses
from typing import Any, Literal

import numpy as np

from dr3d.error import PictureError

Box = tuple[int, int, int, int]
Source = Literal["alpha", "box", "border"]

WORK_SIZE = 128
"""Longest side of the picture in which the thing is searched, pixels: enough
for an encoder's frame, and a twentieth of a second."""

_SURROUNDING = 0.15  # of a box's sides, seen around it as background
_RING = 0.04  # of the shorter side: the border, if nothing is around the box
_CORE = 0.12  # of half a side: the middle belongs to the thing
_CLUSTERS = 3  # of colours along the border; the thing may touch it
_SAME_COLOUR = 12.0  # of two clusters of background, in Lab
_GAIN = 4  # levels for one unit of Lab
_LIGHTNESS = 0.7  # weight of L against a and b: shadows change it alone
_LEAST_DIFFERENCE = 2.5  # from the background that counts, in Lab
_LEAST_SHARE = 0.002  # of the pixels; less is dust
_PIECE = 0.1  # of the largest piece; smaller ones are not of the thing
_ZOOM_BELOW = 0.5  # of the sides: a smaller thing is looked at again, larger


@dataclasses.dataclass(frozen=True, eq=False)
class Mask:
  """Which pixels of a photograph show the thing.

  Attributes:
    pixels: bool `[H, W]`.
    source: what it was made from.
  """

  pixels: np.ndarray
  source: Source

  @property
  def box(self) -> Box:
    """The smallest box around the pixels."""
    rows = np.flatnonzero(self.pixels.any(axis=1))
    columns = np.flatnonzero(self.pixels.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def find_mask(
  picture: np.ndarray, *, box: Box | None = None, name: str = "the picture"
) -> Mask:
  """Finds the pixels of the one thing that a photograph shows.

  Args:
    picture: uint8 `[H, W, 4]` from `read_photograph`.
    box: around the thing; the whole picture if None.
    name: of the picture in messages.

  Raises:
    PictureError: the box is not in the picture, nothing stands out from the
      background, or OpenCV is not installed.
  """
  height, width = picture.shape[:2]
  x, y, w, h = box = clip_box(box, width=width, height=height, name=name)
  alpha = picture[..., 3] > 127
  if not alpha.all():
    inside = np.zeros_like(alpha)
    inside[y : y + h, x : x + w] = alpha[y : y + h, x : x + w]
    if not inside.any():
      raise PictureError(f"{name} is transparent where the thing should be.")
    return Mask(inside, "alpha")
  pixels = _separate(picture[..., :3], box)
  found = Mask(pixels, "box" if w * h < width * height else "border")
  if pixels.any():
    sides = found.box[2:]
    if max(sides) < _ZOOM_BELOW * max(w, h):
      near = grow_box(found.box, _SURROUNDING, width=width, height=height)
      finer = _separate(picture[..., :3], near)
      found = dataclasses.replace(found, pixels=finer)
  if found.pixels.sum() < _LEAST_SHARE * w * h:
    raise PictureError(
      f"nothing stands out from the background of {name}: give a box around"
      " the thing, or put it on a plain ground of another colour."
    )
  return found


def clip_box(
  box: Box | None, *, width: int, height: int, name: str = "the picture"
) -> Box:
  """Returns the part of a box that is inside a picture.

  Args:
    box: None for the whole picture.
    width: of the picture, pixels.
    height: likewise.
    name: of the picture in messages.

  Raises:
    PictureError: less than four pixels in each direction are inside.
  """
  if box is None:
    return 0, 0, width, height
  x, y, w, h = box
  left, top = max(x, 0), max(y, 0)
  right, bottom = min(x + w, width), min(y + h, height)
  if right - left < 4 or bottom - top < 4:
    raise PictureError(
      f"the region {x},{y},{w},{h} is not in {name}, which has {width} x"
      f" {height} pixels: give x,y,width,height of a box around the thing."
    )
  return left, top, right - left, bottom - top


def grow_box(box: Box, share: float, *, width: int, height: int) -> Box:
  """Returns a box that is larger on each side by a share of its own sides."""
  x, y, w, h = box
  left, top = max(0, x - round(share * w)), max(0, y - round(share * h))
  right = min(width, x + w + round(share * w))
  bottom = min(height, y + h + round(share * h))
  return left, top, right - left, bottom - top


def _separate(picture: np.ndarray, box: Box) -> np.ndarray:
  """Separates the thing in a box from what is behind it: bool `[H, W]`."""
  cv2 = import_opencv()
  height, width = picture.shape[:2]
  left, top, w, h = grow_box(box, _SURROUNDING, width=width, height=height)
  near = picture[top : top + h, left : left + w]
  scale = min(1.0, WORK_SIZE / max(w, h))
  size = max(8, round(w * scale)), max(8, round(h * scale))
  small = cv2.resize(near, size, interpolation=cv2.INTER_AREA)
  x, y = np.arange(size[0]) * w / size[0], np.arange(size[1]) * h / size[1]
  inside = (
    (x + left >= box[0])
    & (x + left < box[0] + box[2])
    & (y[:, None] + top >= box[1])
    & (y[:, None] + top < box[1] + box[3])
  )
  ring = ~inside
  if ring.mean() < _RING:
    margin = max(2, round(_RING * min(size)))
    ring = np.ones_like(inside)
    ring[margin:-margin, margin:-margin] = False
  middle = _measure_radius(inside)
  mask = _cut(cv2, small, ring, middle, outside=~inside)
  result = np.zeros((height, width), bool)
  result[top : top + h, left : left + w] = (
    cv2.resize(mask.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR)
    > 0.5
  )
  return result


def import_opencv() -> Any:
  """Returns the module cv2.

  Raises:
    PictureError: OpenCV is not installed.
  """
  try:
    import cv2
  except ImportError as error:
    raise PictureError(
      "a photograph needs OpenCV: run pip install 'dr3d[photo]'."
    ) from error
  return cv2


def _measure_radius(inside: np.ndarray) -> np.ndarray:
  """Distance of each pixel from the middle, in half sides of the box."""
  rows = np.flatnonzero(inside.any(axis=1))
  columns = np.flatnonzero(inside.any(axis=0))
  y, x = (
    (np.arange(n) - (at[0] + at[-1]) / 2) / (len(at) / 2)
    for n, at in zip(inside.shape, (rows, columns), strict=True)
  )
  return np.hypot(y[:, None], x)


def _cut(
  cv2: Any,
  picture: np.ndarray,
  ring: np.ndarray,
  radius: np.ndarray,
  *,
  outside: np.ndarray,
) -> np.ndarray:
  """GrabCut on a small picture: bool `[H, W]`."""
  lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
  ground = _find_ground(cv2, lab, ring)
  difference = _flatten(lab, ground, radius)
  size = np.linalg.norm(difference * [_LIGHTNESS, 1, 1], axis=-1)
  least = max(_LEAST_DIFFERENCE, 2.5 * float(np.median(size[ground])))
  state = np.full(ring.shape, cv2.GC_PR_FGD, np.uint8)
  state[(size < least) & (radius > 0.4)] = cv2.GC_PR_BGD
  state[ground & (size < 2 * least)] = cv2.GC_BGD
  state[(radius < _CORE) & (size > least / 2)] = cv2.GC_FGD
  state[outside] = cv2.GC_BGD
  colours = np.clip(128 + _GAIN * difference, 0, 255).astype(np.uint8)
  if not _has_both(cv2, state):
    return np.zeros(ring.shape, bool)
  cv2.setRNGSeed(0)  # the clusters of colours start at random
  models = np.zeros((1, 65)), np.zeros((1, 65))
  cv2.grabCut(colours, state, None, *models, 4, cv2.GC_INIT_WITH_MASK)
  mask = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
  return _drop_pieces(cv2, mask)


def _has_both(cv2: Any, state: np.ndarray) -> bool:
  """Whether GrabCut has pixels of both kinds to learn colours from."""
  front = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)).sum()
  return 10 < front < state.size - 10


def _find_ground(cv2: Any, lab: np.ndarray, ring: np.ndarray) -> np.ndarray:
  """The pixels of the border that show the background.

  The thing may touch the border. Corners are the last that it reaches, so the
  colours that prevail there are those of the background.
  """
  colours = lab[ring] * np.array([0.5, 1, 1], np.float32)
  cv2.setRNGSeed(0)
  stop = cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5
  _, cluster, centre = cv2.kmeans(
    colours, _CLUSTERS, None, stop, 2, cv2.KMEANS_PP_CENTERS
  )
  cluster = cluster[:, 0]
  H, W = ring.shape
  y, x = np.linspace(-1, 1, H)[:, None], np.linspace(-1, 1, W)
  corner = np.hypot(1 - np.abs(y), 1 - np.abs(x))[ring]
  weight = np.exp(-((corner / 0.3) ** 2))
  share = np.bincount(cluster, weight, minlength=_CLUSTERS)
  distance = np.linalg.norm(centre - centre[share.argmax()], axis=1)
  ground = np.zeros_like(ring)
  ground[ring] = (distance < _SAME_COLOUR)[cluster]
  return ground


def _flatten(
  lab: np.ndarray, ground: np.ndarray, radius: np.ndarray
) -> np.ndarray:
  """The difference of each pixel from the background that continues there.

  The background is a quadratic function of the place, fitted to the border and
  then to all pixels far from the middle that agree with it.

  Returns:
    float `[H, W, 3]`, in Lab.
  """
  H, W = ground.shape
  y, x = np.meshgrid(
    np.linspace(-1, 1, H), np.linspace(-1, 1, W), indexing="ij"
  )
  terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
  chosen = ground
  for _ in range(4):
    # A weak pull to a flat background, where only one side of it is seen.
    pull = np.diag([0, 0.3, 0.3, 2, 2, 2]) * 0.3 * np.sqrt(chosen.sum())
    fit = np.linalg.lstsq(
      np.concatenate([terms[chosen], pull]),
      np.concatenate([lab[chosen], np.zeros((6, 3))]),
      rcond=None,
    )[0]
    difference = lab - terms @ fit
    size = np.linalg.norm(difference * [_LIGHTNESS, 1, 1], axis=-1)
    agrees = size < max(3.0, 2 * float(np.median(size[ground])))
    chosen = agrees & (ground | (radius > 0.9))
    if chosen.sum() < 20:
      chosen = ground
  return difference


def _drop_pieces(cv2: Any, mask: np.ndarray) -> np.ndarray:
  """Keeps the largest piece, and others that are not much smaller."""
  count, labels, rows, _ = cv2.connectedComponentsWithStats(
    mask.astype(np.uint8)
  )
  if count < 2:
    return mask
  area = rows[:, cv2.CC_STAT_AREA].copy()
  area[0] = 0
  return (area > _PIECE * area.max())[labels] & mask
