"""Measures a locator on photographs; nothing was trained on them.

    python -m experiments.measure_locator_photos --photos=photos

`davis_car`: the car of frame 0 in frames 1 to 39, each frame alone.
`pedestrians`: the largest person of a picture, in the same picture, mirrored
and rescaled. False alarms: persons and the car asked in pictures of horses,
horses in pictures of pedestrians.
"""

import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

from dr3d.cli import console, environment

PHOTOS = flags.DEFINE_string("photos", None, "The folder.", required=True)
LOCATOR = flags.DEFINE_string("locator", None, "Locator; default: dr3d's.")
FRAMES = flags.DEFINE_integer("frames", 39, "Frames of the car to ask.")
PICTURES = flags.DEFINE_integer("pictures", 40, "Pictures of each other set.")


def read(folder: pathlib.Path, name: str):
  """Pixels uint8 `[H, W, 3]` and the mask of a picture."""
  image = next((folder / "images").glob(f"{name}.*"))
  mask = next((folder / "masks").glob(f"{name}*.*"))
  with Image.open(image) as a, Image.open(mask) as b:
    return np.array(a.convert("RGB")), np.array(b)


def list_names(folder: pathlib.Path) -> list[str]:
  return sorted(path.stem for path in (folder / "images").iterdir())


def make_query(pixels, mask):
  from dr3d.locate.query import frame_query

  return frame_query(pixels.astype(np.float32) / 255, mask.astype(np.float32))


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.image.composite import find_box
  from dr3d.locate.locator import Locator
  from dr3d.locate.measure import score_candidates, summarize

  locator = Locator.load(LOCATOR.value)
  calibration = locator.calibration
  photos = pathlib.Path(PHOTOS.value)

  def ask(query, pixels, mask):
    box = find_box(mask)
    candidates = locator.list_candidates(query, pixels)
    return score_candidates(candidates, mask, [box] if box else [], calibration)

  def report(name, scores):
    found = summarize(scores)
    values = ", ".join(f"{key} {value:.3f}" for key, value in found.items())
    print(f"{name}: {len(scores)} pictures, {values}", flush=True)

  car = photos / "davis_car"
  names = list_names(car)
  car_query = locator.prepare(make_query(*read(car, names[0])))
  with console.progress(FRAMES.value, "car") as show:
    scores = []
    for i, name in enumerate(names[1 : FRAMES.value + 1]):
      scores.append(ask(car_query, *read(car, name)))
      show(i + 1, FRAMES.value)
  report("davis_car", scores)

  street = photos / "pedestrians"
  rng = np.random.default_rng(0)
  same: list = []
  warped: list = []
  several: list = []
  queries = []
  for name in list_names(street)[: PICTURES.value]:
    pixels, numbers = read(street, name)
    areas = np.bincount(numbers.ravel())[1:]
    person = int(np.argmax(areas)) + 1
    mask = numbers == person
    query = locator.prepare(make_query(pixels, mask))
    queries.append(query)
    same.append(ask(query, pixels, mask))
    pixels, mask = mirror(pixels, mask, rng.uniform(0.6, 1.4))
    warped.append(ask(query, pixels, mask))
    if len(areas) > 1:
      several.append(warped[-1])
  report("pedestrians, same picture", same)
  report("pedestrians, mirrored and rescaled", warped)
  report("the same, pictures of two or more persons", several)

  stable = photos / "horses"
  names = list_names(stable)[:: max(1, 287 // PICTURES.value)][: PICTURES.value]
  persons: list = []
  cars: list = []
  horses: list = []
  others = list_names(street)
  for i, name in enumerate(names):
    pixels, mask = read(stable, name)
    none = np.zeros(mask.shape[:2], bool)
    persons.append(ask(queries[i % len(queries)], pixels, none))
    cars.append(ask(car_query, pixels, none))
    street_pixels, numbers = read(street, others[i % len(others)])
    query = locator.prepare(make_query(pixels, mask > 127))
    horses.append(ask(query, street_pixels, np.zeros(numbers.shape, bool)))
  report("persons among horses", persons)
  report("the car among horses", cars)
  report("horses among pedestrians", horses)


def mirror(pixels, mask, scale):
  size = [round(scale * side) for side in pixels.shape[1::-1]]
  image = Image.fromarray(pixels[:, ::-1].copy()).resize(size)
  cover = Image.fromarray(mask[:, ::-1].astype(np.uint8)).resize(
    size, Image.Resampling.NEAREST
  )
  return np.array(image), np.array(cover) > 0


if __name__ == "__main__":
  app.run(main)
