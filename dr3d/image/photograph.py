"""A file of a photograph → its pixels, upright.

`H W` pixels.
"""

import io
import os
import pathlib
import warnings

import numpy as np
from PIL import Image, ImageOps

from dr3d.error import PictureError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif")
"""Extensions of the files that `read_photograph` reads, lower case."""

MAX_PIXELS = 120_000_000
"""Pixels of a file at most: 108 are those of the largest phone cameras in use.
Decoded they take half a gigabyte, so a larger one is not decoded at all."""

_FORMATS = ("JPEG", "PNG", "WEBP")
_HEIF_BRANDS = (b"heic", b"heix", b"heif", b"mif1", b"msf1", b"hevc")


def is_photograph(path: str | os.PathLike[str]) -> bool:
  """Whether the name of a file ends as that of a photograph."""
  return pathlib.Path(path).suffix.lower() in SUFFIXES


def recognize_photograph(head: bytes) -> str | None:
  """Returns the extension, without a dot, of what begins like a photograph.

  Args:
    head: the first 16 bytes of a file.

  Returns:
    "jpg", "png", "webp" or "heic"; None if it is none of these.
  """
  if head.startswith(b"\xff\xd8\xff"):
    return "jpg"
  if head.startswith(b"\x89PNG\r\n\x1a\n"):
    return "png"
  if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
    return "webp"
  return "heic" if _is_heif(head) else None


def read_photograph(
  source: str | os.PathLike[str] | bytes,
  *,
  name: str = "",
  max_side: int | None = None,
) -> np.ndarray:
  """Reads a photograph, turned as the camera says that it was held.

  Args:
    source: a file, or its content.
    name: of the file in messages; if empty, that of the file.
    max_side: a larger picture is reduced to this height or width, pixels; None
      keeps it as it is.

  Returns:
    uint8 `[H, W, 4]`: red, green, blue, and alpha that did not multiply them.
    A picture without transparency has alpha 255.

  Raises:
    PictureError: there is no such file, it is not a picture, it is damaged or
      cut off, or has too many pixels.
  """
  if not isinstance(source, bytes):
    name = name or os.fspath(source)
    try:
      source = pathlib.Path(source).read_bytes()
    except FileNotFoundError as error:
      raise PictureError(f"{name} does not exist.") from error
    except OSError as error:
      raise PictureError(
        f"{name} cannot be read ({error.strerror})."
      ) from error
  name = name or "the picture"
  if not source:
    raise PictureError(f"{name} is empty.")
  formats = _list_formats(source, name)
  try:
    with warnings.catch_warnings():
      # Pillow warns of large pictures, and of EXIF data that are damaged.
      warnings.simplefilter("ignore")
      with Image.open(io.BytesIO(source), formats=formats) as image:
        _check_size(image, name)
        if max_side is not None:
          image.draft("RGB", (max_side, max_side))  # a JPEG, decoded reduced
        return _to_array(ImageOps.exif_transpose(image), max_side)
  except PictureError:
    raise
  except Image.UnidentifiedImageError as error:
    raise PictureError(
      f"{name} is not a picture that can be read: use JPEG, PNG, WebP or HEIC."
    ) from error
  except Image.DecompressionBombError as error:
    raise _too_large(name, "more than twice as many") from error
  # Decoders raise errors of many kinds for damaged files.
  except Exception as error:
    raise PictureError(
      f"{name} is damaged or cut off: save or send it again."
    ) from error


def _list_formats(data: bytes, name: str) -> tuple[str, ...]:
  """Pillow's names of the formats that may be read."""
  if not _is_heif(data):
    return _FORMATS
  try:
    import pillow_heif
  except ImportError as error:
    raise PictureError(
      f"{name} is a HEIC picture: run pip install 'dr3d[photo]', or save it as"
      " JPEG."
    ) from error
  pillow_heif.register_heif_opener()
  return (*_FORMATS, "HEIF")


def _is_heif(data: bytes) -> bool:
  return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


def _check_size(image: Image.Image, name: str) -> None:
  """Raises PictureError if decoding would take too much memory."""
  width, height = image.size
  if width * height > MAX_PIXELS:
    raise _too_large(name, f"{width} x {height}")
  if min(width, height) < 1:
    raise PictureError(f"{name} has no pixels.")


def _too_large(name: str, size: str) -> PictureError:
  return PictureError(
    f"{name} has {size} pixels, but at most {MAX_PIXELS // 1_000_000} million"
    " are read: reduce the picture first."
  )


def _to_array(image: Image.Image, max_side: int | None) -> np.ndarray:
  """Converts a decoded picture, reduced if it is too large."""
  if max_side is not None and max(image.size) > max_side:
    image = image.convert("RGBA")
    # Premultiplied, or colours of transparent pixels would come out.
    image = image.convert("RGBa")
    image.thumbnail((max_side, max_side), Image.Resampling.BOX)
  return np.array(image.convert("RGBA"))
