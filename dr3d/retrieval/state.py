"""The state of a run, and the two optimizers that change it.

θ_G are the parameters of the renderer G (`Views`), θ_T those of the encoder T.
`N` views, `K` classes, `D` feature size.
"""

import dataclasses
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax

from dr3d.camera.view import Views, project
from dr3d.training.optimizer import clip_gradient, schedule_rate, update_mean

Array = jax.Array

Part = Literal["viewpoint", "camera", "light", "material"]

PARTS: tuple[Part, ...] = get_args(Part)

DISTANCE_SHARE = 0.05  # of a step in the running mean: it spans some 20 steps


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """How T and G move.

  Attributes:
    embed_rate: peak learning rate of T (AdamW), see `optimizer.schedule_rate`.
    embed_decay: weight decay of T.
    render_rate: peak learning rate of G (Adam, the same schedule).
    trainable: the parts of θ_G that move; the others are frozen.
    render_every: G moves in every n-th step; 1 is the patent's way. G has few
      parameters, and its gradient costs as much as the rest of a step.
    explore: steps at the start under random viewpoints. Then G starts from the
      viewpoints with the least L_G, see `exploration.find_viewpoints`. With 0
      it starts from those of the pipeline.
    average: decay of the running means of θ_T and θ_G, which a run ends with.
    steps: length of the run.
  """

  embed_rate: float = 2e-3
  embed_decay: float = 1e-4
  render_rate: float = 1e-3
  trainable: tuple[Part, ...] = PARTS
  render_every: int = 4
  explore: int = 0
  average: float = 0.99
  steps: int = 600


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """All that a step changes, and all that a checkpoint holds.

  Attributes:
    step: int32 `[]`, steps made.
    views: θ_G, N views.
    weights: θ_T, Flax variables.
    prototypes: `[K, D]`, one learned vector for each class.
    mean_views: running mean of θ_G.
    mean_weights: running mean of θ_T.
    render_moments: state of G's optimizer.
    embed_moments: state of T's optimizer.
    distance: `[]` running mean of the squared distance between images.
  """

  step: Array
  views: Views
  weights: Any
  prototypes: Array
  mean_views: Views
  mean_weights: Any
  render_moments: Any
  embed_moments: Any
  distance: Array


def make_optimizers(
  config: OptimizerConfig,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
  """Returns the optimizers of T and of G."""
  embed_rate = schedule_rate(config.embed_rate, steps=config.steps)
  render_rate = schedule_rate(config.render_rate, steps=config.steps)
  # With the usual b2 of 0.999 the second moments would average over about 1 000
  # steps, more than many runs have.
  embed = optax.adamw(embed_rate, weight_decay=config.embed_decay, b2=0.99)
  return clip_gradient(embed), clip_gradient(optax.adam(render_rate))


def make_state(
  views: Views, weights: Any, prototypes: Array, *, config: OptimizerConfig
) -> State:
  """Returns the state before the first step.

  Args:
    views: θ_G.
    weights: θ_T.
    prototypes: `[K, D]`, not zero; see `loss.prototype_loss`.
    config: which parts of θ_G move, and how.

  Raises:
    ValueError: `config.trainable` holds a name that is not in `PARTS`.
  """
  select_parts(views, config.trainable)
  embed, render_ = make_optimizers(config)
  return State(
    step=jnp.asarray(0, jnp.int32),
    views=views,
    weights=weights,
    prototypes=prototypes,
    mean_views=views,
    mean_weights=weights,
    render_moments=render_.init(views),
    embed_moments=embed.init((weights, prototypes)),
    # The expectation for independent unit vectors.
    distance=jnp.asarray(2.0, jnp.float32),
  )


def select_parts(views: Views, parts: tuple[Part, ...]) -> Views:
  """Returns a mask of θ_G: 1 for trainable parts, 0 for frozen ones.

  Args:
    views: θ_G.
    parts: the trainable parts.

  Raises:
    ValueError: `parts` holds a name that is not in `PARTS`.
  """
  unknown = sorted(set(parts) - set(PARTS))
  if unknown:
    raise ValueError(f"trainable parts of G are {PARTS}, not {unknown}.")

  def fill(tree, part):
    return jax.tree.map(lambda _: jnp.float32(part in parts), tree)

  return Views(
    quaternion=fill(views.quaternion, "viewpoint"),
    distance=fill(views.distance, "camera"),
    fov=fill(views.fov, "camera"),
    light=fill(views.light, "light"),
    material=fill(views.material, "material"),
    offset=fill(views.offset, "camera"),
    principal=fill(views.principal, "camera"),
  )


def move(
  state: State,
  g_views: Views | None,
  g_embed: Any,
  distance: Array,
  config: OptimizerConfig,
) -> State:
  """Applies the gradients of one step.

  Args:
    state: before the step.
    g_views: gradient of θ_G; if None, G does not move.
    g_embed: gradients of the weights and of the prototypes.
    distance: `[]` mean squared distance between the images of this step.
    config: the optimizers.

  Returns:
    The state after the step.
  """
  embed, render_ = make_optimizers(config)
  learned = (state.weights, state.prototypes)
  steps, embed_moments = embed.update(g_embed, state.embed_moments, learned)
  weights, prototypes = optax.apply_updates(learned, steps)
  views, render_moments = state.views, state.render_moments
  mask = select_parts(views, config.trainable)

  def thaw(new, old):
    """Keeps frozen parts bit for bit, since `project` may round them."""
    return jax.tree.map(lambda n, o, m: jnp.where(m > 0, n, o), new, old, mask)

  if g_views is not None:
    steps, render_moments = render_.update(g_views, render_moments)
    views = thaw(project(optax.apply_updates(views, steps)), views)

  step = state.step + 1

  def average(mean, new):
    return update_mean(mean, new, step=step, decay=config.average)

  return State(
    step=step,
    views=views,
    weights=weights,
    prototypes=prototypes,
    mean_views=thaw(project(average(state.mean_views, views)), views),
    mean_weights=average(state.mean_weights, weights),
    render_moments=render_moments,
    embed_moments=embed_moments,
    distance=(1 - DISTANCE_SHARE) * state.distance + DISTANCE_SHARE * distance,
  )
