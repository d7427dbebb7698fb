"""One step of training: render, embed, two losses, two optimizers.

`B` models in the batch, `N` views, `D` feature size. The step runs under
`shard_map` over all devices of one kind: each draws and embeds its share of the
models, the features are gathered, and both losses are those of the whole batch.
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import PartitionSpec

from dr3d import raster
from dr3d.embed import Embedder
from dr3d.pipeline import PipelineConfig
from dr3d.render import Triangles, render
from dr3d.training.augment import AugmentConfig, augment
from dr3d.training.guard import (
  coverage_guard,
  measure_spread,
  smallest_view_angle,
  variance_floor,
  view_repulsion,
)
from dr3d.training.loss import (
  batch_separation_loss,
  batch_triplet_loss,
  contrastive_loss,
  prototype_loss,
)
from dr3d.training.margin import make_margin
from dr3d.view import Views, project, take_views

Array = jax.Array

AXIS = "models"  # of the device mesh
PARTS = ("viewpoint", "camera", "light", "material")


@dataclasses.dataclass(frozen=True)
class LossConfig:
  """What T and G minimise.

  Attributes:
    task: T's loss: Eq. 1, the supervised contrastive one, or the one of
      prototypes.
    mining: negatives of Eq. 1, see `batch_triplet_loss`.
    margin: ε of Eq. 2, see `make_margin`.
    temperature: of the contrastive and the prototype loss.
    smoothing: of the prototype loss.
    objective: of Eq. 3, see `batch_separation_loss`.
    spread: weight of T's variance floor.
    repulsion: weight of the guard that keeps viewpoints apart.
    coverage: weight of the guard that keeps the object in the frame.
  """

  task: Literal["triplet", "contrastive", "prototype"] = "prototype"
  mining: Literal["all", "hard", "semihard"] = "hard"
  margin: Literal["unit", "patent"] = "unit"
  temperature: float = 0.1
  smoothing: float = 0.1
  objective: Literal["intent", "literal"] = "intent"
  spread: float = 0.5
  repulsion: float = 1.0
  coverage: float = 1.0


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
    average: decay of the running means of θ_T and θ_G that are kept.
    steps: length of the schedule.
  """

  embed_rate: float = 2e-3
  embed_decay: float = 1e-4
  render_rate: float = 5e-3
  trainable: tuple[str, ...] = PARTS
  render_every: int = 4
  average: float = 0.99
  steps: int = 800


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


@functools.partial(
  jax.jit,
  static_argnames=(
    "pipeline",
    "loss",
    "optimizer",
    "augmentation",
    "budget",
    "devices",
    "moves_views",
  ),
)
def train_step(
  state: State,
  triangles: Triangles,
  moments: Array,
  labels: Array,
  chosen: Array,
  key: Array,
  *,
  pipeline: PipelineConfig,
  loss: LossConfig,
  optimizer: OptimizerConfig,
  augmentation: AugmentConfig | None,
  budget: raster.Budget,
  devices: DeviceMesh,
  moves_views: bool = True,
) -> tuple[State, dict[str, Array], raster.Usage]:
  """Makes one step of both optimizers.

  Both gradients are taken at the same θ_G and θ_T, from one rendering: T's
  does not reach the images, G's does not reach T's weights.

  Args:
    state: before the step.
    triangles: B models.
    moments: `[B, 3]` principal second moments, for the augmentation.
    labels: int `[B]`, below K.
    chosen: int `[V]`, the views that are drawn, of all N.
    key: random key of this step.
    pipeline: the pipeline's configuration.
    loss: the losses'.
    optimizer: the optimizers'.
    augmentation: what is done to the models first; nothing where None.
    budget: of the rasterizer, for one device's share.
    devices: their number divides B.
    moves_views: whether G moves in this step; without it only T does.

  Returns:
    The state after the step, a flat dict of scalars, and the largest usage of
    any device. Where the budget does not hold it, the step is void: make it
    again, from the old state, with a larger budget.

  References:
    WO 2021/178001 [0025] for T's step, [0027–0029] for G's.
  """
  if augmentation is not None:
    triangles = augment(triangles, moments, key, config=augmentation)
  gradients = jax.shard_map(
    functools.partial(
      _gradients,
      pipeline=pipeline,
      loss=loss,
      budget=budget,
      share=len(labels) // devices.size,
    ),
    mesh=devices,
    in_specs=(PartitionSpec(),) * 5 + (PartitionSpec(AXIS),),
    out_specs=PartitionSpec(),
    check_vma=False,
  )
  # What follows of G's gradient is dropped by the compiler if nothing uses it.
  g_views, g_embed, metrics, usage = gradients(
    state.views,
    (state.weights, state.prototypes),
    state.distance,
    labels,
    chosen,
    triangles,
  )
  # A corner that is no number leaves no trace in the images: no face is drawn.
  # A sum, since a maximum may pass over it.
  metrics["extent"] = jnp.sqrt(jnp.mean(jnp.square(triangles.corners)))
  metrics["embed_gradient"] = optax.tree.norm(g_embed)
  if moves_views:
    mask = select_parts(state.views, optimizer.trainable)
    g_views = jax.tree.map(jnp.multiply, g_views, mask)
    metrics["render_gradient"] = optax.tree.norm(g_views)
  else:
    g_views = None
  state = _move(state, g_views, g_embed, metrics["distance"], optimizer)
  metrics["smallest_view_angle"] = smallest_view_angle(state.views.quaternion)
  metrics["parameters"] = optax.tree.norm((state.views, state.weights))
  return state, metrics, usage


