"""One round of the self-tuning loop on pictures whose masks are not used.

    python -m experiments.self_tune_locator --locator=work/locate/locator \
      --data=work/locate/train --pictures=work/locate/unlabelled --scenes=500

Asks each picture of the other set for its target and for another model; adds
what is found with confidence to DATA as cut-outs and composes further scenes.
Then `experiments.train_locator --init` trains on.
"""

import pathlib

from absl import app, flags

from dr3d.cli import console, environment

LOCATOR = flags.DEFINE_string("locator", None, "Locator; default: dr3d's.")
DATA = flags.DEFINE_string("data", None, "Set that grows.", required=True)
PICTURES = flags.DEFINE_string(
  "pictures", None, "Expanded set of the same models.", required=True
)
SCENES = flags.DEFINE_integer("scenes", 500, "Further scenes.")
SEED = flags.DEFINE_integer("seed", 100, "Seed of the further scenes.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.locate.dataset import ExpandedSet, expand
  from dr3d.locate.locator import Locator
  from dr3d.locate.self_tuning import extract_cutouts

  locator = Locator.load(LOCATOR.value)
  data = ExpandedSet(pathlib.Path(DATA.value))
  other = ExpandedSet(pathlib.Path(PICTURES.value))
  scenes = [scene for scene in other.scenes if scene.model in data.by_model]
  models = [
    (scene.model, scenes[(i + 1) % len(scenes)].model)
    for i, scene in enumerate(scenes)
  ]
  with console.progress(len(scenes), "extracting") as show:
    result = extract_cutouts(
      locator,
      data,
      (other.read_scene(scene)[0] for scene in scenes),
      models,
      progress=show,
    )
  before = len(data.scenes)
  with console.progress(SCENES.value, "composing scenes") as show:
    expand(
      data,
      count=before + SCENES.value,
      size=other.read_scene(scenes[0])[1].shape[:2],
      seed=SEED.value,
      progress=show,
    )
  print(
    f"{DATA.value}: {result.cutouts} cut-outs from {result.pictures} pictures,"
    f" {len(data.scenes)} scenes instead of {before}."
  )


if __name__ == "__main__":
  app.run(main)
