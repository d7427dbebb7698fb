"""The generator of codes: noise to codes that the decoder turns into shapes.

`B` codes of a step, `Z` size of a code.

References:
  I. Gulrajani et al., Improved training of Wasserstein GANs (NeurIPS 2017).
  IM-NET (Chen and Zhang, CVPR 2019), section 3.2: latent GAN. Its code draws
  one ε for a batch and has a critic that is low on real codes; here each
  sample has its own ε and the signs are those of algorithm 1.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.error import Dr3dError
from dr3d.nn.volume import LEAK
from dr3d.runtime.device import share_devices
from dr3d.shape.config import GeneratorConfig
from dr3d.shape.model import ShapeModel, finish
from dr3d.training.loop import Metrics, run_steps

Array = jax.Array

# Adam's β₁ and β₂, algorithm 1.
_MOMENTUM = (0.0, 0.9)


class Layers(nn.Module):
  """Dense layers; the last one without activation."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """`[B, n]` to `[B, widths[-1]]`."""
    for width in self.widths[:-1]:
      x = nn.leaky_relu(nn.Dense(width)(x), LEAK)
    return nn.Dense(self.widths[-1])(x)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """Parameters of both networks and their moments."""

  generator: Any
  critic: Any
  generator_moments: Any
  critic_moments: Any


def _networks(config: GeneratorConfig, code_size: int) -> tuple[Any, Any]:
  return Layers((*config.widths, code_size)), Layers((*config.widths, 1))


def draw_noise(key: Array, count: int, *, config: GeneratorConfig) -> Array:
  """Returns the generator's input, `[B, noise_size]`."""
  return config.noise * jax.random.normal(key, (count, config.noise_size))


def gradient_penalty(
  critic: Any, real: Array, fake: Array, key: Array
) -> Array:
  """Returns the mean of (‖∇D(x̂)‖ - 1)², algorithm 1 line 7.

  Args:
    critic: codes `[B, Z]` to values `[B]`.
    real: `[B, Z]`.
    fake: `[B, Z]`.
    key: draws one ε for each pair.
  """
  share = jax.random.uniform(key, (len(real), 1))
  between = share * real + (1 - share) * fake
  slope = jax.grad(lambda x: jnp.sum(critic(x)))(between)
  # The root has no slope at 0.
  norm = jnp.sqrt(jnp.sum(slope**2, axis=-1) + 1e-12)
  return jnp.mean((norm - 1) ** 2)


def train_generator(
  model: ShapeModel,
  *,
  config: GeneratorConfig,
  workdir: pathlib.Path,
  progress: bool = True,
) -> ShapeModel:
  """Returns the model with a generator; the same call resumes.

  Args:
    model: a trained auto-encoder with the codes of its shapes.
    config: settings.
    workdir: of the checkpoints and the log.
    progress: whether to show a bar.
  """
  codes = np.asarray(model.codes, np.float32)
  size = codes.shape[1]
  generator, critic = _networks(config, size)
  keys = jax.random.split(jax.random.key(config.loop.seed))
  optimizer = optax.adam(config.rate, b1=_MOMENTUM[0], b2=_MOMENTUM[1])
  start = generator.init(keys[0], jnp.zeros((1, config.noise_size)))
  judge = critic.init(keys[1], jnp.zeros((1, size)))
  state = State(start, judge, optimizer.init(start), optimizer.init(judge))
  rows = config.critic_steps * config.batch

  def generate(params: Any, key: Array) -> Array:
    noise = draw_noise(key, config.batch, config=config)
    return jax.nn.sigmoid(generator.apply(params, noise))

  def rate(params: Any, codes: Array) -> Array:
    return critic.apply(params, codes)[:, 0]

  def critic_loss(
    params: Any, real: Array, fake: Array, key: Array
  ) -> tuple[Array, Array]:
    gap = jnp.mean(rate(params, real)) - jnp.mean(rate(params, fake))
    penalty = gradient_penalty(lambda x: rate(params, x), real, fake, key)
    return config.penalty * penalty - gap, gap

  @functools.partial(jax.jit, donate_argnums=0)
  def step(state: State, batch: Array, key: Array) -> tuple[State, Metrics]:
    real = batch.reshape(config.critic_steps, config.batch, size)
    judge, moments = state.critic, state.critic_moments
    for i in range(config.critic_steps):
      keys = jax.random.split(jax.random.fold_in(key, i))
      fake = generate(state.generator, keys[0])
      slope, gap = jax.grad(critic_loss, has_aux=True)(
        judge, real[i], fake, keys[1]
      )
      change, moments = optimizer.update(slope, moments)
      judge = optax.apply_updates(judge, change)
    last = jax.random.fold_in(key, config.critic_steps)
    loss, slope = jax.value_and_grad(
      lambda params: -jnp.mean(rate(judge, generate(params, last)))
    )(state.generator)
    change, other = optimizer.update(slope, state.generator_moments)
    made = optax.apply_updates(state.generator, change)
    return State(made, judge, other, moments), {"gap": gap, "loss": loss}

  def batches(number: int) -> np.ndarray:
    rng = np.random.default_rng([config.loop.seed, number])
    return codes[rng.integers(0, len(codes), rows)]

  state = run_steps(
    state,
    step,
    batches,
    config=config.loop,
    workdir=workdir.absolute(),
    devices=share_devices(1),
    progress=progress,
  )
  return finish(model, "generator", config, state.generator)


def sample_codes(model: ShapeModel, count: int, *, seed: int) -> np.ndarray:
  """Returns new codes, float32 [count, Z], from the model's generator.

  Raises:
    Dr3dError: the model has no generator.
  """
  config = model.config.generator
  if config is None:
    raise Dr3dError(
      "the shape model has no generator; train it with experiments.shape_train"
      " --only=generator."
    )
  generator, _ = _networks(config, model.config.autoencoder.code_size)
  noise = draw_noise(jax.random.key(seed), count, config=config)
  logits = generator.apply(model.params["generator"], noise)
  return np.asarray(jax.nn.sigmoid(logits))
