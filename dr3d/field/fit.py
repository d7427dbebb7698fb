"""A new picture → its code, with the network frozen [0172]."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.camera.view import Views, take_views
from dr3d.field.field import Field
from dr3d.field.picture import PictureSet, draw_pixels, find_near
from dr3d.field.render import move_views
from dr3d.field.step import measure


@dataclasses.dataclass(frozen=True)
class FitConfig:
  """How codes are fitted.

  Attributes:
    steps: of Adam.
    pixels: of each picture in a step.
    rate: first learning rate of the codes; it decays to a tenth.
    code: weight of the mean squared distance from the mean of the table, in
      variances of the table; keeps what one picture does not show likely. The
      text has none.
    learn_cameras: fit azimuth, elevation and scale of each picture too.
    camera_rate: first learning rate of these.
    seed: of the pixels.
  """

  steps: int = 200
  pixels: int = 128
  rate: float = 2e-2
  code: float = 0.0
  learn_cameras: bool = False
  camera_rate: float = 1e-2
  seed: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class FittedCodes:
  """Codes of new objects.

  Attributes:
    codes: float32 `[O, Z]`.
    views: K cameras, moved if they were fitted.
    loss: float32 `[K]` mean of the last tenth of the steps, without the prior.
  """

  codes: np.ndarray
  views: Views
  loss: np.ndarray


def fit_codes(
  field: Field, pictures: PictureSet, *, config: FitConfig | None = None
) -> FittedCodes:
  """Fits a code to each object of a set of pictures.

  Rows start at the mean of the table, and the pixels are drawn as those of the
  training. The objects do not influence each other.

  Args:
    field: the field; it does not change.
    pictures: K pictures of O objects, of the field's size.
    config: options; None for the defaults.

  Raises:
    ValueError: the pictures have another size.
  """
  config = config or FitConfig()
  if pictures.size != field.config.size:
    raise ValueError(
      f"the pictures have {pictures.size} pixels, but the field"
      f" {field.config.size}."
    )
  K, O = len(pictures.images), len(pictures.names)
  mean = jnp.asarray(field.codes.mean(axis=0))
  variance = float(np.var(field.codes, axis=0).mean()) + 1e-12
  learned = jnp.tile(mean, (O, 1)), jnp.zeros((K, 3))
  rates = config.rate, config.camera_rate * config.learn_cameras
  optimizer = optax.partition(
    {
      name: optax.adam(optax.exponential_decay(rate, config.steps, 0.1))
      for name, rate in zip(("code", "camera"), rates, strict=True)
    },
    ("code", "camera"),
  )
  moments = optimizer.init(learned)
  step = _make_step(field, config, optimizer, pictures.masks is not None)
  share = field.config.batch.near
  near = find_near(pictures) if share else None
  losses = []
  for number in range(config.steps):
    batch = draw_pixels(
      pictures,
      number,
      count=K,
      pixels=config.pixels,
      seed=config.seed,
      near=near,
      share=share,
    )
    learned, moments, loss = step(
      field.weights,
      learned,
      moments,
      pictures.views,
      batch,
      jax.random.key(number),
      mean,
      variance,
    )
    losses.append(loss)
  last = jnp.stack(losses[-max(1, config.steps // 10) :])
  codes, pose = learned
  return FittedCodes(
    codes=np.asarray(codes),
    views=jax.tree.map(np.asarray, move_views(pictures.views, pose)),
    loss=np.asarray(last.mean(axis=0)),
  )


def _make_step(
  field: Field,
  config: FitConfig,
  optimizer: optax.GradientTransformation,
  has_masks: bool,
) -> Any:
  # The prior of the training pulls towards 0, this one towards the mean.
  frozen = dataclasses.replace(
    field.config, loss=dataclasses.replace(field.config.loss, code=0.0)
  )

  def loss(learned, weights, views, batch, key, mean, variance):
    codes, pose = learned
    cameras = take_views(views, batch.picture)
    if config.learn_cameras:
      cameras = move_views(cameras, pose[batch.picture])
    each, _ = measure(
      weights,
      codes[batch.row],
      cameras,
      batch,
      config=frozen,
      size=field.config.size,
      has_masks=has_masks,
      key=key,
    )
    prior = jnp.mean(jnp.square(codes - mean), axis=-1) / variance
    # A sum: the gradient of a code does not depend on how many there are.
    return jnp.sum(each) + config.code * jnp.sum(prior), each

  @jax.jit
  def step(weights, learned, moments, views, batch, key, mean, variance):
    call = functools.partial(
      loss, weights=weights, views=views, batch=batch, key=key, mean=mean,
      variance=variance,
    )  # fmt: skip
    (_, each), gradient = jax.value_and_grad(call, has_aux=True)(learned)
    change, moments = optimizer.update(gradient, moments, learned)
    return optax.apply_updates(learned, change), moments, each

  return step
