r"""Repeats the ablation of the auto-encoder: what a short training needs.

    python -m experiments.shape_ablation --data=work/shapes.npz

Trains small auto-encoders for some hundred steps at 16³ on the same shapes and
batches, and prints the mean squared error of held-out shapes beside that of the
best constant.
"""

import dataclasses
import pathlib
import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment

DATA = flags.DEFINE_string("data", None, "Set of shapes, .npz.", required=True)
STEPS = flags.DEFINE_integer("steps", 300, "Steps of each training.")
SHAPES = flags.DEFINE_integer("shapes", 130, "Shapes to train on.")

SMALL = {
  "encoder_widths": (24, 48, 96),
  "decoder_widths": (512, 256, 128, 64, 32),
  "grid_widths": (),
}
"""The published networks with fewer channels."""
PLAIN = {
  **SMALL,
  "octaves": 0,
  "loss": "mse",
  "scale": 0.5,
  "momentum": 0.5,
  "deviation": 0.02,
  "rate": 5e-4,  # ten times the published one, which is for a million steps
}
ROWS = {
  "published: bare ±½, MSE, β₁ .5, N(0, .02²), 5e-4": PLAIN,
  "±1, β₁ .9, LeCun's weights, 5e-4": {
    **PLAIN,
    "scale": 1.0,
    "momentum": 0.9,
    "deviation": 0.0,
  },
  "±1, β₁ .9, BCE, 1e-3": {**SMALL, "octaves": 0, "rate": 1e-3},
  "4 octaves, BCE, 1e-3": {**SMALL, "rate": 1e-3},
  "default: a grid, 4 octaves, BCE, 1e-3": {"rate": 1e-3},
}


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.shape.dataset import load_set
  from dr3d.shape.voxel import shrink_voxels

  shapes = load_set(pathlib.Path(DATA.value))
  train = shapes.split("train").voxels
  rows = np.linspace(0, len(train) - 1, min(SHAPES.value, len(train)))
  train = train[rows.astype(int)]
  test = shapes.split("test").voxels[::4]
  share = shrink_voxels(test, resolution=16).mean()
  print(f"{len(train)} shapes to train on, {len(test)} held out")
  print(f"best constant: {share * (1 - share):.4f}\n")
  marks = [STEPS.value // 3, 2 * STEPS.value // 3, STEPS.value]
  print(f"| variant | {' | '.join(f'{m} steps' for m in marks)} | CPU s |")
  print("|---|---|---|---|---|")
  for name, changes in ROWS.items():
    errors, seconds = _run(train, test, changes, marks)
    cells = " | ".join(f"{error:.4f}" for error in errors)
    print(f"| {name} | {cells} | {seconds:.0f} |", flush=True)


def _run(train, test, changes, marks):
  """Errors at the marks, and the CPU seconds of the training."""
  import jax
  import jax.numpy as jnp

  from dr3d.shape import autoencoder
  from dr3d.shape.config import AutoencoderConfig
  from dr3d.shape.voxel import average_voxels, grid_points, shrink_voxels
  from dr3d.training.loop import LoopConfig

  config = dataclasses.replace(
    AutoencoderConfig(),
    stages=((16, 1.0),),
    shapes=4,
    points=1024,
    constant_rate=True,
    loop=LoopConfig(steps=marks[-1]),
    **changes,
  )
  optimizer, step = autoencoder.make_step(config)
  encoder, decoder = autoencoder.make_networks(config)
  params = autoencoder.init_params(config)
  state = autoencoder.State(params, optimizer.init(params))
  batches = autoencoder.Batches(train, config)
  true = shrink_voxels(test, resolution=16).reshape(len(test), -1)
  resolution = autoencoder.encoder_resolution(config)
  seen = average_voxels(test, resolution=resolution)
  points = jnp.asarray(grid_points(16))[None]
  key = jax.random.key(0)  # not used by the step

  @jax.jit
  def predict(params, voxels):
    codes = encoder.apply(params["encoder"], voxels[None])
    logits = decoder.apply(params["decoder"], codes, points)
    return jax.nn.sigmoid(logits[0])

  errors, start, spent = [], time.process_time(), 0.0
  for number in range(marks[-1]):
    state, _ = step(state, batches(number), key)
    if number + 1 in marks:
      spent += time.process_time() - start
      made = np.stack([predict(state.params, each) for each in seen])
      errors.append(float(np.mean((made - true) ** 2)))
      start = time.process_time()
  return errors, spent


if __name__ == "__main__":
  app.run(main)
