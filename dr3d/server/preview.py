"""Pictures of models as PNG: from above one corner, and at the views."""

import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from dr3d.mesh import Mesh, thumbnail
from dr3d.mesh.packing import unpack_mesh
from dr3d.server.batch import Batcher
from dr3d.server.latest_cache import LatestCache
from dr3d.server.state import State

SIZE = 128  # pixels of a view
PICTURE_SIZE = 240  # pixels of a picture from above one corner

_CACHED_MODELS = 256  # about 12 MB with six views each


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
    # Two kinds of a model.
    self._cache = LatestCache[tuple[bytes, ...]](2 * _CACHED_MODELS)

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
    return self._find(
      "views", state, name, lambda mesh: self.render(state, mesh)
    )

  def find_photo_view(
    self, state: State, name: str, number: int
  ) -> tuple[bytes, ...]:
    """Returns a view of the gallery for photographs as PNG; see `photo`.

    Raises:
      HttpError: there is no such model, or it has no mesh.
    """
    from dr3d.server import photo

    return self._find(
      f"photo {number}",
      state,
      name,
      functools.partial(photo.render_view, number),
    )

  def find_picture(self, state: State, name: str) -> bytes:
    """Returns a picture of a model from above one corner, as PNG.

    Raises:
      HttpError: there is no such model, or it has no mesh.
    """
    (picture,) = self._find(
      "picture", state, name, lambda mesh: (draw_picture(mesh),)
    )
    return picture

  def _find(
    self,
    kind: str,
    state: State,
    name: str,
    draw: Callable[[Mesh], tuple[bytes, ...]],
  ) -> tuple[bytes, ...]:
    model = state.find(name)
    key = (kind, state.reader.fingerprint, name, model.hash, model.unit)
    return self._cache.find(
      key, lambda: draw(unpack_mesh(state.find_shape(name).mesh))
    )


def draw_picture(mesh: Mesh) -> bytes:
  """Draws a mesh from above one corner, in about 30 ms."""
  return thumbnail.draw(mesh, size=PICTURE_SIZE)


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
    to_png(image) for image in sheet.render_preview(pipeline, mesh, size=SIZE)
  )


def to_png(image: np.ndarray) -> bytes:
  """Encodes an image, float `[H, W, 4]`, colours multiplied by alpha."""
  alpha = image[..., 3:]
  color = image[..., :3] / np.maximum(alpha, 1e-6)
  pixels = np.concatenate([color, alpha], axis=-1)
  file = io.BytesIO()
  Image.fromarray(np.round(pixels.clip(0, 1) * 255).astype(np.uint8)).save(
    file, "PNG"
  )
  return file.getvalue()
