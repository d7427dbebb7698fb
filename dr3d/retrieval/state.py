"""What training changes, and how the two optimizers move it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dr3d.camera.view import Views, project

Array = jax.Array

PARTS = ("viewpoint", "camera", "light", "material")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """How T and G move.

  Attributes:
    embed_rate: peak learning rate of T (AdamW, warm-up and cosine).
    embed_decay: weight decay of T.
    render_rate: peak learning rate of G (Adam, the same schedule).
    trainable: the parts of θ_G that move, of `PARTS`; the others are frozen.
    render_every: G moves in one of so many steps; 1 is the patent's way. G has
      few parameters, and its gradient costs as much as the rest of a step.
    explore: steps at the start under viewpoints drawn at random, after which G
      goes on from those that L_G chooses, see `exploration.find_viewpoints`;
      with 0 it begins where the pipeline has them.
    average: decay of the running means of θ_T and θ_G that are kept.
    steps: length of the schedule.
  """

  embed_rate: float = 2e-3
  embed_decay: float = 1e-4
  render_rate: float = 1e-3
  trainable: tuple[str, ...] = PARTS
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
    views: θ_G.
    weights: θ_T.
    prototypes: `[K, D]`, one learned vector for each class.
    mean_views: running mean of θ_G.
    mean_weights: running mean of θ_T.
    render_moments: state of G's optimizer.
    embed_moments: state of T's optimizer.
    distance: running mean of the squared distance between images.
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
  """The optimizers of T and of G."""
  warm_up = max(1, min(50, config.steps // 10))

  def schedule(rate):
    return optax.warmup_cosine_decay_schedule(
      0.1 * rate, rate, warm_up, max(config.steps, warm_up + 1), 0.01 * rate
    )

  embed = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(
      schedule(config.embed_rate), weight_decay=config.embed_decay, b2=0.99
    ),
  )
  render_ = optax.chain(
    optax.clip_by_global_norm(1.0), optax.adam(schedule(config.render_rate))
  )
  return embed, render_


def make_state(
  views: Views, weights: Any, prototypes: Array, *, config: OptimizerConfig
) -> State:
  """The state before the first step.

  Args:
    views: θ_G.
    weights: θ_T.
    prototypes: `[K, D]`, not zero; see `prototype_loss`.
    config: which parts of θ_G move, and how.

  Raises:
    ValueError: a name in `config.trainable` is none of `PARTS`.
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
    distance=jnp.asarray(2.0, jnp.float32),
  )


def select_parts(views: Views, parts: tuple[str, ...]) -> Views:
  """A tree like θ_G: 1 where a part is trainable, 0 where it is frozen.

  Raises:
    ValueError: a name is none of `PARTS`.
  """
  unknown = sorted(set(parts) - set(PARTS))
  if unknown:
    raise ValueError(f"parts of G are {PARTS}, not {unknown}.")

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
    g_views: G's gradient; where None, G stays.
    g_embed: T's, of the weights and the prototypes.
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
    """What is frozen keeps its bits, whatever `project` would do to it."""
    return jax.tree.map(lambda n, o, m: jnp.where(m > 0, n, o), new, old, mask)

  if g_views is not None:
    steps, render_moments = render_.update(g_views, render_moments)
    views = thaw(project(optax.apply_updates(views, steps)), views)

  step = state.step + 1
  # Early on the mean forgets faster, or it would remember the random start.
  decay = jnp.minimum(config.average, (1.0 + step) / (10.0 + step))

  def average(mean, new):
    return jax.tree.map(lambda m, x: decay * m + (1 - decay) * x, mean, new)

  return State(
    step=step,
    views=views,
    weights=weights,
    prototypes=prototypes,
    mean_views=thaw(project(average(state.mean_views, views)), views),
    mean_weights=average(state.mean_weights, weights),
    render_moments=render_moments,
    embed_moments=embed_moments,
    distance=0.95 * state.distance + 0.05 * distance,
  )
