"""Trains variants of the search network alike and compares them.

    python -m experiments.ablate_locator --data=work/locate/train \
      --plain=work/locate/plain --test=work/locate/test --workdir=work/rows

Each row has the same steps, seed and batches, and is measured by the network's
map of the whole scene alone: no second look, no calibration, heat above one
half is the mask. `--plain` is a set with one undistorted scene of each model:
what is known before the expansion.
"""

import dataclasses
import pathlib
import time

import jax
import numpy as np
from absl import app, flags

from dr3d.cli import console, environment

DATA = flags.DEFINE_string("data", None, "Expanded set.", required=True)
PLAIN = flags.DEFINE_string("plain", None, "The set without expansion.")
TEST = flags.DEFINE_string("test", None, "Set to measure on.", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder.", required=True)
STEPS = flags.DEFINE_integer("steps", 400, "Steps of a row.")
BATCH = flags.DEFINE_integer("batch", 12, "Pairs of a step.")
SCENES = flags.DEFINE_integer("scenes", 0, "Training scenes, at most; 0: all.")
ROWS = flags.DEFINE_list(
  "rows",
  ["full", "single scale", "not normalised", "L2 loss", "no expansion"],
  "Rows to run.",
)
CHUNK = 20  # scenes that are measured together


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.locate.feature import load_trunk
  from dr3d.locate.network import SINGLE_SCALE, NetworkConfig
  from dr3d.locate.training import LocateConfig, train

  trunk = load_trunk()
  stores = {"test": make_store(TEST.value, trunk)}
  full = LocateConfig(steps=STEPS.value, batch=BATCH.value)
  single = NetworkConfig(pairs=SINGLE_SCALE)
  variants = {
    "full": full,
    "single scale": dataclasses.replace(full, network=single),
    "not normalised": dataclasses.replace(
      full, network=NetworkConfig(normalized=False)
    ),
    "L2 loss": dataclasses.replace(full, loss="squared"),
    "no expansion": full,
  }
  print("| variant | pointing | mask IoU | IoU at best cut | on absent | s |")
  print("|---|---|---|---|---|---|", flush=True)
  for row in ROWS.value:
    folder = PLAIN.value if row == "no expansion" else DATA.value
    if folder not in stores:
      stores[folder] = make_store(folder, trunk)
    begin = time.perf_counter()
    weights = train(
      stores[folder],
      config=variants[row],
      workdir=pathlib.Path(WORKDIR.value).absolute() / row.replace(" ", "_"),
    )
    seconds = time.perf_counter() - begin
    found = measure(stores["test"], weights, variants[row].network)
    values = " | ".join(f"{value:.3f}" for value in found)
    print(f"| {row} | {values} | {seconds:.0f} |", flush=True)


def make_store(folder, trunk):
  from dr3d.locate.dataset import ExpandedSet
  from dr3d.locate.sample import FeatureStore

  data = ExpandedSet(pathlib.Path(folder))
  if SCENES.value:
    del data.scenes[SCENES.value :]
  total = len(data.cutouts) + len(data.scenes)
  with console.progress(total, "computing features") as show:
    return FeatureStore(
      data, trunk, cache=data.directory / "features", progress=show
    )


def measure(store, weights, config) -> tuple[float, float, float, float]:
  """Pointing, mean IoU, the largest mean IoU of any cut, area on absent."""
  from dr3d.locate.network import apply_network

  @jax.jit
  def run(query, medium):
    return jax.nn.sigmoid(apply_network(config, weights, query, medium).heat)

  rng = np.random.default_rng(1)
  cuts = np.arange(0.1, 0.95, 0.05)
  pointed, overlaps, areas = [], [], []
  count = len(store.model) // CHUNK * CHUNK
  for start in range(0, count, CHUNK):
    scenes = np.arange(start, start + CHUNK)
    queries = np.array(
      [store.queries[i][rng.integers(len(store.queries[i]))] for i in scenes]
    )
    batch = store.take(scenes, queries)
    heat = np.asarray(run(batch.query, batch.medium))
    for d, y in zip(heat, batch.mask > 0.5, strict=True):
      if not y.any():
        areas.append(float((d > 0.5).mean()))
        continue
      pointed.append(y.flat[d.argmax()])
      found = d[None] > cuts[:, None, None]
      overlaps.append((found & y).sum((1, 2)) / (found | y).sum((1, 2)))
  means = np.mean(overlaps, axis=0)
  half = int(np.argmin(np.abs(cuts - 0.5)))
  return (
    float(np.mean(pointed)),
    float(means[half]),
    float(means.max()),
    float(np.mean(areas)),
  )


if __name__ == "__main__":
  app.run(main)
