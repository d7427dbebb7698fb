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
from dr3d.image.mask import Box
from dr3d.image.photograph import read_photograph
from dr3d.locate import instance as instance_lib
from dr3d.locate.feature import embed_queries, extract, pad_picture
from dr3d.locate.instance import Instance
from dr3d.locate.network import (
  NetworkConfig,
  Output,
  QueryFeatures,
  apply_network,
)
from dr3d.locate.palette import measure_palette
from dr3d.locate.presence import Calibration
from dr3d.locate.query import Query
from dr3d.locate.read import join_queries, read_query
from dr3d.locate.weight_file import (
  PRETRAINED,
  LocatorWeights,
  load_weights,
)
from dr3d.locate.zoom import (
  ZOOMS,
  Candidate,
  crop,
  judge_part,
  propose_parts,
  to_size,
)
from dr3d.mesh.mesh import Mesh

Array = jax.Array
Source = str | os.PathLike[str] | np.ndarray | Mesh | Query


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedQuery:
  """The views of a query, ready to be looked for in many media.

  Attributes:
    features: of V views, padded to one of `VIEW_COUNTS`.
    palettes: the colours of each.
  """

  features: QueryFeatures
  palettes: tuple[np.ndarray, ...]


QueryLike = Source | Sequence[Source] | PreparedQuery
MediumLike = str | os.PathLike[str] | np.ndarray

SIDE = 512
"""Longer side of the whole medium in the first look, pixels, at most."""
HALVED_ABOVE = 256  # pixels; a larger one is also looked at in half its size
SIDE_STEP = 128  # sides are padded to it, so that few programs are compiled
VIEW_COUNTS = (1, 2, 4, 8, 16, 32)  # V is padded to one of these
MAX_VIEWS = VIEW_COUNTS[-1]


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

  @property
  def calibration(self) -> Calibration:
    """Decides whether a candidate is the object.

    Raises:
      PipelineError: it was not fitted.
    """
    if self.weights.calibration is None:
      raise PipelineError(
        "the locator has no calibration: run experiments.calibrate_locator."
      )
    return self.weights.calibration

  def prepare(
    self, query: QueryLike, *, box: Box | None = None
  ) -> PreparedQuery:
    """Features of the views of a query, once for many media.

    Args:
      query: a file of a picture or a mesh, a picture (uint8 `[h, w, 3]`, or
        `[h, w, 4]` with the object opaque), a mesh, a `Query`, or a sequence
        of these that show one object.
      box: x, y, width and height around the object in a picture; None if it
        stands out from its background.

    Raises:
      Dr3dError: a file cannot be read, or shows no object.
      ValueError: there is no view, or more than `MAX_VIEWS`.
    """
    if isinstance(query, PreparedQuery):
      return query
    sources = query if isinstance(query, Sequence) else [query]
    if isinstance(query, str):
      sources = [query]
    views = join_queries([read_query(each, box=box) for each in sources])
    if not 1 <= len(views) <= MAX_VIEWS:
      raise ValueError(f"a query has 1 to {MAX_VIEWS} views, got {len(views)}.")
    count = next(n for n in VIEW_COUNTS if n >= len(views))
    views += [views[0]] * (count - len(views))
    return PreparedQuery(
      embed_queries(self.weights.trunk, views),
      tuple(measure_palette(view.image, view.mask) for view in views),
    )

  def heat_map(
    self,
    query: QueryLike,
    medium: MediumLike,
  ) -> np.ndarray:
    """How much each pixel shows the object, by the first look.

    Args:
      query: see `prepare`.
      medium: a file of a picture, or uint8 `[H, W, 3]`.

    Returns:
      float32 `[H, W]` in [0, 1].

    Raises:
      ValueError: the medium has another shape or type.
    """
    image = to_image(medium)
    heat, _ = self._look(self.prepare(query).features, image)
    return to_size(heat, image.shape[:2])

  def find(
    self,
    query: QueryLike,
    medium: MediumLike,
    *,
    threshold: float | None = None,
  ) -> list[Instance]:
    """Finds all instances of the object.

    Args:
      query: see `prepare`.
      medium: a file of a picture, or uint8 `[H, W, 3]`.
      threshold: probability of an instance; None for the calibrated one, by
        which something is found in a few of a hundred pictures without the
        object.

    Returns:
      Instances, the most probable first; none if the object is not there.

    Raises:
      PipelineError: the locator has no calibration.
      ValueError: the medium has another shape or type.
    """
    return self.search(query, medium, threshold=threshold)[0]

  def search(
    self,
    query: QueryLike,
    medium: MediumLike,
    *,
    threshold: float | None = None,
  ) -> tuple[list[Instance], np.ndarray]:
    """Returns what `find` and `heat_map` return, with one first look.

    Args:
      query: see `prepare`.
      medium: see `find`.
      threshold: see `find`.

    Raises:
      PipelineError: the locator has no calibration.
      ValueError: the medium has another shape or type.
    """
    calibration = self.calibration
    least = calibration.threshold if threshold is None else threshold
    prepared, image = self.prepare(query), to_image(medium)
    heat, view = self._look(prepared.features, image)
    found = []
    for candidate in self._look_again(prepared, image, heat, view):
      score = float(calibration.rate(candidate.evidence[None])[0])
      if score >= least:
        one = instance_lib.make_instance(candidate.mask, score, candidate.view)
        found += [one] if one else []
    whole = to_size(heat, image.shape[:2])
    return instance_lib.drop_repeated(found), whole

  def list_candidates(
    self,
    query: QueryLike,
    medium: MediumLike,
  ) -> list[Candidate]:
    """Places that may show the object, with what decides about them."""
    prepared, image = self.prepare(query), to_image(medium)
    heat, view = self._look(prepared.features, image)
    return self._look_again(prepared, image, heat, view)

  def _look_again(
    self,
    prepared: PreparedQuery,
    image: np.ndarray,
    heat: np.ndarray,
    view: np.ndarray,
  ) -> list[Candidate]:
    """The second look, at the hottest places of the first."""
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
      jax.tree.map(lambda x: x[views], prepared.features),
      jnp.asarray(crops),
      config=self.weights.network,
    )
    output = jax.tree.map(np.asarray, output)
    result = []
    for i, part in enumerate(parts):
      result += judge_part(
        part,
        crops[i],
        _pick(output, i),
        prepared.palettes[part.view],
        image.shape[:2],
      )
    return result

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
      more = to_size(heat, best.shape)
      which = cv2.resize(
        view.astype(np.float32), best.shape[::-1],
        interpolation=cv2.INTER_NEAREST,
      ).astype(int)  # fmt: skip
      hottest = np.where(more > best, which, hottest)
      best = np.maximum(best, more)
    assert best is not None
    assert hottest is not None
    return best, hottest


def to_image(medium: MediumLike) -> np.ndarray:
  """A file, or uint8 `[H, W, 3 or 4]`, to float32 `[H, W, 3]` in [0, 1].

  Raises:
    PictureError: the file cannot be read.
    ValueError: the array has another shape or type.
  """
  if not isinstance(medium, np.ndarray):
    medium = read_photograph(medium)
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


def _shrink_to(image: np.ndarray, side: int) -> np.ndarray:
  """Scales a picture down so that its longer side has at most `side` pixels."""
  height, width = image.shape[:2]
  share = side / max(height, width)
  if share >= 1:
    return image
  small = (max(1, round(width * share)), max(1, round(height * share)))
  return cv2.resize(image, small, interpolation=cv2.INTER_AREA)
