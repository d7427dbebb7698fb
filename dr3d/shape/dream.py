"""Activation maximisation: pictures that a number of the code responds to.

`H W` pixels.

References:
  D. Erhan et al., Visualizing higher-layer features of a deep network (2009).
  A. Mahendran and A. Vedaldi, Understanding deep image representations by
  inverting them (CVPR 2015): total variation.
  A. Mordvintsev et al., Inceptionism (2015): octaves and shifts. Gradients of a
  picture's pixels alone lead to noise that no shifted copy responds to.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.nn.resnet import PictureEncoder
from dr3d.shape.model import ShapeModel

Array = jax.Array

_EMPTY = -2.0  # logit of the grey at the start, nearly that of the background
_RATE = 0.1  # of the coarsest octave; each finer one has half of the former


@dataclasses.dataclass(frozen=True)
class DreamConfig:
  """How pictures are sought.

  Attributes:
    steps: of Adam.
    octaves: height and width of the layers whose enlarged sum is the picture,
      in pixels. The finer ones join one after the other.
    shifts: copies of each step, shifted at random.
    reach: largest shift, pixels; so wide a border stays empty.
    variation: weight of the total variation.
    ink: weight of the mean grey, which keeps the background empty.
  """

  steps: int = 160
  octaves: tuple[int, ...] = (8, 16, 32)
  shifts: int = 4
  reach: int = 4
  variation: float = 2.0
  ink: float = 1.0


def maximize_activations(
  model: ShapeModel,
  units: Sequence[int] | np.ndarray,
  *,
  config: DreamConfig | None = None,
  seed: int = 0,
) -> np.ndarray:
  """Returns pictures that bring a number of the code each near to 1.

  Args:
    model: with a picture encoder.
    units: indices of U numbers.
    config: how they are sought.
    seed: of the first noise and the shifts.

  Returns:
    float32 [U, H, W] in [0, 1], inverted grey as the encoder takes it.

  Raises:
    ValueError: the model has no picture encoder.
  """
  picture = model.config.picture
  if picture is None:
    raise ValueError("the shape model has no picture encoder.")
  config = config or DreamConfig()
  network: Any = PictureEncoder(
    picture.widths, model.config.autoencoder.code_size
  )
  params, size, count = model.params["picture"], picture.size, len(units)
  rows = np.arange(count)
  levels = range(len(config.octaves))
  frame = jnp.pad(jnp.ones((size - 2 * config.reach,) * 2), config.reach)
  optimizer = optax.partition(
    {i: optax.adam(_RATE * 0.5**i) for i in levels}, tuple(levels)
  )

  def compose(layers: tuple[Array, ...]) -> Array:
    shape = (count, size, size)
    whole = [jax.image.resize(x, shape, "cubic") for x in layers]
    return frame * jax.nn.sigmoid(_EMPTY + sum(whole))

  def measure(layers: tuple[Array, ...], key: Array) -> Array:
    drawn = compose(layers)
    loss = config.ink * drawn.mean((1, 2))
    for axis in (1, 2):
      loss += config.variation * jnp.abs(jnp.diff(drawn, axis=axis)).mean(
        (1, 2)
      )
    shifts = jax.random.randint(
      key, (config.shifts, 2), -config.reach, config.reach + 1
    )
    copies = jax.vmap(lambda by: jnp.roll(drawn, by, axis=(1, 2)))(shifts)
    codes = network.apply(params, copies.reshape(-1, size, size))
    seen = codes.reshape(config.shifts, count, -1)[:, rows, np.array(units)]
    # The logarithm, because the sigmoid's slope ends near 0.
    return jnp.sum(loss - jnp.log(seen + 1e-6).mean(axis=0))

  @jax.jit
  def ascend(layers: tuple[Array, ...], key: Array) -> tuple[Array, ...]:
    def body(step: Array, carry: Any) -> Any:
      layers, moments = carry
      slope = jax.grad(measure)(layers, jax.random.fold_in(key, step))
      # The finest octave joins before the middle of the run.
      share = step / config.steps
      slope = tuple(
        x * (share >= 0.5 * i / len(layers)) for i, x in enumerate(slope)
      )
      move, moments = optimizer.update(slope, moments)
      return optax.apply_updates(layers, move), moments

    start = layers, optimizer.init(layers)
    return jax.lax.fori_loop(0, config.steps, body, start)[0]

  keys = jax.random.split(jax.random.key(seed))
  first, *finer = config.octaves
  noise = 0.1 * jax.random.normal(keys[0], (count, first, first))
  layers = (noise, *(jnp.zeros((count, n, n)) for n in finer))
  return np.asarray(compose(ascend(layers, keys[1])), np.float32)
