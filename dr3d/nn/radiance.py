"""Radiance fields: a point and a latent code → density and colour.

`O` objects, `P` points of each, `Z` latent size.

References:
  WO 2023/080921 [0164, 0165, 0178]: a foreground without view direction and a
  background of the ray's direction, both conditioned on a latent.
"""

import dataclasses
import functools
import operator

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array

DENSITY_SCALE = 20.0
"""Density of an output of about 1, in inverse radii of the object. A surface
needs a density of about the number of samples of a ray, which a network would
otherwise have to learn as large weights."""

FIRST_DENSITY = -2.0
"""Added to the raw density: a field starts almost empty, so that light reaches
its middle."""


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
  """Sizes of the two networks.

  Attributes:
    latent: Z. The text has 256 for small and 2048 for large pictures.
    width: of the foreground; the text has 256 and 1024.
    depth: its hidden layers; the standard radiance field has 8.
    degree: octaves of the positional encoding, from the object's radius down.
    split: the latent is cut into `depth` slices, and each layer gets one with
      the encoding. This is the variant of the authors' later program. Otherwise
      the whole latent enters at the first layer and at the middle.
    background: whether there is a background model. A solid background needs
      none, and a network could paint the object on it.
    background_width: of its 5 layers; the text has 256.
  """

  latent: int = 64
  width: int = 128
  depth: int = 6
  degree: int = 5
  split: bool = False
  background: bool = True
  background_width: int = 64


STANDARD = NetworkConfig(latent=256, width=256, depth=8, background_width=256)
"""The sizes of the text for pictures of one kind at 128 x 128 pixels [0178]."""


def check_network(config: NetworkConfig) -> None:
  """Raises a ValueError if the sizes contradict each other."""
  sizes = (config.latent, config.width, config.background_width)
  if min(sizes) < 1 or config.depth < 2 or config.degree < 0:
    raise ValueError(
      "latent, width and background_width must be at least 1, depth at least 2"
      f" and degree at least 0, got {config}."
    )
  if config.split and config.latent % config.depth:
    raise ValueError(
      f"split needs a latent that depth divides, got {config.latent} and"
      f" {config.depth}."
    )


def encode(x: Array, *, degree: int) -> Array:
  """Encodes coordinates by themselves, their sines and their cosines.

  Args:
    x: `[..., 3]` in [-1, 1].
    degree: octaves L; the frequencies are π/2 · 2^0 … 2^(L-1).

  Returns:
    `[..., 3 + 6 L]`.

  References:
    Mildenhall et al., NeRF, 2020, equation 4; the identity is prepended, and
    the lowest frequency has one half period over the object.
  """
  turns = (jnp.pi / 2) * 2.0 ** jnp.arange(degree)
  angle = (x[..., None, :] * turns[:, None]).reshape(*x.shape[:-1], -1)
  return jnp.concatenate([x, jnp.sin(angle), jnp.cos(angle)], axis=-1)


class Foreground(nn.Module):
  """`[O, P, 3]` points and `[O, Z]` codes → density and colour."""

  config: NetworkConfig

  @nn.compact
  def __call__(self, points: Array, codes: Array) -> tuple[Array, Array]:
    """Returns `[O, P]` density, not negative, and `[O, P, 3]` colour."""
    config = self.config
    code = encode(points, degree=config.degree)
    slices = _slice(codes, config)
    hidden: Array | None = None
    for layer in range(config.depth):
      # A concatenation followed by a linear map is a sum of linear maps, and
      # that of the latent is the same for all points of an object.
      terms = [] if hidden is None else [_dense(config.width, hidden)]
      entering = slices[layer]
      if entering is not None:
        terms.append(_dense(config.width, code, bias=False))
        terms.append(_dense(config.width, entering)[:, None])
      hidden = nn.relu(functools.reduce(operator.add, terms))
    assert hidden is not None  # there is a layer
    raw = _dense(4, hidden)
    density = DENSITY_SCALE * nn.softplus(raw[..., 0] + FIRST_DENSITY)
    return density, nn.sigmoid(raw[..., 1:])


class Background(nn.Module):
  """`[O, P, 3]` unit directions of rays and `[O, Z]` codes → `[O, P, 3]`."""

  config: NetworkConfig

  @nn.compact
  def __call__(self, directions: Array, codes: Array) -> Array:
    """Returns the colour of each ray's background [0165, 0178]."""
    width = self.config.background_width
    code = encode(directions, degree=self.config.degree)
    hidden = _dense(width, code, bias=False)
    hidden = nn.relu(hidden + _dense(width, codes)[:, None])
    for _ in range(4):
      hidden = nn.relu(_dense(width, hidden))
    return nn.sigmoid(_dense(3, hidden))


def _slice(codes: Array, config: NetworkConfig) -> list[Array | None]:
  """The part of the latent that enters each layer."""
  if config.split:
    return list(jnp.split(codes, config.depth, axis=-1))
  entries = {0, config.depth // 2}
  return [codes if i in entries else None for i in range(config.depth)]


def _dense(width: int, x: Array, *, bias: bool = True) -> Array:
  """Applies a layer that belongs to the module which calls."""
  start = nn.initializers.he_normal()
  return nn.Dense(width, use_bias=bias, kernel_init=start)(x)
