"""The compiled programs of a pipeline: G alone, T alone, and both in one.

`B` models, `N` views, `M` images of a model, `H W` pixels, `D` feature size.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import VariableDict
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import PartitionSpec

from dr3d.camera.view import Views
from dr3d.nn.config import EncoderConfig
from dr3d.nn.encoder import make_encoder
from dr3d.nn.whitening import Whitening, whiten
from dr3d.render.budget import Budget
from dr3d.render.renderer import Renderer, draw_views
from dr3d.retrieval.pipeline_config import PipelineConfig
from dr3d.runtime.device import AXIS, spread_views

Array = jax.Array


def check_images(images: np.ndarray | Array, config: PipelineConfig) -> None:
  """Raises a ValueError if images are not as T needs them."""
  shape, size = images.shape, config.render.size
  width = config.width or size
  fits = len(shape) == 5 and shape[2:] == (size, width, 4) and shape[1] > 0
  if not fits or not jnp.issubdtype(images.dtype, jnp.floating):
    raise ValueError(
      f"images must be floats in [0, 1] of the shape [B, M, {size}, {width}, 4]"
      f" with M at least 1, got {images.dtype} {list(shape)}."
    )


draw = jax.jit(draw_views, static_argnames=("budget", "devices"))


@functools.partial(jax.jit, static_argnames="config")
def embed_images(
  weights: VariableDict,
  whitening: Whitening | None,
  images: Array | np.ndarray,
  *,
  config: EncoderConfig,
) -> Array:
  """`[B, M, H, W, 4]` images to `[B, M, D]` unit vectors."""
  features: Any = make_encoder(config).apply(weights, images)
  return features if whitening is None else whiten(features, whitening)


@functools.partial(jax.jit, static_argnames=("config", "devices"))
def embed_spread(
  weights: VariableDict,
  whitening: Whitening | None,
  images: Array,
  *,
  config: EncoderConfig,
  devices: DeviceMesh,
) -> Array:
  """`embed_images` of all N views, each device with its share of them."""
  call = functools.partial(embed_images, config=config)
  each, common = PartitionSpec(None, AXIS), PartitionSpec()
  return jax.shard_map(
    call,
    mesh=devices,
    in_specs=(common, common, each),
    out_specs=each,
    check_vma=False,
  )(weights, whitening, images)


@functools.partial(jax.jit, static_argnames=("config", "budget", "devices"))
def embed_rendered(
  weights: VariableDict,
  whitening: Whitening | None,
  views: Views,
  renderer: Renderer[Any],
  *,
  config: PipelineConfig,
  budget: Budget[Any],
  devices: DeviceMesh,
) -> tuple[Array, Any]:
  """A renderer's B models to `[B, N, D]` unit vectors, and its usage."""

  def draw_and_embed(
    renderer: Renderer[Any], views: Views
  ) -> tuple[Array, Any]:
    images, usage = renderer.render(views, budget=budget)
    return embed(images), usage

  def embed(images: Array) -> Array:
    check_images(images, config)
    return embed_images(weights, whitening, images, config=config.embed)

  renderer = jax.tree.map(jnp.asarray, renderer)
  if config.embed.mixes_views:  # a vector depends on all views of its model
    images, usage = draw_views(renderer, views, budget=budget, devices=devices)
    return embed(images), usage
  return spread_views(draw_and_embed, devices)(renderer, views)


@functools.partial(jax.jit, static_argnames="config")
def init_weights(key: Array, *, config: PipelineConfig) -> VariableDict:
  """Random weights of T."""
  # Without jit, every operation of every layer is compiled on its own.
  size = config.render.size
  width = config.width or size
  images = jnp.zeros((1, config.view_count, size, width, 4))
  return make_encoder(config.embed).init(key, images)
