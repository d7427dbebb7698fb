"""`dr3d.Locator`: one query, one picture, where the object is in it.

The medium is searched twice. First whole, at two sizes. Then every place that
may show the object is cut out and scaled to the size that the network knows
best: the zoom variant [0049], one representation of the query against several
parts of the medium. The second look decides, see `presence`, and gives the
mask.

`H W` pixels of the medium, `V` views of the query, `Z` parts that are looked at
again.

References:
  US 2018/0260664 [0035-0051].
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from dr3d.error import PipelineError
from dr3d.locate import instance as instance_lib
from dr3d.locate.feature import embed_queries, extract, pad_picture
from dr3d.locate.instance import Instance
from dr3d.locate.network import (
  NetworkConfig,
  Output,
  QueryFeatures,
  apply_network,
)
from dr3d.locate.query import BLANK, Query
from dr3d.locate.weight_file import (
  PRETRAINED,
  LocatorWeights,
  load_weights,
)

Array = jax.Array

SIDE = 512
"""Longer side of the whole medium in the first look, pixels, at most."""
HALVED_ABOVE = 256  # pixels; a larger one is also looked at in half its size
SIDE_STEP = 64  # sides are padded to it, so that few programs are compiled
ZOOMS = 6  # Z, at most
ZOOM_SIZE = 192  # sides of a part after scaling, as the scenes of the training
ZOOM_RATIO = 2.0  # side of a part, in longer sides of what it may show
ZOOM_LEAST = 24  # side of a part before scaling, pixels
VIEW_COUNTS = (1, 2, 4, 8, 16, 32)  # V is padded to one of these
MAX_VIEWS = VIEW_COUNTS[-1]


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
  """A place that was looked at twice.

  Attributes:
    mask: bool `[H, W]`.
    evidence: `[E]`, what the network says of it.
    view: index of the query's view.
  """

  mask: np.ndarray
  evidence: np.ndarray
  view: int


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


class Locator:
  """Finds the object of a query in pictures."""

  def __init__(self, weights: LocatorWeights):
    self.weights = weights

  @classmethod
  def load(cls, directory: str | os.PathLike[str] | None = None) -> "Locator":
    """Reads a locator.

    Args:
      directory: that a training wrote; None for the locator that ships
        (`dr3d/pretrained/locate/README.md` tells what it was trained on).

    Raises:
      PipelineError: there is none, or it is damaged.
    """
    return cls(load_weights(pathlib.Path(directory or PRETRAINED)))

  def prepare(self, query: Query | Sequence[Query]) -> QueryFeatures:
    """Features of the views of a query, once for many media.

    Args:
      query: V views, from `frame_query` or `read.read_query`.

    Raises:
      ValueError: there is no view, or more than `MAX_VIEWS`.
    """
    views = [query] if isinstance(query, Query) else list(query)
    if not 1 <= len(views) <= MAX_VIEWS:
      raise ValueError(f"a query has 1 to {MAX_VIEWS} views, got {len(views)}.")
    count = next(n for n in VIEW_COUNTS if n >= len(views))
    return embed_queries(
      self.weights.trunk, views + [views[0]] * (count - len(views))
    )

  def heat_map(
    self,
    query: Query | Sequence[Query] | QueryFeatures,
    medium: np.ndarray,
  ) -> np.ndarray:
    """How much each pixel shows the object, by the first look.

    Args:
      query: views of the object.
      medium: uint8 `[H, W, 3]`.

    Returns:
      float32 `[H, W]` in [0, 1].

    Raises:
      ValueError: the medium has another shape or type.
    """
    image = to_image(medium)
    heat, _ = self._look(self._features(query), image)
    return _to_size(heat, image.shape[:2])

  def find(
    self,
    query: Query | Sequence[Query] | QueryFeatures,
    medium: np.ndarray,
    *,
    threshold: float | None = None,
  ) -> list[Instance]:
    """Finds all instances of the object.

    Args:
      query: views of the object.
      medium: uint8 `[H, W, 3]`.
      threshold: probability of an instance; None for the calibrated one, by
        which something is found in about one of a hundred pictures without
        the object.

    Returns:
      Instances, the most probable first; none if the object is not there.

    Raises:
      PipelineError: the locator has no calibration.
      ValueError: the medium has another shape or type.
    """
    calibration = self.weights.calibration
    if calibration is None:
      raise PipelineError(
        "the locator has no calibration: run experiments.calibrate_locator."
      )
    least = calibration.threshold if threshold is None else threshold
    found = []
    for candidate in self.list_candidates(query, medium):
      score = float(calibration.rate(candidate.evidence[None])[0])
      if score >= least:
        one = instance_lib.make_instance(candidate.mask, score, candidate.view)
        found += [one] if one else []
    return instance_lib.drop_repeated(found)

  def list_candidates(
    self,
    query: Query | Sequence[Query] | QueryFeatures,
    medium: np.ndarray,
  ) -> list[Candidate]:
    """Places that may show the object, with what decides about them."""
    features, image = self._features(query), to_image(medium)
    heat, view = self._look(features, image)
    parts = propose_parts(heat, view, image.shape[:2])
    if not parts:
      return []
    crops = np.stack([crop(image, part) for part in parts])
    missing = ZOOMS - len(parts)
    views = np.array([part.view for part in parts] + [0] * missing)
    crops = np.pad(crops, ((0, missing), (0, 0), (0, 0), (0, 0)))
    output = _search_parts(
      self.weights.trunk,
      self.weights.search,
      jax.tree.map(lambda x: x[views], features),
      jnp.asarray(crops),
      config=self.weights.network,
    )
    output = jax.tree.map(np.asarray, output)
    result = []
    for i, part in enumerate(parts):
      result += judge_part(part, crops[i], _pick(output, i), image.shape[:2])
    return result

  def _features(
    self, query: Query | Sequence[Query] | QueryFeatures
  ) -> QueryFeatures:
    return query if isinstance(query, QueryFeatures) else self.prepare(query)

  def _look(
    self, features: QueryFeatures, image: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Heat of the whole medium, and the hottest view, on a grid of 4 pixels.

    Returns:
      float32 `[h, w]` and int `[h, w]`, of the larger of the two sizes.
    """
    best = hottest = None
    first = min(SIDE, max(image.shape[:2]))
    for side in (first, first // 2)[: 1 + (first > HALVED_ABOVE)]:
      small = _shrink_to(image, side)
      padded = pad_picture(small, SIDE_STEP)
      heats = np.asarray(
        _search_whole(
          self.weights.trunk,
          self.weights.search,
          features,
          jnp.asarray(padded[None]),
          config=self.weights.network,
        )
      )
      h, w = (-(-n // 4) for n in small.shape[:2])
      heats = heats[:, :h, :w]
      heat, view = heats.max(axis=0), heats.argmax(axis=0)
      if best is None:
        best, hottest = heat, view
        continue
      more = _to_size(heat, best.shape)
      which = cv2.resize(
        view.astype(np.float32), best.shape[::-1],
        interpolation=cv2.INTER_NEAREST,
      ).astype(int)  # fmt: skip
      hottest = np.where(more > best, which, hottest)
      best = np.maximum(best, more)
    assert best is not None
    assert hottest is not None
    return best, hottest


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
  matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
  return cv2.warpAffine(
    image,
    matrix,
    (ZOOM_SIZE, ZOOM_SIZE),
    flags=cv2.INTER_LINEAR,
    borderValue=(BLANK, BLANK, BLANK),
  )


def judge_part(
  part: Part, image: np.ndarray, output: Output, size: tuple[int, int]
) -> list[Candidate]:
  """Candidates in a part: its regions that reach its middle.

  Args:
    part: the square.
    image: `[ZOOM_SIZE, ZOOM_SIZE, 3]`, what was looked at.
    output: what the network says of it, without the first dimension.
    size: H, W.
  """
  logits = output.heat
  heat = 1 / (1 + np.exp(-logits))
  middle = slice(heat.shape[0] // 4, -(heat.shape[0] // 4))
  fine = instance_lib.refine_heat(_to_size(heat, image.shape[:2]), image)
  result = []
  for region in instance_lib.split_components(
    heat, least=instance_lib.HEAT_LEAST
  ):
    if not region[middle, middle].any():
      continue
    near = cv2.dilate(region.astype(np.uint8), np.ones((3, 3), np.uint8))
    inside = _to_size(near.astype(np.float32), image.shape[:2]) > 0.5
    mask = _place(fine * inside, part, size)
    if not mask.any():
      continue
    evidence = gather_evidence(part, output, region)
    result.append(Candidate(mask, evidence, part.view))
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


def to_image(medium: np.ndarray) -> np.ndarray:
  """uint8 `[H, W, 3]` or `[H, W, 4]` to float32 `[H, W, 3]` in [0, 1].

  Raises:
    ValueError: another shape or type.
  """
  fits = medium.dtype == np.uint8 and medium.ndim == 3
  if not fits or medium.shape[2] not in (3, 4) or not medium.size:
    raise ValueError(
      f"a medium must be uint8 [H, W, 3], got {medium.dtype} {medium.shape}."
    )
  return medium[..., :3].astype(np.float32) / 255


@functools.partial(jax.jit, static_argnames="config")
def _search_whole(
  trunk: Any,
  search: Any,
  query: QueryFeatures,
  image: Array,
  *,
  config: NetworkConfig,
) -> Array:
  """Heat `[V, h, w]` of V views in one picture `[1, H, W, 3]`."""
  count = jax.tree.leaves(query)[0].shape[0]
  medium = {
    stride: jnp.broadcast_to(x, (count, *x.shape[1:]))
    for stride, x in extract(trunk, image).items()
  }
  output = apply_network(config, search, query, medium)
  return jax.nn.sigmoid(output.heat)


@functools.partial(jax.jit, static_argnames="config")
def _search_parts(
  trunk: Any,
  search: Any,
  query: QueryFeatures,
  images: Array,
  *,
  config: NetworkConfig,
) -> Output:
  """Output of Z queries in Z pictures."""
  return apply_network(config, search, query, extract(trunk, images))


def _pick(output: Output, index: int) -> Output:
  return jax.tree.map(lambda x: x[index], output)


def _place(heat: np.ndarray, part: Part, size: tuple[int, int]) -> np.ndarray:
  """Puts a part's map into the medium: bool `[H, W]`."""
  scale = part.side / heat.shape[0]
  matrix = np.array([[scale, 0, part.left], [0, scale, part.top]])
  placed = cv2.warpAffine(
    heat.astype(np.float32), matrix, size[::-1], flags=cv2.INTER_LINEAR
  )
  return placed > instance_lib.HEAT_LEAST


def _shrink_to(image: np.ndarray, side: int) -> np.ndarray:
  """Scales a picture down so that its longer side has at most `side` pixels."""
  height, width = image.shape[:2]
  share = side / max(height, width)
  if share >= 1:
    return image
  small = (max(1, round(width * share)), max(1, round(height * share)))
  return cv2.resize(image, small, interpolation=cv2.INTER_AREA)


def _to_size(map_: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
  return cv2.resize(
    map_.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR
  )
