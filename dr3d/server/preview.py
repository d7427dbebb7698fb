"""Views of models as PNG."""

import collections
import functools
import io
import threading
from typing import Any

import numpy as np
from PIL import Image

from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.server.batch import Batcher
from dr3d.server.state import State

SIZE = 128  # pixels

_CACHED_MODELS = 256  # about 10 MB with six views each


class PreviewCache:
  """Renders views in the thread that owns the pipeline; caches the latest."""

  def __init__(self, batcher: Batcher, *, timeout: float):
    """Makes an empty cache.

    Args:
      batcher: the thread.
      timeout: seconds of a rendering.
    """
    self._batcher = batcher
    self._timeout = timeout
    self._lock = threading.Lock()
    self._cached: collections.OrderedDict[tuple, tuple[bytes, ...]] = (
      collections.OrderedDict()
    )

  def render(self, state: State, mesh: Mesh) -> tuple[bytes, ...]:
    """Returns the N views of a mesh as PNG."""
    pipeline: Any = state.reader.pipeline
    return self._batcher.call(
      functools.partial(render_views, with_white_light(pipeline), mesh),
      timeout=self._timeout,
    )

  def find(self, state: State, name: str) -> tuple[bytes, ...]:
    """Returns the N views of a model as PNG.

    Raises:
      HttpError: there is no such model, or it has no mesh.
    """
    model = state.find(name)
    key = (state.reader.fingerprint, name, model.hash, model.unit)
    with self._lock:
      if key in self._cached:
        self._cached.move_to_end(key)
        return self._cached[key]
    views = self.render(state, unpack_mesh(state.find_shape(name).mesh))
    with self._lock:
      self._cached[key] = views
      while len(self._cached) > _CACHED_MODELS:
        self._cached.popitem(last=False)
    return views


@functools.lru_cache(maxsize=2)
def with_white_light(pipeline: Any) -> Any:
  """The pipeline's viewpoints in white light; see `sheet.with_white_light`.

  Cached, because the result holds the sizes that `reserve` has found.
  """
  from dr3d.evaluation.report import sheet  # brings jax

  return sheet.with_white_light(pipeline)


def render_views(pipeline: Any, mesh: Mesh) -> tuple[bytes, ...]:
  """Renders the N views of a mesh.

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
  """Encodes `[H, W, 4]`, whose colours are multiplied by alpha."""
  alpha = image[..., 3:]
  color = image[..., :3] / np.maximum(alpha, 1e-6)
  pixels = np.concatenate([color, alpha], axis=-1)
  file = io.BytesIO()
  Image.fromarray(np.round(pixels.clip(0, 1) * 255).astype(np.uint8)).save(
    file, "PNG"
  )
  return file.getvalue()
