"""Training of the search network, by the loop of all systems.

`B` pairs of a batch.

References:
  US 2018/0260664 [0052-0061, 0063, 0071].
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from dr3d.locate.feature import pool
from dr3d.locate.loss import (
  balance,
  double_margin_loss,
  make_thresholds,
  squared_loss,
)
from dr3d.locate.network import (
  NetworkConfig,
  Output,
  SearchNetwork,
  apply_network,
)
from dr3d.locate.sample import Batch, FeatureStore
from dr3d.runtime.device import share_devices
from dr3d.training.loop import Hooks, LoopConfig, Metrics, run_steps
from dr3d.training.optimizer import clip_gradient, schedule_rate, update_mean

Array = jax.Array

RESPONSE_SHARE = 0.2  # of the search layers' own maps in the loss [0061]
COARSE_SHARE = 0.3
BOX_SHARE = 0.05


@dataclasses.dataclass(frozen=True)
class LocateConfig:
  """A run.

  Attributes:
    network: its size.
    loss: `"margin"` is the double margin, `"squared"` plain L2 [0061].
    steps: length of the run.
    batch: B, with the rolled pairs.
    rate: peak learning rate of Adam.
    average: decay of the running mean of the weights, which a run ends with.
    seed: of weights and batches.
    checkpoint_every: steps from one checkpoint to the next.
  """

  network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
  loss: Literal["margin", "squared"] = "margin"
  steps: int = 2000
  batch: int = 16
  rate: float = 2e-3
  average: float = 0.995
  seed: int = 0
  checkpoint_every: int = 500


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LocateState:
  """All that a step changes.

  Attributes:
    step: int32 `[]`, steps made.
    weights: variables of the network.
    mean: their running mean.
    moments: state of the optimizer.
  """

  step: Array
  weights: Any
  mean: Any
  moments: Any


def train(
  store: FeatureStore,
  *,
  config: LocateConfig,
  workdir: pathlib.Path,
  init: Any = None,
  progress: bool = True,
) -> Any:
  """Trains the network, or resumes an interrupted run.

  Args:
    store: features of the training scenes.
    config: the run.
    workdir: absolute path; made if missing.
    init: weights to start from; None for random ones.
    progress: whether to show a bar.

  Returns:
    The running mean of the weights.

  Raises:
    TrainingError: a metric is not finite.
  """
  state = make_state(store.draw(0, size=2, seed=config.seed), config, init)
  state = run_steps(
    state,
    make_step(config),
    lambda step: store.draw(step, size=config.batch, seed=config.seed),
    config=LoopConfig(config.steps, config.seed, config.checkpoint_every),
    workdir=workdir,
    devices=share_devices(1),
    hooks=Hooks(caption=lambda row: {"loss": f"{row['loss']:.4f}"}),
    progress=progress,
  )
  return state.mean


def make_state(example: Batch, config: LocateConfig, init: Any) -> LocateState:
  """Returns the state before the first step.

  Args:
    example: any batch, for the shapes.
    config: the run.
    init: see `train`.
  """
  network = SearchNetwork(config.network)
  weights = init
  if weights is None:
    key = jax.random.key(config.seed)
    weights = jax.jit(network.init)(key, example.query, example.medium)
  moments = _make_optimizer(config).init(weights)
  return LocateState(jnp.asarray(0, jnp.int32), weights, weights, moments)


def make_step(
  config: LocateConfig,
) -> Callable[[LocateState, Batch, Array], tuple[LocateState, Metrics]]:
  """Returns the compiled step of a run."""
  optimizer = _make_optimizer(config)

  def loss(weights: Any, batch: Batch) -> tuple[Array, Metrics]:
    output = apply_network(config.network, weights, batch.query, batch.medium)
    return measure_loss(output, batch, kind=config.loss)

  @jax.jit
  def step(
    state: LocateState, batch: Batch, key: Array
  ) -> tuple[LocateState, Metrics]:
    del key  # nothing in a step is drawn
    (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(
      state.weights, batch
    )
    update, moments = optimizer.update(gradient, state.moments, state.weights)
    weights = optax.apply_updates(state.weights, update)
    number = state.step + 1
    mean = update_mean(state.mean, weights, step=number, decay=config.average)
    return LocateState(number, weights, mean, moments), metrics

  return step


def measure_loss(
  output: Output, batch: Batch, *, kind: str
) -> tuple[Array, Metrics]:
  """The loss of B pairs and its parts.

  Args:
    output: of the network.
    batch: the pairs' targets.
    kind: see `LocateConfig.loss`.

  Returns:
    `[]` and scalars by name.
  """
  y = batch.mask
  rough = pool(y[..., None], 2)[..., 0]
  coarse = pool(y[..., None], 4)[..., 0]
  parts = {
    "heat": _compare(output.heat, y, kind),
    "coarse": _compare(output.coarse, (coarse > 0.3).astype(y.dtype), kind),
    "box": _compare_boxes(output.box, batch),
    "response": jnp.mean(
      jax.vmap(lambda d: _compare(d, rough, kind), in_axes=-1)(
        output.responses
      ),
      axis=0,
    ),
  }
  count = jnp.maximum(batch.weight.sum(), 1)
  means = {
    name: jnp.sum(batch.weight * part) / count for name, part in parts.items()
  }
  total = (
    means["heat"]
    + COARSE_SHARE * means["coarse"]
    + BOX_SHARE * means["box"]
    + RESPONSE_SHARE * means["response"]
  )
  return total, {"loss": total, **means}


def _compare(logits: Array, y: Array, kind: str) -> Array:
  """Loss `[B]` of maps of logits `[B, H, W]` against masks."""
  d = jax.nn.sigmoid(logits)
  if kind == "squared":
    return jnp.mean(squared_loss(d, y), axis=(1, 2))
  loss = double_margin_loss(d, y, make_thresholds(y))
  return jnp.mean(balance(y) * loss, axis=(1, 2))


def _compare_boxes(box: Array, batch: Batch) -> Array:
  """1 - IoU `[B]` of the boxes that the cells of an object give."""
  low = jnp.minimum(box, batch.box)
  area = _area(box) + _area(batch.box)
  shared = _area(low)
  overlap = (shared + 1e-3) / (area - shared + 1e-3)
  count = jnp.maximum(batch.inside.sum(axis=(1, 2)), 1)
  return jnp.sum(batch.inside * (1 - overlap), axis=(1, 2)) / count


def _area(sides: Array) -> Array:
  return (sides[..., 0] + sides[..., 2]) * (sides[..., 1] + sides[..., 3])


def _make_optimizer(config: LocateConfig) -> optax.GradientTransformation:
  rate = schedule_rate(config.rate, steps=config.steps)
  return clip_gradient(optax.adamw(rate, weight_decay=1e-4))
