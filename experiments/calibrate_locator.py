"""Fits a locator's presence decision on scenes that it was not trained on.

    python -m experiments.calibrate_locator --locator=work/locate/run/locator \
      --data=work/locate/held_out --out=work/locate/locator

Each scene is asked for its own target and for that of another scene, whose
object it does not show.
"""

import dataclasses
import pathlib

import numpy as np
from absl import app, flags

from dr3d.cli import console, environment

LOCATOR = flags.DEFINE_string("locator", None, "Locator.", required=True)
DATA = flags.DEFINE_string("data", None, "Held-out set.", required=True)
OUT = flags.DEFINE_string("out", None, "Locator to write.", required=True)
COUNT = flags.DEFINE_integer("count", 400, "Scenes to use.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.locate.dataset import ExpandedSet, list_queries
  from dr3d.locate.locator import Locator
  from dr3d.locate.measure import label_candidates
  from dr3d.locate.presence import fit_calibration
  from dr3d.locate.query import frame_cutout
  from dr3d.locate.weight_file import load_weights, save_weights

  weights = load_weights(pathlib.Path(LOCATOR.value))
  locator = Locator(weights)
  data = ExpandedSet(pathlib.Path(DATA.value))
  scenes = data.scenes[: COUNT.value]
  rng = np.random.default_rng(0)
  evidence, right, absent = [], [], []
  with console.progress(len(scenes), "calibrating") as show:
    for i, scene in enumerate(scenes):
      medium, mask = data.read_scene(scene)
      other = scenes[(i + 1) % len(scenes)]
      for asked in (scene, other):
        views = list_queries(data, asked)
        view = views[rng.integers(len(views))]
        query = locator.prepare(frame_cutout(data.read_cutout(view.file)))
        shown = mask if asked.model == scene.model else np.zeros_like(mask)
        found, is_right = label_candidates(locator, query, medium, shown)
        if len(found):
          evidence.append(found)
          right.append(is_right)
        if not shown.any():
          absent.append(found)
      show(i + 1, len(scenes))
  calibration = fit_calibration(
    np.concatenate(evidence), np.concatenate(right), absent=absent
  )
  save_weights(
    dataclasses.replace(weights, calibration=calibration),
    pathlib.Path(OUT.value),
  )
  print(
    f"{OUT.value}: threshold {calibration.threshold:.3f},"
    f" {sum(map(len, right))} candidates of which"
    f" {int(sum(each.sum() for each in right))} are right,"
    f" {len(absent)} pictures without the object."
  )


if __name__ == "__main__":
  app.run(main)
