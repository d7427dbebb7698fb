"""The smallest system that trains: a line fitted to points without noise.

Its answer is known, `TRUE_WEIGHTS`, and a step takes a millisecond.
"""

import dataclasses
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.runtime.device import AXIS, share_devices
from dr3d.training.loop import Hooks, LoopConfig, run_steps
from dr3d.training.workdir import run_once

TRUE_WEIGHTS = np.array([2.0, -1.0, 0.5], np.float32)
POINTS = 8  # of a batch
STEPS = 40
CHECKPOINT_EVERY = 5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Line:
  """Weights `[3]` and their momentum `[3]`."""

  weights: jax.Array
  momentum: jax.Array


def make_points(step, *, seed):
  """Points `[P, 3]` of a step, standard normal."""
  rng = np.random.default_rng((seed, step))
  return np.float32(rng.normal(size=(POINTS, 3)))


@jax.jit
def step_line(line, points, key):
  """A gradient step with momentum; the key moves the points a little."""
  points = points + 0.1 * jax.random.normal(key, points.shape)

  def loss(weights):
    return jnp.mean(jnp.square(points @ (weights - TRUE_WEIGHTS)))

  value, gradient = jax.value_and_grad(loss)(line.weights)
  momentum = 0.5 * line.momentum - 0.1 * gradient
  line = Line(line.weights + momentum, momentum)
  return line, {"loss": value, "gradient": jnp.linalg.norm(gradient)}


def save_line(weights, path):
  partial = path.with_suffix(".partial")
  with partial.open("wb") as file:
    np.save(file, weights)
  partial.replace(path)


def fit_line(workdir, *, seed=0, pause=0.0, hooks=None, steps=STEPS):
  """Trains a line; each batch takes `pause` seconds."""
  workdir = pathlib.Path(workdir)
  devices = share_devices(POINTS)
  share = jax.sharding.NamedSharding(devices, jax.sharding.PartitionSpec(AXIS))

  def batches(step):
    time.sleep(pause)
    return jax.device_put(make_points(step, seed=seed), share)

  def make():
    line = run_steps(
      Line(jnp.zeros(3), jnp.zeros(3)),
      step_line,
      batches,
      config=LoopConfig(steps, seed, CHECKPOINT_EVERY),
      workdir=workdir,
      devices=devices,
      hooks=hooks or Hooks(),
      progress=False,
    )
    assert line.weights.sharding.device_set == set(devices.devices.flat)
    return np.asarray(line.weights)

  return run_once(
    make,
    workdir=workdir,
    run={"seed": seed, "steps": steps},
    name="weights.npy",
    load=np.load,
    save=save_line,
  )
