"""Measures a locator on composed scenes of models that it has not seen.

    python -m experiments.measure_locator --locator=work/locate/locator \
      --data=work/locate/test

Prints one row for all scenes and one for each group of them, with intervals of
95 %. With --look=first only the network's map of the whole picture is measured,
without a second look and without a calibration; --method=template is normalised
template matching of the query at ten sizes, by OpenCV.
"""

import pathlib

import numpy as np
from absl import app, flags

from dr3d.cli import console, environment

LOCATOR = flags.DEFINE_string("locator", None, "Locator; default: dr3d's.")
DATA = flags.DEFINE_string("data", None, "Expanded set.", required=True)
COUNT = flags.DEFINE_integer("count", 300, "Scenes to use.")
LOOK = flags.DEFINE_enum("look", "both", ["both", "first"], "What decides.")
METHOD = flags.DEFINE_enum("method", "network", ["network", "template"], "")
REPEATS = 1000  # of the bootstrap
SIZES = np.geomspace(24, 150, 10)  # of a template, pixels


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.locate.dataset import ExpandedSet, list_queries
  from dr3d.locate.locator import Locator
  from dr3d.locate.measure import score_candidates
  from dr3d.locate.query import frame_cutout

  data = ExpandedSet(pathlib.Path(DATA.value))
  locator = Locator.load(LOCATOR.value)
  scenes = data.scenes[: COUNT.value]
  rng = np.random.default_rng(1)
  scores, groups = [], []
  with console.progress(len(scenes), "measuring") as show:
    for i, scene in enumerate(scenes):
      medium, mask = data.read_scene(scene)
      views = list_queries(data, scene)
      view = views[rng.integers(len(views))]
      query = frame_cutout(data.read_cutout(view.file))
      if METHOD.value == "template":
        scores.append(score_map(match_template(query, medium), mask, scene))
      elif LOOK.value == "first":
        heat = locator.heat_map(query, medium)
        scores.append(score_map(heat, mask, scene))
      else:
        scores.append(
          score_candidates(
            locator.list_candidates(query, medium),
            mask,
            scene.boxes,
            locator.calibration,
          )
        )
      groups.append(describe(scene, view))
      show(i + 1, len(scenes))
  print_rows(scores, groups)


def score_map(heat, mask, scene):
  """Scores a map alone: what is above one half is found."""
  from dr3d.image.composite import find_box
  from dr3d.locate.instance import box_overlap
  from dr3d.locate.measure import Score, measure_overlap

  found = heat > 0.5
  y, x = np.unravel_index(np.argmax(heat), heat.shape)
  box = find_box(found)
  overlaps = [box_overlap(box, true) if box else 0.0 for true in scene.boxes]
  return Score(
    present=bool(scene.boxes),
    pointed=bool(mask[y, x] > 0),
    overlap=measure_overlap([found], mask > 0),
    boxed=max(overlaps, default=0.0) >= 0.5,
    recall=float(np.mean([o >= 0.5 for o in overlaps])) if overlaps else 0.0,
    found=int(found.any()),
  )


def match_template(query, medium) -> np.ndarray:
  """The query's mask at the best of all places and sizes, as a map."""
  import cv2

  image = medium.astype(np.float32)
  best, answer = -np.inf, np.zeros(medium.shape[:2], np.float32)
  for size in SIZES:
    side = round(size * 8 / 7)
    if side > min(medium.shape[:2]):
      continue
    template = cv2.resize(
      255 * query.image, (side, side), interpolation=cv2.INTER_AREA
    )
    mask = cv2.resize(query.mask, (side, side), interpolation=cv2.INTER_AREA)
    response = cv2.matchTemplate(
      image,
      template,
      cv2.TM_CCOEFF_NORMED,
      mask=np.repeat((mask > 0.5)[..., None], 3, -1).astype(np.float32),
    )
    response[~np.isfinite(response)] = -1
    y, x = np.unravel_index(np.argmax(response), response.shape)
    if response[y, x] > best:
      best = response[y, x]
      answer = np.zeros(medium.shape[:2], np.float32)
      # The pixel deepest inside of the object is the place that it points to.
      inside = (mask > 0.5).astype(np.uint8)
      depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
      agreement = inside * (0.6 + 0.4 * depth / max(depth.max(), 1))
      answer[y : y + side, x : x + side] = agreement
  return answer


def describe(scene, view) -> list[str]:
  """Groups that a scene belongs to."""
  from dr3d.locate.scene import BLURS

  names = ["all", "query grey" if view.plain else "query in colour"]
  kind = "generated" if scene.model.startswith("solid_") else "catalogue"
  names.append(f"object {kind}")
  if scene.boxes:
    ratio = scene.sides[0] / 112
    names.append(
      "scale below 1/2" if ratio < 0.5
      else "scale 1/2 to 1" if ratio < 1 else "scale from 1"
    )  # fmt: skip
    hidden = max(scene.occlusions)
    names.append(
      "hidden below 5 %" if hidden < 0.05
      else "hidden 5 to 25 %" if hidden < 0.25 else "hidden from 25 %"
    )  # fmt: skip
    names.append("one" if len(scene.boxes) == 1 else "two or three")
    blurred = BLURS & set(scene.distortions)
    names.append("blurred" if blurred else "sharp")
  return names


def print_rows(scores, groups) -> None:
  from dr3d.locate.measure import summarize

  order = list(dict.fromkeys(name for names in groups for name in names))
  columns = ("pointing", "mask IoU", "box", "recall", "missed", "false alarms")
  print(f"| scenes | n | {' | '.join(columns)} |")
  print("|" + "---|" * (len(columns) + 2))
  for group in ["all", *sorted(set(order) - {"all"})]:
    chosen = [
      s for s, names in zip(scores, groups, strict=True) if group in names
    ]
    found = summarize(chosen)
    bounds = find_bounds(chosen)
    cells = [
      f"{found[c]:.3f} ({bounds[c][0]:.2f}-{bounds[c][1]:.2f})"
      if c in found
      else ""
      for c in columns
    ]
    print(f"| {group} | {len(chosen)} | {' | '.join(cells)} |")


def find_bounds(scores) -> dict[str, tuple[float, float]]:
  """95 % intervals of `summarize` by a bootstrap over scenes."""
  from dr3d.locate.measure import summarize

  rng = np.random.default_rng(0)
  drawn: dict[str, list[float]] = {}
  for _ in range(REPEATS):
    rows = rng.integers(0, len(scores), len(scores))
    for name, value in summarize([scores[i] for i in rows]).items():
      drawn.setdefault(name, []).append(value)
  bounds = {n: np.percentile(v, [2.5, 97.5]) for n, v in drawn.items()}
  return {name: (low, high) for name, (low, high) in bounds.items()}


if __name__ == "__main__":
  app.run(main)
