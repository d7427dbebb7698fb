"""The second look: parts of the medium, scaled to the size that is known best.

`H W` pixels of the medium, `Z` parts, `E` pieces of evidence.

References:
  US 2018/0260664 [0049]: one representation of the query against several parts
  of the medium, scaled up.
"""

import dataclasses

import cv2
import numpy as np

from dr3d.locate import instance as instance_lib
from dr3d.locate.network import Output
from dr3d.locate.palette import compare_palettes, measure_palette
from dr3d.locate.query import BLANK, move_matrix

ZOOMS = 6  # Z, at most
ZOOM_SIZE = 192  # sides of a part after scaling, as the scenes of the training
ZOOM_RATIO = 2.0  # side of a part, in longer sides of what it may show
ZOOM_LEAST = 24  # side of a part before scaling, pixels


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
  """A place that was looked at twice.

  Attributes:
    mask: bool `[H, W]`.
    evidence: `[E]`, what the network says of it.
    view: index of the query's view.
    peak: row and column of its hottest pixel.
  """

  mask: np.ndarray
  evidence: np.ndarray
  view: int
  peak: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
  """A square of the medium.

  Attributes:
    left: column where it begins; may be negative.
    top: row, likewise.
    side: pixels of the medium.
    view: the query's view that was hottest there.
    heat: its heat in the first look.
  """

  left: int
  top: int
  side: int
  view: int
  heat: float


def propose_parts(
  heat: np.ndarray, view: np.ndarray, size: tuple[int, int]
) -> list[Part]:
  """Squares around the hottest regions of the first look.

  Args:
    heat: `[h, w]`.
    view: `[h, w]`.
    size: H, W.
  """
  scale = max(size) / max(heat.shape)
  parts = []
  for region in instance_lib.split_components(heat)[:ZOOMS]:
    y, x = np.nonzero(region)
    hot = np.argmax(heat[y, x])
    longest = scale * (1 + max(np.ptp(y), np.ptp(x)))
    side = round(max(ZOOM_RATIO * longest, ZOOM_LEAST))
    cy = scale * (y.min() + y.max() + 1) / 2
    cx = scale * (x.min() + x.max() + 1) / 2
    parts.append(
      Part(
        round(cx - side / 2),
        round(cy - side / 2),
        side,
        int(view[y[hot], x[hot]]),
        float(heat[y[hot], x[hot]]),
      )
    )
  return parts


def crop(image: np.ndarray, part: Part) -> np.ndarray:
  """A square of a picture, `ZOOM_SIZE` pixels wide; grey beyond the border."""
  scale = ZOOM_SIZE / part.side
  left, top = part.left, part.top
  if scale < 1:
    # Only what is inside is scaled down, with areas, then moved.
    height, width = image.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    left, top, scale = round(left * scale), round(top * scale), 1.0
  matrix = move_matrix(scale, -left * scale, -top * scale)
  return cv2.warpAffine(
    image,
    matrix,
    (ZOOM_SIZE, ZOOM_SIZE),
    flags=cv2.INTER_LINEAR,
    borderValue=(BLANK, BLANK, BLANK),
  )


def judge_part(
  part: Part,
  image: np.ndarray,
  output: Output,
  palette: np.ndarray,
  size: tuple[int, int],
) -> list[Candidate]:
  """Candidates in a part: its regions that reach its middle.

  Args:
    part: the square.
    image: `[ZOOM_SIZE, ZOOM_SIZE, 3]`, what was looked at.
    output: what the network says of it, without the first dimension.
    palette: of the query's view.
    size: H, W.
  """
  logits = output.heat
  heat = 1 / (1 + np.exp(-logits))
  middle = slice(heat.shape[0] // 4, -(heat.shape[0] // 4))
  fine = instance_lib.refine_heat(to_size(heat, image.shape[:2]), image)
  result = []
  for region in instance_lib.split_components(
    heat, least=instance_lib.HEAT_LEAST
  ):
    if not region[middle, middle].any():
      continue
    near = cv2.dilate(region.astype(np.uint8), np.ones((3, 3), np.uint8))
    inside = to_size(near.astype(np.float32), image.shape[:2]) > 0.5
    own = fine * inside
    mask = _place(own, part, size)
    if not mask.any():
      continue
    colours = compare_palettes(palette, measure_palette(image, own))
    evidence = np.concatenate([colours, gather_evidence(part, output, region)])
    hottest = np.argmax(np.where(region, heat, 0))
    y, x = (
      (np.array(np.unravel_index(hottest, heat.shape)) + 0.5)
      * part.side
      / heat.shape[0]
    )
    peak = (int(part.top + y), int(part.left + x))
    result.append(Candidate(mask, evidence, part.view, peak))
  return result


def gather_evidence(
  part: Part, output: Output, region: np.ndarray
) -> np.ndarray:
  """What the presence decision looks at.

  Args:
    part: the square.
    output: of the network, without the first dimension.
    region: bool `[ZOOM_SIZE / 4, ZOOM_SIZE / 4]`.

  Returns:
    `[E]`: heat of the first look, largest and mean logit of the heat on the
    region, largest logit of the coarse map, share of the part, and the mean of
    every response map on the region.
  """
  weight = region.reshape(region.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
  means = (output.responses * weight[..., None]).sum((0, 1)) / weight.sum()
  own = output.heat[region]
  return np.concatenate(
    [
      [part.heat, own.max(), own.mean(), output.coarse.max(), region.mean()],
      means,
    ]
  )


def _place(heat: np.ndarray, part: Part, size: tuple[int, int]) -> np.ndarray:
  """Puts a part's map into the medium: bool `[H, W]`."""
  scale = part.side / heat.shape[0]
  matrix = move_matrix(scale, part.left, part.top)
  placed = cv2.warpAffine(
    heat.astype(np.float32), matrix, size[::-1], flags=cv2.INTER_LINEAR
  )
  return placed > instance_lib.HEAT_LEAST


def to_size(map_: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
  """Scales a map `[h, w]` to height and width, between pixels linearly."""
  return cv2.resize(
    map_.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR
  )