def _move(
  state: State,
  g_views: Views | None,
  g_embed: Any,
  distance: Array,
  config: OptimizerConfig,
) -> State:
  """Applies the gradients; G stays where it has none."""
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


def _gradients(
  views,
  learned,
  distance,
  labels,
  chosen,
  triangles,
  *,
  pipeline,
  loss,
  budget,
  share,
):
  """Both gradients and the metrics; the same on every device."""
  weights, prototypes = learned
  first = jax.lax.axis_index(AXIS) * share

  def mine(gradient):
    return jax.lax.dynamic_slice_in_dim(gradient, first, share)

  def draw(views):
    return render(
      triangles,
      take_views(views, chosen),
      size=pipeline.render.size,
      sigma=pipeline.render.sigma,
      gamma=pipeline.render.gamma,
      framing=pipeline.render.framing,
      camera=pipeline.render.camera,
      shading=pipeline.render.shading,
      budget=budget,
    )

  images, pull_images, usage = jax.vjp(draw, views, has_aux=True)
  features, pull_features = jax.vjp(
    Embedder(pipeline.embed).apply, weights, images
  )
  everyone = jax.lax.all_gather(features, AXIS, tiled=True)

  def task(features, prototypes):
    quaternion = views.quaternion[chosen]
    return _task_loss(features, prototypes, quaternion, labels, loss)

  def separation(features):
    terms = batch_separation_loss(
      features, labels=labels, objective=loss.objective, scale=distance
    )
    return terms.loss, terms

  (slope, g_prototypes), task_terms = jax.grad(task, (0, 1), has_aux=True)(
    everyone, prototypes
  )
  g_weights, _ = pull_features(mine(slope))

  (_, terms), slope = jax.value_and_grad(separation, has_aux=True)(everyone)
  _, g_images = pull_features(mine(slope))

  def cover(alpha):
    return jnp.sum(coverage_guard(alpha)) / (len(labels) * len(chosen))

  alpha = images[..., -1]
  g_alpha = loss.coverage * jax.grad(cover)(alpha)
  (g_views,) = pull_images(g_images.at[..., -1].add(g_alpha))
  g_weights, g_views = jax.lax.psum((g_weights, g_views), AXIS)
  repel = jax.grad(view_repulsion)(views.quaternion)
  g_views = dataclasses.replace(
    g_views, quaternion=g_views.quaternion + loss.repulsion * repel
  )
  metrics = {
    "task_loss": task_terms.loss,
    "active": task_terms.active,
    "separation_loss": terms.loss,
    "between": terms.between,
    "within": terms.within,
    "distance": terms.distance,
    "spread": measure_spread(everyone),
    "coverage": jax.lax.pmean(jnp.mean(alpha), AXIS),
  }
  return g_views, (g_weights, g_prototypes), metrics, jax.lax.pmax(usage, AXIS)


def _task_loss(features, prototypes, quaternion, labels, loss):
  """What T minimises, and the measurements that come with it."""
  match loss.task:
    case "prototype":
      terms = prototype_loss(
        features,
        prototypes,
        labels=labels,
        temperature=loss.temperature,
        smoothing=loss.smoothing,
      )
    case "contrastive":
      terms = contrastive_loss(
        features, labels=labels, temperature=loss.temperature
      )
    case "triplet":
      margin = make_margin(quaternion, kind=loss.margin)
      terms = batch_triplet_loss(
        features, margin, labels=labels, mining=loss.mining
      )
    case _:
      raise ValueError(
        'task must be "triplet", "contrastive" or "prototype", got'
        f" {loss.task!r}."
      )
  return terms.loss + loss.spread * variance_floor(features), terms
