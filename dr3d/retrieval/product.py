"""What a run ends with: the pipeline of a state, whitened if asked for."""

from collections.abc import Sequence

import jax
import numpy as np

from dr3d.mesh import Mesh
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.state import State

# Bounds the time that the vectors take at the end of a run.
WHITENING_MODELS_MAX = 2048


def make_product(
  state: State, meshes: Sequence[Mesh], config: TrainConfig
) -> Pipeline:
  """Returns the pipeline that a run ends with.

  Args:
    state: after the last step.
    meshes: the models that it learned from. The whitening, if any, is fitted
      to at most `WHITENING_MODELS_MAX` of them.
    config: the run.
  """
  pipeline = mean_pipeline(state, config)
  if not config.whitening:
    return pipeline
  some = draw_models(
    len(meshes), largest=WHITENING_MODELS_MAX, seed=config.seed
  )
  return pipeline.whitened([meshes[i] for i in some], power=config.whitening)


def mean_pipeline(state: State, config: TrainConfig) -> Pipeline:
  """Returns the pipeline with the running means of θ_G and θ_T.

  The arrays are on the host: a pipeline chooses its own devices, and N views
  may not divide among those of training.

  Args:
    state: after any step.
    config: the run.
  """
  views, weights = jax.device_get((state.mean_views, state.mean_weights))
  return Pipeline(config.pipeline, views, weights)


def draw_models(count: int, *, largest: int, seed: int) -> np.ndarray:
  """Returns indices of at most `largest` of `count` models, in random order."""
  return np.random.default_rng(seed).permutation(count)[:largest]
