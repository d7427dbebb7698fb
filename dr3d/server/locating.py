"""Where a model, or a region of a picture, is in an uploaded picture."""

import base64
import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dr3d.mesh.packing import unpack_mesh
from dr3d.server import schema
from dr3d.server.batch import Batcher
from dr3d.server.http_error import HttpError
from dr3d.server.latest_cache import LatestCache
from dr3d.server.state import State

if TYPE_CHECKING:
  from dr3d.locate.instance import Instance
  from dr3d.locate.locator import Locator, PreparedQuery

SIDE = 2048  # pixels of a picture that is searched, at most
CACHED_MODELS = 64  # whose features are kept, about 1 MB each
JPEG_QUALITY = 85

Region = tuple[int, int, int, int]


class LocateService:
  """Searches pictures in the thread that owns the pipeline."""

  def __init__(self, batcher: Batcher, *, timeout: float):
    """Makes it; the network is loaded by the first request.

    Args:
      batcher: the thread.
      timeout: seconds of a search.
    """
    self._batcher = batcher
    self._timeout = timeout
    self._queries = LatestCache["PreparedQuery"](CACHED_MODELS)

  def locate(
    self,
    state: State,
    picture: np.ndarray,
    scale: float,
    *,
    model: str | None,
    region: Region | None,
  ) -> schema.Located:
    """Finds a model, or what a region shows, in a picture.

    Args:
      state: of the database.
      picture: uint8 `[H, W, 3]`.
      scale: its size relative to that of the upload.
      model: name of the model; None for the region.
      region: x, y, width and height in the picture, around the query.

    Raises:
      Dr3dError: there is no such model, or the region shows nothing.
    """
    if (model is None) == (region is None):
      raise HttpError(422, "give either model or region.")
    mesh, key = None, None
    if model is not None:
      mesh = state.find_shape(model).mesh
      key = (state.reader.fingerprint, model, state.find(model).hash)

    def search() -> "tuple[list[Instance], np.ndarray]":
      locator = load_locator()
      query = self._find(locator, key, mesh, picture, region, scale)
      return locator.search(query, picture)

    instances, heat = self._batcher.call(search, timeout=self._timeout)
    return _describe(picture, instances, heat, scale)

  def _find(
    self,
    locator: "Locator",
    key: tuple | None,
    mesh: bytes | None,
    picture: np.ndarray,
    region: Region | None,
    scale: float,
  ) -> "PreparedQuery":
    """Features of the query; those of models are kept."""
    if key is None or mesh is None:
      assert region is not None
      return locator.prepare(picture, box=_scale_box(region, scale))
    return self._queries.find(key, lambda: locator.prepare(unpack_mesh(mesh)))


@functools.cache
def load_locator() -> "Locator":
  """The locator that ships, loaded once in a process."""
  from dr3d.locate.locator import Locator

  return Locator.load()


def _describe(
  picture: np.ndarray,
  instances: "list[Instance]",
  heat: np.ndarray,
  scale: float,
) -> schema.Located:
  from dr3d.locate.highlight import draw_boxes, draw_heat, highlight

  lit = draw_boxes(highlight(picture, instances), instances)
  return schema.Located(
    height=round(picture.shape[0] / scale),
    width=round(picture.shape[1] / scale),
    instances=[
      schema.FoundInstance(
        box=_scale_box(each.box, 1 / scale),
        score=round(each.score, 4),
        area=round(int(each.mask.sum()) / scale**2),
      )
      for each in instances
    ],
    highlight=_to_uri(lit),
    heat=_to_uri(draw_heat(picture, heat)),
  )


def _scale_box(box: Region, scale: float) -> Region:
  x, y, width, height = (round(scale * side) for side in box)
  return x, y, max(width, 1), max(height, 1)


def _to_uri(pixels: np.ndarray) -> str:
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
  text = base64.b64encode(file.getvalue()).decode("ascii")
  return f"data:image/jpeg;base64,{text}"
