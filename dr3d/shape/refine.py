"""Codes nearer to known shapes, by gradient descent on the decoder.

An encoder makes a code in one pass, and what it misses the decoder could still
draw. Where the shape is known, its occupancy tells in which direction the code
must move, as in decoders without an encoder.

`B` shapes, `P` points of a step, `Z` size of a code.

References:
  J. J. Park et al., DeepSDF (CVPR 2019), section 4.2: codes by optimisation,
  with a prior.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.shape.autoencoder import compute_loss, make_networks
from dr3d.shape.config import AutoencoderConfig
from dr3d.shape.sample import BUDGETS, place_points, sample_voxels

Array = jax.Array

_BATCH = 8  # shapes that are refined together, so that one program is compiled
_MARGIN = 1e-3  # of a number of the code to 0 and 1, where the logit ends


@dataclasses.dataclass(frozen=True)
class RefineConfig:
  """How codes are refined.

  Attributes:
    steps: of Adam; 0 leaves the codes as they are.
    rate: of Adam, on the logits of the code.
    prior: weight of the mean squared distance of these logits from those of
      the encoder, beside the mean loss of a point.
    points: of a shape and a step.
    seed: of the choice of points.
  """

  steps: int = 200
  rate: float = 0.2
  prior: float = 1e-3
  points: int = 2048
  seed: int = 0


def refine_codes(
  params: Any,
  codes: np.ndarray,
  voxels: np.ndarray,
  *,
  network: AutoencoderConfig,
  config: RefineConfig | None = None,
) -> np.ndarray:
  """Returns codes whose decoded shapes are nearer to the voxels.

  Args:
    params: Flax variables of the decoder.
    codes: float [B, Z] in (0, 1), of the encoder.
    voxels: bool [B, 64, 64, 64] of the same shapes.
    network: settings of the decoder.
    config: of the refinement.

  Returns:
    float32 [B, Z] in (0, 1).
  """
  config = config or RefineConfig()
  if not config.steps:
    return np.asarray(codes, np.float32)
  rng = np.random.default_rng(config.seed)
  refined = []
  for start in range(0, len(codes), _BATCH):
    part = np.asarray(codes[start : start + _BATCH], np.float32)
    missing = _BATCH - len(part)
    points, inside = zip(
      *(_sample(each, rng) for each in voxels[start : start + _BATCH]),
      strict=True,
    )
    rows = [0] * missing  # the first shape fills the batch
    result = _descend(
      params,
      np.concatenate([part, part[rows]]),
      np.concatenate([points, np.stack(points)[rows]]),
      np.concatenate([inside, np.stack(inside)[rows]]),
      jax.random.key(config.seed),
      network=network,
      config=config,
    )
    refined.append(np.asarray(result)[: len(part)])
  return np.concatenate(refined)


def _sample(
  voxels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """Points of a shape, most of them near the surface, and occupancy."""
  resolution = len(voxels)
  budget = min(2 * BUDGETS[resolution], voxels.size)
  index, inside = sample_voxels(voxels, rng=rng, budget=budget)
  return place_points(index, resolution=resolution), inside


@functools.partial(jax.jit, static_argnames=("network", "config"))
def _descend(
  params: Any,
  codes: Array,
  points: Array,
  inside: Array,
  key: Array,
  *,
  network: AutoencoderConfig,
  config: RefineConfig,
) -> Array:
  decoder = make_networks(network)[1]
  start = jax.scipy.special.logit(jnp.clip(codes, _MARGIN, 1 - _MARGIN))
  optimizer = optax.adam(optax.cosine_decay_schedule(config.rate, config.steps))

  def measure(logits: Array, chosen: Array) -> Array:
    place, value = points[:, chosen], jnp.float32(inside[:, chosen])
    drawn = decoder.apply(params, jax.nn.sigmoid(logits), place)
    loss = compute_loss(drawn, value, kind=network.loss).mean(axis=1)
    away = jnp.mean((logits - start) ** 2, axis=1)
    # A sum over shapes, so that each moves as it would alone.
    return jnp.sum(loss + config.prior * away)

  def step(state: Any, key: Array) -> tuple[Any, None]:
    logits, moments = state
    chosen = jax.random.randint(key, (config.points,), 0, points.shape[1])
    change, moments = optimizer.update(
      jax.grad(measure)(logits, chosen), moments
    )
    return (optax.apply_updates(logits, change), moments), None

  keys = jax.random.split(key, config.steps)
  (logits, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), keys)
  return jax.nn.sigmoid(logits)
