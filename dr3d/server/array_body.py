"""Arrays as bodies of requests and responses, in NumPy's own format."""

import io

import numpy as np
from starlette.requests import ClientDisconnect, Request

from dr3d.server.http_error import HttpError
from dr3d.server.upload import too_large

MEDIA_TYPE = "application/octet-stream"
MAX_IMAGES = 256
"""Images of one request: what some seconds of the network's time are worth."""


async def read_images(request: Request, *, byte_limit: int) -> np.ndarray:
  """Reads images from the body of a request.

  Args:
    request: its body must not have been read yet.
    byte_limit: size of the body.

  Returns:
    float32 `[M, H, W, 4]` in [0, 1], at most `MAX_IMAGES` of them.

  Raises:
    HttpError: the body is too large, or not such an array.
  """
  kind = request.headers.get("content-type", "").partition(";")[0].strip()
  if kind != MEDIA_TYPE:
    raise HttpError(415, f"send the images as a body of type {MEDIA_TYPE}.")
  data = bytearray()
  try:
    async for chunk in request.stream():
      data += chunk
      if len(data) > byte_limit:
        raise too_large(byte_limit)
  except ClientDisconnect:
    raise HttpError(400, "the upload was cut off.") from None
  try:
    images = np.load(io.BytesIO(data), allow_pickle=False)
  except Exception as error:  # NumPy raises many kinds on damaged files
    raise HttpError(422, "the body is not an array of NumPy (.npy).") from error
  return check_images(images)


def check_images(images: object) -> np.ndarray:
  """Returns images as float32.

  Raises:
    HttpError: they are not floats `[M, H, W, 4]` in [0, 1].
  """
  if not isinstance(images, np.ndarray) or images.dtype.kind != "f":
    raise HttpError(422, "images must be one array of floats in [0, 1].")
  if images.ndim != 4 or images.shape[3] != 4:
    raise HttpError(
      422, f"images must be [M, H, W, 4], got {list(images.shape)}."
    )
  if not 1 <= len(images) <= MAX_IMAGES:
    raise HttpError(
      422, f"a request has 1 to {MAX_IMAGES} images, got {len(images)}."
    )
  if not ((images >= 0) & (images <= 1)).all():  # also false for NaN
    raise HttpError(422, "images must be in [0, 1].")
  return images.astype(np.float32)


def write_array(array: np.ndarray) -> bytes:
  """The array as a body."""
  file = io.BytesIO()
  np.save(file, np.asarray(array, np.float32), allow_pickle=False)
  return file.getvalue()
