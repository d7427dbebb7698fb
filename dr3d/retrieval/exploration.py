"""The viewpoints that G starts from: those of many that separate the models.

The gradient of L_G leads only to the nearest local minimum. A run can therefore
explore first: T sees models from random viewpoints, then L_G is evaluated at
many candidates and the best of them are kept. This is not in the patent.

`B` models, `C` candidate viewpoints, `N` views to find, `D` feature size.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import random_views, take_views
from dr3d.mesh import Mesh
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.product import draw_models, mean_pipeline
from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.separation import Objective, batch_separation_loss
from dr3d.retrieval.state import State

Array = jax.Array

# Candidates drawn if the caller names no number: at least 64, and at least two
# for each view to find.
CANDIDATES_MIN = 64
CANDIDATES_PER_VIEW_MIN = 2

# Bounds the time for the candidates' images: 64 or more of each model.
EXPLORATION_MODELS_MAX = 256


def make_explorer(
  meshes: Sequence[Mesh], classes: np.ndarray, config: TrainConfig
) -> Callable[[State, int], State]:
  """Returns the loop's hook that chooses viewpoints when exploration ends.

  Args:
    meshes: the models that the run learns from. At most
      `EXPLORATION_MODELS_MAX` of them, drawn at random, choose.
    classes: int `[M]`, class of each model.
    config: the run; exploration lasts `config.optimizer.explore` steps.

  Returns:
    A function of the state and the number of the step, from 1.
  """

  def explore(state: State, step: int) -> State:
    if step != config.optimizer.explore:
      return state
    some = draw_models(
      len(meshes), largest=EXPLORATION_MODELS_MAX, seed=config.seed
    )
    quaternion = find_viewpoints(
      mean_pipeline(state, config),
      [meshes[i] for i in some],
      classes[some],
      count=state.views.count,
      objective=config.loss.separation,
      seed=config.seed,
    )
    return set_viewpoints(state, quaternion)

  return explore


def set_viewpoints(state: State, quaternion: Array | np.ndarray) -> State:
  """Returns the state with other viewpoints, also as their running mean.

  Args:
    state: of a run.
    quaternion: `[N, 4]` unit quaternions w, x, y, z.
  """
  # On the same devices as before, or the next step would be compiled again.
  sharding = state.views.quaternion.sharding
  placed = jax.device_put(jnp.asarray(quaternion), sharding)
  views = dataclasses.replace(state.views, quaternion=placed)
  mean = dataclasses.replace(state.mean_views, quaternion=placed)
  return dataclasses.replace(state, views=views, mean_views=mean)


def find_viewpoints(
  pipeline: Pipeline,
  meshes: Sequence[Mesh],
  classes: np.ndarray,
  *,
  count: int,
  candidates: int | None = None,
  objective: Objective = "models",
  seed: int = 0,
) -> np.ndarray:
  """Draws viewpoints at random and keeps those with the least L_G.

  The choice is greedy: each viewpoint is the one that, together with those
  already chosen, has the least L_G. The scale δ of L_G follows the mean
  distance under these same views.

  Args:
    pipeline: its T should have been trained on random viewpoints. Every
      candidate uses the camera and the lights of the pipeline's first view.
    meshes: B models to separate.
    classes: int `[B]`, class of each model.
    count: N, viewpoints to find; at most `candidates`.
    candidates: C, viewpoints drawn, uniform over all rotations. If None, 64 or
      2·N, whichever is larger.
    objective: as in `separation.batch_separation_loss`.
    seed: seed of the viewpoints drawn.

  Returns:
    float32 `[N, 4]` unit quaternions w, x, y, z. The same call with a smaller
    `count` and the same `candidates` returns the first of them.

  Raises:
    ValueError: `count` is above `candidates`, or below 1.

  References:
    WO 2021/178001, Eq. 3 [0027–0029], for the loss.
  """
  if candidates is None:
    candidates = max(CANDIDATES_MIN, CANDIDATES_PER_VIEW_MIN * count)
  if not 1 <= count <= candidates:
    raise ValueError(
      f"count must be between 1 and candidates = {candidates}, got {count}."
    )
  quaternion = random_views(jax.random.key(seed), count=candidates)
  first = take_views(pipeline.views, np.zeros(candidates, int))
  everywhere = dataclasses.replace(
    pipeline,
    config=dataclasses.replace(pipeline.config, view_count=candidates),
    views=dataclasses.replace(first, quaternion=quaternion),
  )
  features = jnp.asarray(everywhere.embed(list(meshes)))
  chosen = choose_views(
    features, jnp.asarray(classes), count=count, objective=objective
  )
  return np.asarray(quaternion)[chosen]


def choose_views(
  features: Array, classes: Array, *, count: int, objective: Objective
) -> list[int]:
  """Chooses N of C views greedily by the least L_G.

  Args:
    features: `[B, C, D]` unit vectors.
    classes: int `[B]`, as `labels` of `separation.batch_separation_loss`.
    count: N, at most C.
    objective: as in `separation.batch_separation_loss`.

  Returns:
    N different indices of views, in the order of the choice.
  """

  @jax.jit
  def evaluate(features, taken):
    def loss(view):
      some = jnp.concatenate([taken, features[:, view][:, None]], axis=1)
      terms = batch_separation_loss(
        some, labels=classes, objective=objective, scale=None
      )
      return terms.between

    return jax.lax.map(loss, jnp.arange(features.shape[1]))

  chosen: list[int] = []
  for _ in range(count):
    losses = np.array(evaluate(features, features[:, np.array(chosen, int)]))
    losses[chosen] = np.inf  # no view twice
    chosen.append(int(np.argmin(losses)))
  return chosen
