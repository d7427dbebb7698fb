"""Trains the search network of the locator on an expanded set.

    python -m experiments.train_locator --data=work/locate/train \
      --workdir=work/locate/run --steps=2500

Writes WORKDIR/locator without a calibration; `experiments.measure_locator`
adds it. The same command resumes.
"""

import dataclasses
import pathlib

from absl import app, flags

from dr3d.cli import console, environment

DATA = flags.DEFINE_string("data", None, "Expanded set.", required=True)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run.", required=True
)
STEPS = flags.DEFINE_integer("steps", 2500, "Steps.")
BATCH = flags.DEFINE_integer("batch", 16, "Pairs of a step.")
LOSS = flags.DEFINE_enum("loss", "margin", ["margin", "squared"], "Loss.")
NORMALIZED = flags.DEFINE_bool("normalized", True, "Divide by both norms.")
SINGLE = flags.DEFINE_bool("single_scale", False, "One stride, one scale.")
INIT = flags.DEFINE_string("init", None, "Locator to start from.")
RATE = flags.DEFINE_float("rate", 2e-3, "Peak learning rate.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of weights and batches.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.locate.dataset import ExpandedSet
  from dr3d.locate.feature import load_trunk
  from dr3d.locate.network import SINGLE_SCALE, NetworkConfig
  from dr3d.locate.sample import FeatureStore
  from dr3d.locate.training import LocateConfig, train
  from dr3d.locate.weight_file import (
    LocatorWeights,
    load_weights,
    save_weights,
  )

  network = NetworkConfig(normalized=NORMALIZED.value)
  if SINGLE.value:
    network = dataclasses.replace(network, pairs=SINGLE_SCALE)
  config = LocateConfig(
    network=network,
    loss="squared" if LOSS.value == "squared" else "margin",
    steps=STEPS.value,
    batch=BATCH.value,
    rate=RATE.value,
    seed=SEED.value,
  )
  workdir = pathlib.Path(WORKDIR.value).absolute()
  init = load_weights(pathlib.Path(INIT.value)) if INIT.value else None
  trunk = init.trunk if init else load_trunk()
  data = ExpandedSet(pathlib.Path(DATA.value))
  total = len(data.cutouts) + len(data.scenes)
  with console.progress(total, "computing features") as show:
    store = FeatureStore(
      data, trunk, cache=data.directory / "features", progress=show
    )
  search = train(
    store, config=config, workdir=workdir, init=init and init.search
  )
  save_weights(LocatorWeights(network, trunk, search), workdir / "locator")
  print(f"{workdir / 'locator'}: {STEPS.value} steps on {len(data.scenes)}")


if __name__ == "__main__":
  app.run(main)
