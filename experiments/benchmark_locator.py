"""Times the locator: a picture of 1 Mpx, and frames of a video.

    python -m experiments.benchmark_locator
    python -m experiments.benchmark_locator --video=walk.mp4

Prints the median of `--repeats` calls after two that are not counted.
"""

import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment

LOCATOR = flags.DEFINE_string("locator", None, "Locator; default: dr3d's.")
VIDEO = flags.DEFINE_string("video", None, "Frames instead of a still.")
REPEATS = flags.DEFINE_integer("repeats", 7, "Calls.")
HEIGHT = flags.DEFINE_integer("height", 832, "Of the still, pixels.")
WIDTH = flags.DEFINE_integer("width", 1248, "Likewise; together 1 Mpx.")


def make_still(cutout) -> np.ndarray:
  """Clutter with the object in it."""
  from dr3d.image.background import make_background
  from dr3d.image.composite import paste

  size = (HEIGHT.value, WIDTH.value)
  image = make_background(np.random.default_rng(0), size, kind="clutter")
  image, _ = paste(image, cutout, left=WIDTH.value // 2, top=HEIGHT.value // 3)
  return np.rint(255 * image).astype(np.uint8)


def make_object(side: int = 160) -> np.ndarray:
  """A striped disc."""
  y, x = np.mgrid[:side, :side] / side - 0.5
  alpha = (np.hypot(x, y) < 0.45).astype(np.float32)
  stripes = np.where(np.sin(40 * x + 10 * y) > 0, 0.9, 0.3)
  color = np.stack([stripes, 0.5 * stripes, 0.2 + 0 * x], -1)
  return (
    np.concatenate([color, np.ones((side, side, 1))], -1).astype(np.float32)
    * alpha[..., None]
  )


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.image.video import read_frames
  from dr3d.locate.locator import Locator
  from dr3d.locate.query import frame_cutout

  locator = Locator.load(LOCATOR.value)
  query = locator.prepare(frame_cutout(make_object()))
  if VIDEO.value:
    media = list(read_frames(VIDEO.value))[: REPEATS.value + 2]
  else:
    media = [make_still(make_object())] * (REPEATS.value + 2)
  for name, call in (("find", locator.find), ("heat_map", locator.heat_map)):
    seconds = []
    for medium in media:
      begin = time.perf_counter()
      call(query, medium)
      seconds.append(time.perf_counter() - begin)
    median = float(np.median(seconds[2:]))
    height, width = media[0].shape[:2]
    print(
      f"{name}: {median:.3f} s for {width} x {height} pixels,"
      f" {1 / median:.1f} a second (median of {len(seconds) - 2})"
    )


if __name__ == "__main__":
  app.run(main)
