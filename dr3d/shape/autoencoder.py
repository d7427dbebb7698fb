"""Training of the voxel encoder and the implicit decoder.

`B` shapes of a step, `P` points of a shape, `R` voxels along an axis.

References:
  IM-NET (Chen and Zhang, CVPR 2019), section 3.1: progressive training.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.nn.implicit import ImplicitDecoder
from dr3d.nn.volume import VoxelEncoder
from dr3d.runtime.device import share_devices
from dr3d.shape.config import AutoencoderConfig
from dr3d.shape.sample import BUDGETS, place_points, sample_voxels
from dr3d.shape.voxel import average_voxels, shrink_voxels
from dr3d.training.loop import Metrics, run_steps
from dr3d.training.optimizer import clip_gradient, schedule_rate

Array = jax.Array
Params = dict[str, Any]
Sampled = tuple[np.ndarray, np.ndarray]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What a step changes: parameters `{encoder, decoder}` and Adam's moments."""

  params: Params
  moments: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
  """Shapes of a step.

  Attributes:
    voxels: `[B, R, R, R]` shares that are full, at the encoder's resolution.
    points: `[B, P, 3]` in the cube.
    inside: `[B, P]` bool.
  """

  voxels: Array | np.ndarray
  points: Array | np.ndarray
  inside: Array | np.ndarray


def make_networks(
  config: AutoencoderConfig,
) -> tuple[Any, Any]:
  """Returns encoder and decoder, without parameters."""
  encoder = VoxelEncoder(config.encoder_widths, config.code_size)
  decoder = ImplicitDecoder(
    config.decoder_widths,
    config.octaves,
    config.scale,
    config.deviation,
    config.grid_widths,
  )
  return encoder, decoder


def encoder_resolution(config: AutoencoderConfig) -> int:
  """Voxels along an axis that the encoder takes."""
  return 4 * 2 ** len(config.encoder_widths)


def init_params(config: AutoencoderConfig) -> Params:
  """Returns the parameters before the first step."""
  encoder, decoder = make_networks(config)
  keys = jax.random.split(jax.random.key(config.loop.seed))
  voxels = jnp.zeros((1,) + (encoder_resolution(config),) * 3)
  codes = jnp.zeros((1, config.code_size))
  return {
    "encoder": encoder.init(keys[0], voxels),
    "decoder": decoder.init(keys[1], codes, jnp.zeros((1, 1, 3))),
  }


def compute_loss(logits: Array, inside: Array, *, kind: str) -> Array:
  """Returns the unreduced loss of logits against occupancy, same shape.

  Args:
    logits: any shape.
    inside: 0 or 1, same shape.
    kind: `"bce"`, the binary cross entropy, or `"mse"`, the squared error of
      the sigmoid, IM-NET eq. 1.

  Raises:
    ValueError: the kind is unknown.
  """
  if kind == "bce":
    return optax.sigmoid_binary_cross_entropy(logits, inside)
  if kind == "mse":
    return (jax.nn.sigmoid(logits) - inside) ** 2
  raise ValueError(f"loss must be 'bce' or 'mse', not {kind!r}.")


def make_step(
  config: AutoencoderConfig,
) -> tuple[
  optax.GradientTransformation,
  Callable[[State, Batch, Array], tuple[State, Metrics]],
]:
  """Returns the optimizer and the step of the training loop."""
  rate: Any = config.rate
  if not config.constant_rate:
    rate = schedule_rate(config.rate, steps=config.loop.steps)
  optimizer = clip_gradient(optax.adam(rate, b1=config.momentum))
  encoder, decoder = make_networks(config)

  def measure(params: Params, batch: Batch) -> tuple[Array, Metrics]:
    codes = encoder.apply(params["encoder"], batch.voxels)
    logits = decoder.apply(params["decoder"], codes, batch.points)
    inside = jnp.asarray(batch.inside, jnp.float32)
    loss = jnp.mean(compute_loss(logits, inside, kind=config.loss))
    both = jnp.sum((logits > 0) & (inside > 0.5))
    either = jnp.sum((logits > 0) | (inside > 0.5))
    squared = jnp.mean((jax.nn.sigmoid(logits) - inside) ** 2)
    return loss, {
      "loss": loss,
      "squared_error": squared,
      "iou": both / jnp.maximum(either, 1),
    }

  @functools.partial(jax.jit, donate_argnums=0)
  def step(state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:
    del key  # the batches hold all that is random
    slope, metrics = jax.grad(measure, has_aux=True)(state.params, batch)
    change, moments = optimizer.update(slope, state.moments, state.params)
    return State(optax.apply_updates(state.params, change), moments), metrics

  return optimizer, step


def find_stage(config: AutoencoderConfig, step: int) -> int:
  """Returns the resolution of the points of a step, from 0."""
  ends = itertools.accumulate(share for _, share in config.stages)
  for (resolution, _), end in zip(config.stages, ends, strict=True):
    if step < round(end * config.loop.steps):
      return resolution
  return config.stages[-1][0]


class Batches:
  """The batch of each step, a function of the seed and the step's number.

  The points of a stage are chosen when it begins, and dropped with the next.
  """

  def __init__(self, voxels: np.ndarray, config: AutoencoderConfig):
    """Takes the voxels, bool [n, 64, 64, 64]."""
    self._voxels = voxels
    self._config = config
    self._input = average_voxels(voxels, resolution=encoder_resolution(config))
    self._resolution = 0
    self._sampled: list[Sampled] = []

  def __call__(self, step: int) -> Batch:
    """Returns the batch of a step, from 0."""
    config = self._config
    resolution = find_stage(config, step)
    if resolution != self._resolution:
      self._resolution, self._sampled = resolution, self._sample(resolution)
    rng = np.random.default_rng([config.loop.seed, step])
    count = len(self._voxels)
    chosen = rng.choice(count, config.shapes, replace=count < config.shapes)
    index, inside = zip(*(self._draw(i, rng) for i in chosen), strict=True)
    points = place_points(np.stack(index), resolution=resolution)
    return Batch(self._input[chosen], points, np.stack(inside))

  def _sample(self, resolution: int) -> list[Sampled]:
    seed = [self._config.loop.seed, resolution]
    rng = np.random.default_rng(seed)
    budget = self._config.budget * BUDGETS[resolution]
    return [
      sample_voxels(
        shrink_voxels(each, resolution=resolution),
        rng=rng,
        budget=min(budget, resolution**3),
      )
      for each in self._voxels
    ]

  def _draw(self, shape: int, rng: np.random.Generator) -> Sampled:
    index, inside = self._sampled[shape]
    # With repetition: a choice without one would shuffle all 32 768.
    rows = rng.integers(0, len(index), self._config.points)
    return index[rows], inside[rows]


def train_autoencoder(
  voxels: np.ndarray,
  *,
  config: AutoencoderConfig,
  workdir: pathlib.Path,
  progress: bool = True,
) -> Params:
  """Trains encoder and decoder; the same call resumes.

  Args:
    voxels: bool [n, 64, 64, 64].
    config: all settings.
    workdir: of checkpoints and log.
    progress: whether to show a bar.

  Returns:
    Parameters `{encoder, decoder}`.
  """
  optimizer, step = make_step(config)
  params = init_params(config)
  state = run_steps(
    State(params, optimizer.init(params)),
    step,
    Batches(voxels, config),
    config=config.loop,
    workdir=workdir.absolute(),
    devices=share_devices(1),
    progress=progress,
  )
  return state.params
