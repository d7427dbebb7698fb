"""Scenes: cut-outs on a background, with the visible part of the target.

`H W` pixels of a scene, `M` instances of the target in it.

References:
  US 2018/0260664 [0062-0069].
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dr3d.image import composite
from dr3d.image.background import make_background
from dr3d.image.distortion import DISTORTIONS

Random = np.random.Generator
Box = tuple[int, int, int, int]  # x, y, width, height

VISIBLE_LEAST = 0.35  # of an instance's pixels, or what covers it is left out
TARGET_SIDES = (0.14, 0.75)  # longer side, in heights of the scene
CLUTTER_SIDES = (0.12, 0.6)
UPRIGHT_SHARE = 0.7  # of the cut-outs turn by no more than UPRIGHT_ANGLE
UPRIGHT_ANGLE = 0.4  # radians

PICTURE_DISTORTIONS = {
  "lens_blur": 0.12,
  "motion_blur": 0.1,
  "noise": 0.2,
  "resolution": 0.12,
  "compression": 0.25,
  "lighting": 0.25,
  "pillar_box": 0.04,
  "tear": 0.03,
  "affine": 0.05,
}
"""How often each is applied to a whole scene."""

BLURS = frozenset({"lens_blur", "motion_blur", "resolution"})


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
  """A picture and what is known of the target in it.

  Attributes:
    image: uint8 `[H, W, 3]`.
    mask: uint8 `[H, W]`, the number of the instance from 1 where it is
      visible, else 0.
    boxes: of the M visible parts.
    sides: longer side of each instance before occlusion, pixels.
    occlusions: share of each instance that is hidden.
    distortions: names of those applied to the picture.
  """

  image: np.ndarray
  mask: np.ndarray
  boxes: tuple[Box, ...]
  sides: tuple[int, ...]
  occlusions: tuple[float, ...]
  distortions: tuple[str, ...]


def compose_scene(
  rng: Random,
  targets: Sequence[np.ndarray],
  clutter: Sequence[np.ndarray],
  *,
  size: tuple[int, int],
  distorted: bool = True,
  background: np.ndarray | None = None,
) -> Scene:
  """Pastes targets and clutter on a background, in random order.

  Args:
    rng: random numbers.
    targets: cut-outs of the target, one for each instance; may be empty.
    clutter: cut-outs of other things.
    size: height and width, pixels.
    distorted: whether to apply distortions.
    background: float32 `[H, W, 3]`; None makes one.

  Returns:
    The scene. An instance that is hardly visible is not among its instances,
    and things that would hide one are left out.
  """
  image = make_background(rng, size) if background is None else background
  entries = [(cutout, True) for cutout in targets]
  entries += [(cutout, False) for cutout in clutter]
  covers: list[np.ndarray] = []
  areas: list[float] = []
  sides: list[int] = []
  for i in rng.permutation(len(entries)):
    cutout, is_target = entries[i]
    bounds = TARGET_SIDES if is_target else CLUTTER_SIDES
    cutout = prepare_cutout(rng, cutout, bounds, size, distorted=distorted)
    left, top = _draw_position(rng, cutout, size, inside=is_target)
    pasted, cover = composite.paste(image, cutout, left=left, top=top)
    hidden = [mask * (1 - cover) for mask in covers]
    if any(
      mask.sum() < VISIBLE_LEAST * area
      for mask, area in zip(hidden, areas, strict=True)
    ):
      continue
    if rng.random() < 0.4:
      shaded = composite.cast_shadow(image, cover, rng)
      pasted, _ = composite.paste(shaded, cutout, left=left, top=top)
    image, covers = pasted, hidden
    if is_target:
      covers.append(cover)
      areas.append(float(cutout[..., 3].sum()))
      sides.append(max(cutout.shape[:2]))
  names: tuple[str, ...] = ()
  if distorted:
    image, covers, names = distort_scene(rng, image, covers)
  return _finish(image, covers, areas, sides, names)


def prepare_cutout(
  rng: Random,
  cutout: np.ndarray,
  bounds: tuple[float, float],
  size: tuple[int, int],
  *,
  distorted: bool,
) -> np.ndarray:
  """Turns, scales and distorts one cut-out.

  Args:
    rng: random numbers.
    cutout: float32 `[h, w, 4]`.
    bounds: least and greatest longer side, in heights of the scene.
    size: of the scene.
    distorted: whether light and super-pixels change too.
  """
  angle = rng.uniform(-np.pi, np.pi)
  if rng.random() < UPRIGHT_SHARE:
    angle *= UPRIGHT_ANGLE / np.pi
  cutout = composite.turn(composite.trim(cutout), angle)
  low, high = np.log(bounds)
  longest = round(size[0] * np.exp(rng.uniform(low, high)))
  cutout = composite.scale(cutout, max(longest, 8))
  if not distorted:
    return cutout
  for name, share in (
    ("lighting", 0.5),
    ("superpixels", 0.12),
    ("transparency", 0.05),
  ):
    if rng.random() < share:
      cutout = distort_cutout(rng, cutout, name)
  return cutout


def distort_cutout(rng: Random, cutout: np.ndarray, name: str) -> np.ndarray:
  """Applies a distortion to a cut-out's colours and alpha."""
  alpha = cutout[..., 3]
  straight = cutout[..., :3] / np.maximum(alpha[..., None], 1e-6)
  image, mask = DISTORTIONS[name](
    np.clip(straight, 0, 1).astype(np.float32), alpha, rng
  )
  if not (mask > 0.5).any():
    return cutout
  return np.concatenate(
    [image * mask[..., None], mask[..., None]], axis=-1
  ).astype(np.float32)


