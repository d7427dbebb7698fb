"""Frames of images to an animated GIF."""

import os
import pathlib

import jax
import numpy as np
from PIL import Image

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
  images = np.asarray(images, np.float32)
  if images.ndim != 4 or images.shape[3] not in (3, 4) or not images.size:
    raise ValueError(
      f"images must be [T, H, W, 3] or [T, H, W, 4], got {images.shape}."
    )
  if not 0 < rate <= 50:
    raise ValueError(f"rate must be in (0, 50], got {rate}.")
  if images.shape[3] == 4:
    images = images[..., :3] + (1 - images[..., 3:])
  pixels = np.rint(255 * images.clip(0, 1)).astype(np.uint8)
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
