"""Frames of images to an animated GIF or to an MP4 video."""

import os
import pathlib

import jax
import numpy as np
from PIL import Image

from dr3d.image.video import import_av, write_mp4
from dr3d.runtime.atomic import atomic_file


def save_gif(
  images: np.ndarray | jax.Array,
  path: str | os.PathLike[str],
  *,
  rate: float = 12.0,
) -> None:
  """Writes images as an animation that repeats for ever.

  Args:
    images: float `[T, H, W, 3]`, or `[T, H, W, 4]` as `dr3d.render` returns
      them, which are put on white; in [0, 1].
    path: file to write, whole or not at all.
    rate: images a second, at most 50: a GIF counts in hundredths of a second,
      and viewers slow down shorter delays than two of them.

  Raises:
    ValueError: images of another shape, none, or a rate out of range.
    OSError: the file cannot be written.

  Example:
    >>> import dr3d, os, tempfile
    >>> import numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "fade.gif")
    >>> dr3d.save_gif(np.linspace(0, 1, 5)[:, None, None, None]
    ...               * np.ones((1, 8, 8, 3)), path)
    >>> os.path.exists(path)
    True
  """
  if not 0 < rate <= 50:
    raise ValueError(f"rate must be in (0, 50], got {rate}.")
  pixels = _to_pixels(images)
  first, *others = (Image.fromarray(frame) for frame in pixels)
  with atomic_file(pathlib.Path(path)) as partial:
    first.save(
      partial,
      format="GIF",
      save_all=True,
      append_images=others,
      duration=round(1_000 / rate),  # milliseconds
      loop=0,
    )


def save_mp4(
  images: np.ndarray | jax.Array,
  path: str | os.PathLike[str],
  *,
  rate: float = 24.0,
) -> None:
  """Writes images as a video (H.264), which needs the extra `video`.

  The format has even heights and widths only: an odd last row or column is
  repeated once.

  Args:
    images: see `save_gif`.
    path: file to write, whole or not at all.
    rate: images a second.

  Raises:
    ValueError: images of another shape, none, or a rate that is not positive.
    ImportError: the extra is not installed.
    OSError: the file cannot be written.

  Example:
    >>> import dr3d, os, tempfile
    >>> import numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "fade.mp4")
    >>> dr3d.save_mp4(np.linspace(0, 1, 5)[:, None, None, None]
    ...               * np.ones((1, 32, 32, 3)), path)
    >>> os.path.exists(path)
    True
  """
  try:
    import_av()
  except ImportError as error:
    raise ImportError(
      "MP4 needs an extra of dr3d: pip install 'dr3d[video]', or use"
      " dr3d.save_gif."
    ) from error
  pixels = _to_pixels(images)
  with write_mp4(path, rate=rate) as add:
    for frame in pixels:
      add(frame)


def _to_pixels(images: np.ndarray | jax.Array) -> np.ndarray:
  """Returns `uint8 [T, H, W, 3]`; transparent images are put on white."""
  images = np.asarray(images, np.float32)
  if images.ndim != 4 or images.shape[3] not in (3, 4) or not images.size:
    raise ValueError(
      f"images must be [T, H, W, 3] or [T, H, W, 4], got {images.shape}."
    )
  if images.shape[3] == 4:
    images = images[..., :3] + (1 - images[..., 3:])
  return np.rint(255 * images.clip(0, 1)).astype(np.uint8)
