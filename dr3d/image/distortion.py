"""Distortions of a picture and the mask of its object.

Each is a function of `(image, mask, rng)`: image float32 `[H, W, 3]` in [0, 1]
and mask float32 `[H, W]` in [0, 1], which it leaves as they are, to new ones of
the same shape. What changes geometry changes both; what changes light only
returns the mask as it was. `DISTORTIONS` lists all by name.

References:
  US 2018/0260664 [0064-0068]: affine and tearing, blurs, noise, pillar boxes,
  transparency, lighting, resolution, occlusion by other objects and by super-
  pixels from mean shift.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

Random = np.random.Generator
Pair = tuple[np.ndarray, np.ndarray]
Distortion = Callable[[np.ndarray, np.ndarray, Random], Pair]


def distort_affine(image: np.ndarray, mask: np.ndarray, rng: Random) -> Pair:
  """Turns, scales and shears about the centre; uncovered pixels mirror."""
  height, width = mask.shape
  turn, scale = rng.uniform(-0.5, 0.5), rng.uniform(0.75, 1.25)
  shear = rng.uniform(-0.2, 0.2)
  rotation = np.array(
    [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
  )
  matrix = scale * rotation @ np.array([[1, shear], [0, 1]])
  center = np.array([width, height]) / 2
  shift = center - matrix @ center + rng.uniform(-0.05, 0.05, 2) * center
  return warp(image, mask, np.column_stack([matrix, shift]))


def distort_tear(image: np.ndarray, mask: np.ndarray, rng: Random) -> Pair:
  """Shifts the part beyond a random line, as a torn picture or a frame."""
  height, width = mask.shape
  row = int(rng.uniform(0.25, 0.75) * height)
  shift = int(rng.choice([-1, 1]) * max(1, rng.uniform(0.03, 0.15) * width))
  image, mask = image.copy(), mask.copy()
  image[row:] = np.roll(image[row:], shift, axis=1)
  mask[row:] = np.roll(mask[row:], shift, axis=1)
  # What was rolled in from the other side is not of the object.
  if shift > 0:
    mask[row:, :shift] = 0
  else:
    mask[row:, shift:] = 0
  return image, mask


def distort_lens_blur(image: np.ndarray, mask: np.ndarray, rng: Random) -> Pair:
  """The disc that a point out of focus becomes."""
  radius = max(1, round(rng.uniform(0.004, 0.02) * max(mask.shape)))
  side = 2 * radius + 1
  disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
  return _filter(image, disc / disc.sum()), mask


def distort_motion_blur(
  image: np.ndarray, mask: np.ndarray, rng: Random
) -> Pair:
  """A line in a random direction, as a camera moves."""
  side = 2 * max(1, round(rng.uniform(0.005, 0.03) * max(mask.shape))) + 1
  kernel = np.zeros((side, side), np.float32)
  turn, middle = rng.uniform(0, np.pi), side // 2
  dx, dy = middle * np.cos(turn), middle * np.sin(turn)
  ends = [
    (round(middle + sign * dx), round(middle + sign * dy)) for sign in (-1, 1)
  ]
  cv2.line(kernel, ends[0], ends[1], 1.0)
  return _filter(image, kernel / kernel.sum()), mask


def distort_noise(image: np.ndarray, mask: np.ndarray, rng: Random) -> Pair:
  """Noise of a sensor: of the light itself and of reading it."""
  shot, read = rng.uniform(0, 0.05), rng.uniform(0.005, 0.05)
  deviation = np.sqrt(read**2 + shot**2 * image)
  noise = rng.normal(size=image.shape).astype(np.float32)
  return np.clip(image + deviation * noise, 0, 1).astype(np.float32), mask


def distort_pillar_box(
  image: np.ndarray, mask: np.ndarray, rng: Random
) -> Pair:
  """Bars of one colour at two opposite sides; they cover the object too."""
  image, mask = image.copy(), mask.copy()
  axis = rng.integers(2)
  bar = max(1, int(rng.uniform(0.03, 0.12) * mask.shape[axis]))
  color = rng.choice([0.0, rng.random()])
  for side in (slice(None, bar), slice(-bar, None)):
    where = (side, slice(None)) if axis == 0 else (slice(None), side)
    image[where], mask[where] = color, 0
  return image, mask


def distort_transparency(
  image: np.ndarray, mask: np.ndarray, rng: Random
) -> Pair:
  """Lets a colour shine through the object, as through glass or a fade."""
  share = rng.uniform(0.1, 0.45)
  color = rng.random(3).astype(np.float32)
  mixed = image + (share * mask)[..., None] * (color - image)
  return mixed.astype(np.float32), mask


def distort_lighting(image: np.ndarray, mask: np.ndarray, rng: Random) -> Pair:
  """Exposure, contrast, tint, and a light that falls off to one side."""
  height, width = mask.shape
  y, x = np.mgrid[:height, :width].astype(np.float32)
  turn = rng.uniform(0, 2 * np.pi)
  slope = np.cos(turn) * (x / width - 0.5) + np.sin(turn) * (y / height - 0.5)
  light = 1 + rng.uniform(0, 0.9) * slope
  tint = 1 + rng.uniform(-0.12, 0.12, 3)
  lit = np.clip(image, 0, 1) ** rng.uniform(0.6, 1.6) * light[..., None] * tint
  return np.clip(lit * rng.uniform(0.7, 1.2), 0, 1).astype(np.float32), mask


def distort_resolution(
  image: np.ndarray, mask: np.ndarray, rng: Random
) -> Pair:
  """Scales down and up again, as a small or far picture is shown."""
  height, width = mask.shape
  share = rng.uniform(0.25, 0.7)
  small = (max(1, round(share * width)), max(1, round(share * height)))
  less = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
  more = cv2.resize(less, (width, height), interpolation=cv2.INTER_LINEAR)
  return np.clip(more, 0, 1), mask


def distort_compression(
  image: np.ndarray, mask: np.ndarray, rng: Random
) -> Pair:
  """JPEG at a low quality."""
  quality = int(rng.integers(15, 70))
  pixels = np.rint(255 * image).astype(np.uint8)
  _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
  decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32)
  return decoded / 255, mask


def distort_superpixels(
  image: np.ndarray, mask: np.ndarray, rng: Random
) -> Pair:
  """Deletes or darkens a few super-pixels of the object [0068].

  A deleted one shows the mean colour of what is not the object and leaves the
  mask; a darkened one stays, as in a shadow.
  """
  labels = split_superpixels(image, mask)
  names, areas = np.unique(labels[labels > 0], return_counts=True)
  image, mask = image.copy(), mask.copy()
  inside = mask > 0.5
  behind = image[~inside].mean(0) if not inside.all() else np.zeros(3)
  allowed = 0.35 * inside.sum()  # of the object, in pixels
  for i in rng.permutation(len(names)):
    if areas[i] > allowed:
      continue
    allowed -= areas[i]
    region = labels == names[i]
    if rng.random() < 0.5:
      image[region], mask[region] = behind, 0
    else:
      image[region] *= rng.uniform(0.1, 0.5)
    if rng.random() < 0.4:
      break
  return image.astype(np.float32), mask


DISTORTIONS: Mapping[str, Distortion] = {
  "affine": distort_affine,
  "tear": distort_tear,
  "lens_blur": distort_lens_blur,
  "motion_blur": distort_motion_blur,
  "noise": distort_noise,
  "pillar_box": distort_pillar_box,
  "transparency": distort_transparency,
  "lighting": distort_lighting,
  "resolution": distort_resolution,
  "compression": distort_compression,
  "superpixels": distort_superpixels,
}
"""All but the occlusion by other objects, which `composite.paste` makes."""


def split_superpixels(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Cuts the object into super-pixels by mean shift.

  Args:
    image: float32 `[H, W, 3]`.
    mask: `[H, W]`.

  Returns:
    int32 `[H, W]`: the number of the super-pixel from 1, 0 off the object.
  """
  pixels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
  radius = max(3, max(mask.shape) // 24)
  smooth = cv2.pyrMeanShiftFiltering(pixels, radius, 24)
  # Flat regions: neighbours whose filtered colours are of one bin. A coarse
  # grid cuts what has one colour only, as a shaded part may.
  bins = (smooth // 24).astype(np.int32)
  code = bins @ np.array([1, 16, 256])
  cell = max(4, max(mask.shape) // 6)
  y, x = np.mgrid[: mask.shape[0], : mask.shape[1]] // cell
  code = (code * 64 + y) * 64 + x
  labels = np.zeros(mask.shape, np.int32)
  inside, count = mask > 0.5, 0
  for value in np.unique(code[inside]):
    region = ((code == value) & inside).astype(np.uint8)
    found, part = cv2.connectedComponents(region, connectivity=4)
    labels[part > 0] = part[part > 0] + count
    count += found - 1
  return labels


def warp(image: np.ndarray, mask: np.ndarray, matrix: np.ndarray) -> Pair:
  """Moves a picture and its mask by an affine matrix.

  Args:
    image: `[H, W, 3]`.
    mask: `[H, W]`.
    matrix: `[2, 3]` from old to new x and y, pixels.

  Returns:
    The moved image, mirrored beyond its border, and the moved mask, 0 there.
  """
  size = mask.shape[::-1]
  moved = cv2.warpAffine(
    image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
  )
  cover = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)
  return moved.astype(np.float32), cover.astype(np.float32)


def _filter(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
  blurred = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT)
  return np.clip(blurred, 0, 1).astype(np.float32)
