"""Views of models as PNG, for people."""

import collections
import functools
import io
import threading
from typing import Any

import numpy as np
from PIL import Image

from dr3d.mesh.packing import unpack_mesh
from dr3d.server.batch import Batcher
from dr3d.server.state import State

SIZE = 128  # pixels

_KEPT = 256  # models whose views are kept ready


class PreviewCache:
  """Draws views, in the thread that owns the pipeline, and keeps the last."""

  def __init__(self, batcher: Batcher, *, patience: float):
    """Makes an empty album.

    Args:
      batcher: the thread.
      patience: seconds that a picture may take.
    """
    self._batcher = batcher
    self._patience = patience
    self._lock = threading.Lock()
    self._kept: collections.OrderedDict[tuple, tuple[bytes, ...]] = (
      collections.OrderedDict()
    )

  def draw(self, state: State, mesh: Any) -> tuple[bytes, ...]:
    """Returns the N views of a mesh as PNG."""
    pipeline: Any = state.archive.pipeline
    return self._batcher.call(
      functools.partial(draw_views, with_white_light(pipeline), mesh),
      patience=self._patience,
    )

  def find(self, state: State, name: str) -> tuple[bytes, ...]:
    """Returns the N views of a model as PNG.

    Raises:
      HttpError: there is no such model, or it has no mesh.
    """
    model = state.find(name)
    key = (state.archive.fingerprint, name, model.hash, model.unit)
    with self._lock:
      if key in self._kept:
        self._kept.move_to_end(key)
        return self._kept[key]
    views = self.draw(state, unpack_mesh(state.find_shape(name).mesh))
    with self._lock:
      self._kept[key] = views
      while len(self._kept) > _KEPT:
        self._kept.popitem(last=False)
    return views


@functools.lru_cache(maxsize=2)
def with_white_light(pipeline: Any) -> Any:
  """The pipeline's viewpoints in white light; see `sheet.with_white_light`.

  Made once for each pipeline, because the result remembers its room.
  """
  from dr3d.evaluation.report import sheet  # brings jax

  return sheet.with_white_light(pipeline)


def draw_views(pipeline: Any, mesh: Any) -> tuple[bytes, ...]:
  """Draws the N views of a mesh.

  Args:
    pipeline: a Pipeline.
    mesh: the model.

  Returns:
    N PNGs with a transparent background.
  """
  from dr3d.evaluation.report import sheet

  return tuple(
    _to_png(image) for image in sheet.render_preview(pipeline, mesh, size=SIZE)
  )


def _to_png(image: np.ndarray) -> bytes:
  """Encodes `[H, W, 4]`, colours multiplied by alpha."""
  alpha = image[..., 3:]
  color = image[..., :3] / np.maximum(alpha, 1e-6)
  pixels = np.concatenate([color, alpha], axis=-1)
  file = io.BytesIO()
  Image.fromarray(np.round(pixels.clip(0, 1) * 255).astype(np.uint8)).save(
    file, "PNG"
  )
  return file.getvalue()
