r"""Draws a mesh file as a photograph would show it, for demonstrations.

    python -m experiments.photograph_model --mesh=nut.stl --out=photo.jpg

Colour, light, camera and ground are random. No camera has taken it: it may be
shown anywhere.
"""

import io
import pathlib

import cv2
import numpy as np
from absl import app, flags
from PIL import Image

from dr3d.cli import environment
from dr3d.image.background import make_background
from dr3d.runtime.atomic import atomic_file

MESH = flags.DEFINE_string("mesh", None, "Mesh file.", required=True)
OUT = flags.DEFINE_string("out", None, "JPEG to write.", required=True)
KIND = flags.DEFINE_string("ground", "grain", "Kind of the background.")
SIZE = flags.DEFINE_integer("size", 480, "Height and width, pixels.")
SHARE = flags.DEFINE_float("share", 0.55, "Of the width that the thing takes.")
SEED = flags.DEFINE_integer("seed", 0, "Seed.")
_COLORS = ((0.75, 0.16, 0.12), (0.12, 0.3, 0.65), (0.85, 0.6, 0.1))


def main(_) -> None:
  environment.prepare(verbosity=-2)
  rng = np.random.default_rng(SEED.value)
  image = draw_thing(rng)
  picture = lay_down(image, rng)
  file = io.BytesIO()
  Image.fromarray(picture).save(file, "JPEG", quality=80)
  with atomic_file(pathlib.Path(OUT.value)) as partial:
    partial.write_bytes(file.getvalue())


def draw_thing(rng) -> np.ndarray:
  """The thing from above, float32 `[h, h, 4]`, premultiplied."""
  import dr3d

  mesh = dr3d.load_mesh(MESH.value)
  turn = rng.uniform(0, 2 * np.pi)
  height = rng.uniform(0.5, 1.0)
  direction = [np.cos(turn), np.sin(turn), height]
  from dr3d.camera.view import look_from

  views = dr3d.make_views(
    look_from(np.array([direction])), distance=4.0, colored=False
  )
  size = round(SHARE.value * SIZE.value)
  image = np.asarray(dr3d.render(mesh, views, size=size, framing="object"))
  image = image.reshape(size, size, -1)[..., :4].copy()
  image[..., :3] *= np.array(_COLORS[SEED.value % len(_COLORS)], np.float32)
  return np.clip(image, 0, 1)


def lay_down(image: np.ndarray, rng) -> np.ndarray:
  """The thing on a ground, with a soft shadow: uint8 `[H, W, 3]`."""
  size = SIZE.value
  ground = make_background(rng, (size, size), kind=KIND.value)
  ground = 0.45 + 0.4 * ground  # brighter than most things
  whole = np.zeros((size, size, 4), np.float32)
  y, x = rng.integers(0, size - len(image) + 1, 2)
  whole[y : y + len(image), x : x + len(image)] = image
  alpha = whole[..., 3:]
  shadow = cv2.GaussianBlur(np.roll(whole[..., 3], (9, 6), (0, 1)), (0, 0), 9)
  ground = ground * (1 - 0.35 * shadow[..., None])
  picture = whole[..., :3] + (1 - alpha) * ground
  picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
  picture = picture + rng.normal(0, 0.012, picture.shape)
  return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)


if __name__ == "__main__":
  app.run(main)
