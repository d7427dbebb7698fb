"""Pipelines whose T starts from what photographs of ImageNet have taught.

`N` views, `D` feature size.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.error import PipelineError
from dr3d.mesh import Mesh
from dr3d.nn.encoder import POOLED
from dr3d.nn.imagenet import load_imagenet
from dr3d.nn.lite0 import FEATURE_SIZE
from dr3d.nn.whitening import Whitening, fit_whitening, to_dense
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.pipeline_config import PipelineConfig


def start_from_imagenet(
  config: PipelineConfig, meshes: Sequence[Mesh], *, seed: int = 0
) -> Pipeline:
  """Returns a pipeline with EfficientNet-Lite0 before any training.

  The affine map behind the network whitens its features along the principal
  directions of those of the meshes.

  Args:
    config: its encoder is `"lite0"`, and D at most 320.
    meshes: of many kinds, about a hundred or more.
    seed: of nothing but unused weights; see `Pipeline.create`.

  Raises:
    PipelineError: the weights are not installed.
    ValueError: the configuration has another encoder, or there are fewer
      meshes than two.
  """
  if config.embed.backbone != "lite0":
    raise ValueError(f"the encoder must be lite0, not {config.embed.backbone}.")
  start = Pipeline.create(config, seed=seed)
  return _with_imagenet(start, meshes)


def join_imagenet(small: Pipeline, meshes: Sequence[Mesh]) -> Pipeline:
  """Returns a pipeline whose vectors hold those of another and of Lite0.

  It renders once, at twice the height and width, with the views of the other
  pipeline, whose encoder sees the images halved.

  Args:
    small: a trained pipeline with the small encoder.
    meshes: of many kinds, as in `start_from_imagenet`.

  Raises:
    PipelineError: the weights are not installed, or the encoder of `small` is
      not the small one.
  """
  config, embed = small.config, small.config.embed
  if embed.backbone != "small" or embed.mixes_views:
    raise PipelineError(
      "a pipeline can be joined with EfficientNet-Lite0 if its encoder is the"
      " small one without exchange between views."
    )
  size = embed.feature_size
  config = dataclasses.replace(
    config,
    width=config.width and POOLED * config.width,
    render=dataclasses.replace(config.render, size=POOLED * config.render.size),
    embed=dataclasses.replace(embed, backbone="lite0"),
  )
  large = _with_imagenet(
    dataclasses.replace(Pipeline.create(config), views=small.views), meshes
  )
  whitening = small.whitening or Whitening(np.zeros(size), np.eye(size))
  weights = {
    "params": {
      "small": small.weights["params"],
      "projection": to_dense(whitening),
      "large": large.weights["params"],
    }
  }
  embed = dataclasses.replace(embed, backbone="joint", feature_size=2 * size)
  return Pipeline(
    dataclasses.replace(config, embed=embed), small.views, _to_arrays(weights)
  )


def _with_imagenet(start: Pipeline, meshes: Sequence[Mesh]) -> Pipeline:
  """Replaces the weights of a pipeline with the encoder `"lite0"`."""
  size = start.config.embed.feature_size
  network = load_imagenet()["params"]
  plain = _with_weights(
    start,
    network,
    Whitening(np.zeros(FEATURE_SIZE), np.eye(FEATURE_SIZE)),
  )
  whitening = fit_whitening(plain.embed(meshes), size=size)
  return _with_weights(start, network, whitening)


def _with_weights(
  pipeline: Pipeline, network: Any, whitening: Whitening
) -> Pipeline:
  config = pipeline.config
  size = whitening.matrix.shape[1]
  embed = dataclasses.replace(config.embed, feature_size=size)
  params = {"lite0": network, "projection": to_dense(whitening)}
  return Pipeline(
    dataclasses.replace(config, embed=embed),
    pipeline.views,
    _to_arrays({"params": params}),
  )


def _to_arrays(tree: Any) -> Any:
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)
