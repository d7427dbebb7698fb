"""Where G begins: of many viewpoints those that tell the models apart.

The gradient of L_G leads no farther than to the next hollow. Where T has seen
models from everywhere, L_G can be read off at as many viewpoints as one likes.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import random_views, take_views
from dr3d.mesh import Mesh
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.separation import Objective, batch_separation_loss

Array = jax.Array

CANDIDATES = 64  # viewpoints drawn at least, and twice as many as are found


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
  """Draws viewpoints at random and takes the best of them by L_G.

  One after the other: each is the one that, beside those already taken, leaves
  the least L_G, whose δ follows the mean distance under the very views.

  Args:
    pipeline: its T, which should have seen models from everywhere, sees each
      candidate by the camera and lights of its first view.
    meshes: models to tell apart.
    classes: int `[B]`, class of each model.
    count: N, viewpoints to find; at most `candidates`.
    candidates: viewpoints drawn, uniform over all rotations; 64, or twice
      `count` if that is more, where None.
    objective: as in `separation.batch_separation_loss`.
    seed: of the viewpoints drawn.

  Returns:
    float32 `[N, 4]` unit quaternions; the first of them are those that a
    smaller `count` finds.

  Raises:
    ValueError: more viewpoints are asked for than there are candidates.

  References:
    WO 2021/178001, Eq. 3 [0027–0029] for the loss; the choice is not in the
    patent.
  """
  if candidates is None:
    candidates = max(CANDIDATES, 2 * count)
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
  """Of C views those N that leave the least L_G, one after the other.

  Args:
    features: `[B, C, D]`.
    classes: int `[B]`, as `labels` of `separation.batch_separation_loss`.
    count: N, at most C.
    objective: the same.

  Returns:
    N different views, the best one first.
  """

  @jax.jit
  def rate(features, taken):
    def loss(view):
      some = jnp.concatenate([taken, features[:, view][:, None]], axis=1)
      terms = batch_separation_loss(
        some, labels=classes, objective=objective, scale=None
      )
      return terms.between

    return jax.lax.map(loss, jnp.arange(features.shape[1]))

  chosen: list[int] = []
  for _ in range(count):
    losses = np.array(rate(features, features[:, np.array(chosen, int)]))
    losses[chosen] = np.inf
    chosen.append(int(np.argmin(losses)))
  return chosen
