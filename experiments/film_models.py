r"""Draws a video in which one part moves among others, for demonstrations.

    python -m experiments.film_models --meshes=gear.stl,nut.stl,screw.stl \
      --out=work/film

The first mesh moves from left to right and turns; the others lie still. Writes
`images/`, `masks/` of the first one, and `film.mp4`. No camera has taken it: it
may be shown anywhere. Colours, places and ground are random.
"""

import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

from dr3d.cli import environment
from dr3d.image.background import make_background
from dr3d.image.composite import cast_shadow, paste, scale, trim

MESHES = flags.DEFINE_list("meshes", None, "Mesh files.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder.", required=True)
FRAMES = flags.DEFINE_integer("frames", 24, "Frames, 12 a second.")
KIND = flags.DEFINE_string("ground", "grain", "Kind of the background.")
SEED = flags.DEFINE_integer("seed", 0, "Seed.")
HEIGHT, WIDTH = 320, 480  # pixels
_LONGEST = 110  # pixels of a part
_TURN = np.pi / 2  # by which the first part turns in all
_COLORS = (
  (0.8, 0.25, 0.1),
  (0.15, 0.35, 0.7),
  (0.85, 0.65, 0.15),
  (0.2, 0.55, 0.3),
)


def main(_) -> None:
  environment.prepare(verbosity=-2)
  import dr3d

  rng = np.random.default_rng(SEED.value)
  ground = 0.35 + 0.4 * make_background(rng, (HEIGHT, WIDTH), kind=KIND.value)
  for number, path in list(enumerate(MESHES.value))[1:]:
    (still,) = draw_part(path, [rng.uniform(0, 2 * np.pi)], number)
    left = (number - 1) * WIDTH // (len(MESHES.value) - 1)
    top = int(rng.uniform(0, HEIGHT - _LONGEST))
    ground = put(ground, still, left, top)[0]
  start = rng.uniform(0, 2 * np.pi)
  share = np.linspace(0, 1, FRAMES.value)
  frames = []
  for number, (at, part) in enumerate(
    zip(
      share, draw_part(MESHES.value[0], start + _TURN * share, 0), strict=True
    )
  ):
    left = round(at * (WIDTH - _LONGEST))
    top = round((0.35 + 0.25 * np.sin(2 * np.pi * at)) * HEIGHT)
    frame, cover = put(ground, part, left, top)
    frame = frame + rng.normal(0, 0.012, frame.shape)
    frames.append(np.clip(frame, 0, 1))
    save(frames[-1], "images", f"{number:05d}.jpg")
    save(cover > 0.5, "masks", f"{number:05d}.png")
  dr3d.save_mp4(
    np.stack(frames), pathlib.Path(OUT.value) / "film.mp4", rate=12.0
  )
  print(f"{OUT.value}: {len(frames)} frames")


def draw_part(path, turns, color) -> list[np.ndarray]:
  """Cut-outs of a part seen from some directions around it."""
  import dr3d
  from dr3d.camera.view import look_from

  turns = np.asarray(turns)
  directions = np.stack(
    [np.cos(turns), np.sin(turns), np.full(len(turns), 0.9)], axis=1
  )
  views = dr3d.make_views(look_from(directions), distance=4.0, colored=False)
  images = np.asarray(
    dr3d.render(dr3d.load_mesh(path), views, size=2 * _LONGEST)
  )
  images = images.reshape(len(turns), *images.shape[-3:]).clip(0, 1)
  images = images * np.array([*_COLORS[color % len(_COLORS)], 1], np.float32)
  return [scale(trim(image), _LONGEST) for image in images]


def put(ground, part, left, top) -> tuple[np.ndarray, np.ndarray]:
  """Pastes a part with its shadow; returns the picture and the alpha."""
  _, cover = paste(ground, part, left=left, top=top)
  shaded = cast_shadow(ground, cover, np.random.default_rng(SEED.value))
  return paste(shaded, part, left=left, top=top)


def save(image, folder, name) -> None:
  path = pathlib.Path(OUT.value) / folder / name
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.rint(255 * image.astype(np.float32)).astype(np.uint8)
  Image.fromarray(pixels).save(path)


if __name__ == "__main__":
  app.run(main)