def distort_scene(
  rng: Random, image: np.ndarray, covers: list[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray], tuple[str, ...]]:
  """Applies some distortions to a picture and to all its masks alike."""
  names = []
  for name, share in PICTURE_DISTORTIONS.items():
    if rng.random() >= share:
      continue
    names.append(name)
    seed = int(rng.integers(2**31))
    empty = np.zeros(image.shape[:2], np.float32)
    apply = DISTORTIONS[name]
    before = image
    image = apply(before, empty, np.random.default_rng(seed))[0]
    covers = [
      apply(before, cover, np.random.default_rng(seed))[1] for cover in covers
    ]
  return image, covers, tuple(names)


def _draw_position(
  rng: Random,
  cutout: np.ndarray,
  size: tuple[int, int],
  *,
  inside: bool,
) -> tuple[int, int]:
  """Left and top; clutter may reach beyond the border."""
  beyond = 0.1 if inside else 0.5  # of the cut-out
  positions = []
  for side, room in zip(cutout.shape[1::-1], size[::-1], strict=True):
    low, high = -beyond * side, room - (1 - beyond) * side
    positions.append(round(rng.uniform(min(low, high), max(low, high))))
  return positions[0], positions[1]


def _finish(
  image: np.ndarray,
  covers: Sequence[np.ndarray],
  areas: Sequence[float],
  sides: Sequence[int],
  names: tuple[str, ...],
) -> Scene:
  mask = np.zeros(image.shape[:2], np.uint8)
  boxes, kept, occlusions = [], [], []
  for cover, area, side in zip(covers, areas, sides, strict=True):
    box = composite.find_box(cover)
    hidden = max(0.0, 1 - float(cover.sum()) / area)
    if box is None or hidden > 1 - VISIBLE_LEAST:
      # Pixels of an instance that does not count are not clutter either, but
      # that is rare: the border or a bar cut it off.
      continue
    boxes.append(box)
    kept.append(side)
    occlusions.append(hidden)
    mask[cover > 0.5] = len(boxes)
  pixels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
  return Scene(
    pixels, mask, tuple(boxes), tuple(kept), tuple(occlusions), names
  )
