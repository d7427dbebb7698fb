"""The state of a run and the step that changes it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dr3d.camera.view import Views, take_views
from dr3d.field.config import FieldConfig
from dr3d.field.loss import color_loss, hard_loss, mask_loss
from dr3d.field.picture import PixelBatch
from dr3d.field.render import draw_rays, init_networks, move_views
from dr3d.render.volume import make_rays

Array = jax.Array
Metrics = dict[str, Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """All that a step changes.

  Attributes:
    weights: of the networks.
    codes: `[O, Z]` latent table.
    pose: `[K, 3]`, see `move_views`; zeros unless cameras are learned.
    moments: of the optimizer.
  """

  weights: Any
  codes: Array
  pose: Array
  moments: Any


def make_state(
  config: FieldConfig, *, objects: int, pictures: int, key: Array
) -> State:
  """Returns the state before the first step; codes are zeros.

  The table starts at 0, as in the authors' program. The objects part from each
  other because their pictures differ.
  """
  learned = (
    init_networks(config.network, key),
    jnp.zeros((objects, config.network.latent)),
    jnp.zeros((pictures, 3)),
  )
  return State(*learned, _make_optimizer(config).init(learned))


def measure(
  weights: Any,
  codes: Array,
  views: Views,
  batch: PixelBatch,
  *,
  config: FieldConfig,
  size: int,
  has_masks: bool,
  key: Array | None,
) -> tuple[Array, Metrics]:
  """Returns `[B]` losses of pictures, and the means of their parts.

  Args:
    weights: of the networks.
    codes: `[B, Z]`, one for each picture.
    views: B cameras.
    batch: pixels of B pictures.
    config: weights of the losses, samples.
    size: height and width of the pictures, pixels.
    has_masks: whether the masks mean anything.
    key: of the samples' places; None for the middle.
  """
  rays = make_rays(views, jnp.asarray(batch.pixel), size=size)
  drawn = draw_rays(
    weights,
    codes,
    rays,
    config=config.network,
    samples=config.batch.samples,
    key=key,
  )
  color = color_loss(drawn.color, jnp.asarray(batch.color)).mean(axis=-1)
  # Rays beside the sphere have weights of 0, whatever the field is.
  hard = hard_loss(drawn.weights).mean(axis=(-2, -1))
  prior = jnp.mean(jnp.square(codes), axis=-1)
  total = color + config.loss.hard * hard + config.loss.code * prior
  metrics = {"color": color.mean(), "hard": hard.mean(), "code": prior.mean()}
  if has_masks:
    mask = mask_loss(drawn.alpha, jnp.asarray(batch.mask)).mean(axis=-1)
    total += config.loss.mask * mask
    metrics["mask"] = mask.mean()
  return total, metrics


def make_step(
  config: FieldConfig, *, size: int, has_masks: bool
) -> Callable[[State, Views, PixelBatch, Array], tuple[State, Metrics]]:
  """Returns the compiled step of a run: state, K cameras, batch and key.

  Args:
    config: the run.
    size: height and width of the pictures, pixels.
    has_masks: whether the pictures have masks.
  """
  optimizer = _make_optimizer(config)

  def loss(learned: Any, views: Views, batch: PixelBatch, key: Array):
    weights, codes, pose = learned
    cameras = take_views(views, batch.picture)
    if config.learn_cameras:
      cameras = move_views(cameras, pose[batch.picture])
    each, metrics = measure(
      weights,
      codes[batch.row],
      cameras,
      batch,
      config=config,
      size=size,
      has_masks=has_masks,
      key=key,
    )
    return each.mean(), metrics

  @jax.jit
  def step(
    state: State, views: Views, batch: PixelBatch, key: Array
  ) -> tuple[State, Metrics]:
    learned = (state.weights, state.codes, state.pose)
    (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(
      learned, views, batch, key
    )
    change, moments = optimizer.update(gradient, state.moments, learned)
    learned = optax.apply_updates(learned, change)
    weights, codes, pose = learned
    return State(weights, codes, pose, moments), {"loss": value, **metrics}

  return step


def decay_rate(first: float, config: FieldConfig) -> optax.Schedule:
  """An exponential decay to `last_share` at the end of the run [0180]."""
  return optax.exponential_decay(first, config.steps, config.last_share)


def _make_optimizer(config: FieldConfig) -> optax.GradientTransformation:
  """Adam with a rate for the networks, the table and the cameras each.

  The table's gradient is dense: at some hundred rows that costs nothing, and
  Adam's moments stay those of all steps.
  """
  camera_rate = config.camera_rate if config.learn_cameras else 0.0
  rates = {
    "network": config.rate,
    "code": config.code_rate,
    "camera": camera_rate,
  }
  return optax.partition(
    {name: optax.adam(decay_rate(r, config)) for name, r in rates.items()},
    ("network", "code", "camera"),
  )
