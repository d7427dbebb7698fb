"""Figures and animations of what was recovered."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CELL_INCH = 1.9
FRAME_SIZE = 192  # least height of a frame of an animation, pixels


def save_grid(
  path: str | os.PathLike[str],
  rows: Sequence[Sequence[np.ndarray]],
  *,
  columns: Sequence[str],
  names: Sequence[str],
  title: str,
) -> None:
  """Writes rows of images with titles above and names beside them.

  Args:
    path: PNG file to write.
    rows: images `[H, W]`, `[H, W, 3]` or `[H, W, 4]` with colours multiplied by
      alpha, at least 0.
    columns: a title for each image of a row.
    names: one for each row.
    title: of the whole.
  """
  figure, axes = plt.subplots(
    len(rows),
    len(columns),
    figsize=(CELL_INCH * len(columns) + 0.8, CELL_INCH * len(rows) + 0.9),
    squeeze=False,
  )
  for line, row, name in zip(axes, rows, names, strict=True):
    for axis, image in zip(line, row, strict=True):
      axis.imshow(to_paper(image), cmap="gray", vmin=0, vmax=1)
      axis.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, fontsize=9)
  for axis, text in zip(axes[0], columns, strict=True):
    axis.set_title(text, fontsize=9)
  figure.suptitle(title, fontsize=10)
  figure.tight_layout()
  figure.savefig(path, dpi=110)
  plt.close(figure)


def save_animation(
  path: str | os.PathLike[str], frames: Sequence[Sequence[np.ndarray]]
) -> None:
  """Writes an animated GIF of images side by side; the last frame stays.

  Args:
    path: GIF file to write.
    frames: images of equal size, as for `save_grid`.
  """
  enlarged = []
  for images in frames:
    shown = [to_paper(image) for image in images]
    wide = np.concatenate(
      [np.stack([x] * 3, -1) if x.ndim == 2 else x for x in shown], axis=1
    )
    frame = Image.fromarray(np.round(255 * wide).astype(np.uint8))
    scale = max(1, FRAME_SIZE // frame.height)
    enlarged.append(
      frame.resize(
        (scale * frame.width, scale * frame.height),
        Image.Resampling.NEAREST,
      )
    )
  enlarged[0].save(
    path,
    save_all=True,
    append_images=enlarged[1:],
    duration=[80] * (len(enlarged) - 1) + [1500],
    loop=0,
  )


def to_paper(image: np.ndarray) -> np.ndarray:
  """Blends an image with white if it has alpha; clips it to 0 and 1."""
  image = np.asarray(image)
  if image.ndim == 3 and image.shape[-1] == 4:
    image = image[..., :3] + 1 - image[..., 3:]
  return np.clip(image, 0, 1)


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """`[H, W]` mean absolute difference of the channels; white is none."""
  distance = np.abs(np.asarray(first) - np.asarray(second))
  if distance.ndim == 3:
    distance = distance.mean(axis=-1)
  return 1 - np.minimum(3 * distance, 1)  # a difference of a third is black
