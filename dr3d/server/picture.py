"""Views of a model as PNG, for people."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

SIZE = 128  # pixels


def draw_views(pipeline: Any, mesh: Any) -> tuple[bytes, ...]:
  """Draws the N views of a mesh in white light.

  Args:
    pipeline: a Pipeline, as `sheet.whiten` returns it.
    mesh: the model.

  Returns:
    N PNGs with a transparent background.
  """
  from dr3d import sheet  # brings jax

  return tuple(
    _to_png(image) for image in sheet.portray(pipeline, mesh, size=SIZE)
  )


def to_data_uri(data: bytes, media_type: str) -> str:
  """A file as a URI (RFC 2397)."""
  return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


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
