"""Draws the pictures of experiments/results/locate.md.

    python -m experiments.draw_locate --data=work/locate/test \
      --out=experiments/results/locate_scenes.jpg
    python -m experiments.draw_locate --car=photos/davis_car \
      --out=experiments/results/locate_car.jpg

Composed scenes, each as query, picture, heat map and what was found; or frames
of the video beside the object of the first one.
"""

import pathlib

import cv2
import numpy as np
from absl import app, flags
from PIL import Image

from dr3d.cli import environment

LOCATOR = flags.DEFINE_string("locator", None, "Locator; default: dr3d's.")
DATA = flags.DEFINE_string("data", None, "Expanded set.")
CAR = flags.DEFINE_string("car", None, "Folder with images and masks.")
OUT = flags.DEFINE_string("out", None, "Picture to write.", required=True)
ROWS = flags.DEFINE_integer("rows", 6, "Scenes.")
COLUMNS = flags.DEFINE_integer("columns", 2, "Scenes of a row.")
SIDE = flags.DEFINE_integer("side", 160, "Height of a tile, pixels.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.locate.locator import Locator

  locator = Locator.load(LOCATOR.value)
  tiles = draw_scenes(locator) if DATA.value else draw_frames(locator)
  columns = COLUMNS.value
  tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
  rows = [
    np.concatenate(tiles[i : i + columns], axis=1)
    for i in range(0, len(tiles), columns)
  ]
  Image.fromarray(np.concatenate(rows)).save(OUT.value, quality=85)
  print(OUT.value)


def draw_scenes(locator) -> list[np.ndarray]:
  """Query, picture, heat map and answer of the first scenes."""
  from dr3d.locate.dataset import ExpandedSet, list_queries
  from dr3d.locate.query import frame_cutout

  data = ExpandedSet(pathlib.Path(DATA.value))
  tiles = []
  for scene in data.scenes[: ROWS.value * COLUMNS.value]:
    medium, _ = data.read_scene(scene)
    view = list_queries(data, scene)[-1]
    query = frame_cutout(data.read_cutout(view.file))
    tiles.append(draw_answer(locator, query, medium))
  return tiles


def draw_frames(locator) -> list[np.ndarray]:
  """Frames of a video, the object of the first one lit."""
  from dr3d.locate.highlight import draw_boxes, highlight
  from dr3d.locate.query import frame_query

  folder = pathlib.Path(CAR.value)
  frames = sorted((folder / "images").iterdir())
  first = np.asarray(Image.open(frames[0]).convert("RGB"))
  mask = next((folder / "masks").glob(f"{frames[0].stem}*"))
  cover = (np.asarray(Image.open(mask)) > 0).astype(np.float32)
  query = locator.prepare(frame_query(first.astype(np.float32) / 255, cover))
  tiles = [resize(np.where(cover[..., None] > 0, first, 255))]
  count = ROWS.value * COLUMNS.value - 1
  chosen = np.linspace(1, len(frames) - 1, count).round().astype(int)
  for number in chosen:
    frame = np.array(Image.open(frames[number]).convert("RGB"))
    found = locator.find(query, frame)
    tiles.append(resize(draw_boxes(highlight(frame, found), found)))
  return tiles


def draw_answer(locator, query, medium) -> np.ndarray:
  from dr3d.locate.highlight import draw_boxes, draw_heat, highlight

  features = locator.prepare(query)
  found = locator.find(features, medium)
  heat = locator.heat_map(features, medium)
  parts = [
    np.rint(255 * query.image).astype(np.uint8),
    medium,
    draw_heat(medium, heat),
    draw_boxes(highlight(medium, found), found),
  ]
  return np.concatenate([resize(part) for part in parts], axis=1)


def resize(pixels: np.ndarray) -> np.ndarray:
  """Scales a tile to the height of a row, with a white border."""
  height, width = pixels.shape[:2]
  size = (round(width * SIDE.value / height), SIDE.value)
  small = cv2.resize(
    pixels.astype(np.uint8), size, interpolation=cv2.INTER_AREA
  )
  return np.pad(small, ((2, 2), (2, 2), (0, 0)), constant_values=255)


if __name__ == "__main__":
  app.run(main)
