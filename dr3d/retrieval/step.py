"""One step of training: render, embed, two losses, two optimizers.

`B` models in the batch, `N` views, `D` feature size. The step runs under
`shard_map` over all devices of one kind: each draws and embeds its share of the
models, the features are gathered, and both losses are those of the whole batch.
"""

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import PartitionSpec

from dr3d.camera.view import take_views
from dr3d.nn.encoder import Encoder
from dr3d.render import raster
from dr3d.render.triangle import Triangles, render
from dr3d.retrieval.augment import AugmentConfig, augment
from dr3d.retrieval.guard import (
  coverage_guard,
  measure_spread,
  smallest_view_angle,
  variance_floor,
  view_repulsion,
)
from dr3d.retrieval.loss import (
  batch_triplet_loss,
  contrastive_loss,
  join_views,
  prototype_loss,
)
from dr3d.retrieval.margin import make_margin
from dr3d.retrieval.pipeline import PipelineConfig
from dr3d.retrieval.separation import Objective, batch_separation_loss
from dr3d.retrieval.state import OptimizerConfig, State, move, select_parts
from dr3d.runtime.device import AXIS

Array = jax.Array


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
    models: weight of a contrastive loss of whole models beside that of single
      images, see `join_views`: views are compared with the same view of other
      models, as a search compares them.
    objective: what moves G: Eq. 3, see `batch_separation_loss`, or "task", the
      loss of T, as in MVTN; the two networks then have one loss.
    within: weight of Eq. 3b beside Eq. 3a; 1 is the patent's. Eq. 3b drives
      the vectors of a model's views apart, which T is to bring together, and
      `repulsion` keeps the viewpoints apart without it.
    spread: weight of T's variance floor.
    repulsion: weight of the guard that keeps viewpoints apart.
    coverage: weight of the guard that keeps the object in the frame.
  """

  task: Literal["triplet", "contrastive", "prototype"] = "prototype"
  mining: Literal["all", "hard", "semihard"] = "hard"
  margin: Literal["unit", "patent"] = "unit"
  temperature: float = 0.1
  smoothing: float = 0.1
  models: float = 0.0
  objective: Objective | Literal["task"] = "intent"
  within: float = 0.0
  spread: float = 0.5
  repulsion: float = 1.0
  coverage: float = 1.0

  @property
  def separation(self) -> Objective:
    """The L_G that is measured, and moves G unless T's loss does."""
    return "intent" if self.objective == "task" else self.objective


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
    WO 2021/178001 [0025] for T's step, [0027–0029] for G's. Hamdi et al., MVTN,
    ICCV 2021, for the objective "task".
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
  state = move(state, g_views, g_embed, metrics["distance"], optimizer)
  metrics["smallest_view_angle"] = smallest_view_angle(state.views.quaternion)
  metrics["parameters"] = optax.tree.norm((state.views, state.weights))
  return state, metrics, usage


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
      budget=budget,
      **dataclasses.asdict(pipeline.render),
    )

  images, pull_images, usage = jax.vjp(draw, views, has_aux=True)
  features, pull_features = jax.vjp(
    Encoder(pipeline.embed).apply, weights, images
  )
  everyone = jax.lax.all_gather(features, AXIS, tiled=True)

  def task(features, prototypes):
    quaternion = views.quaternion[chosen]
    return _task_loss(features, prototypes, quaternion, labels, loss)

  is_task = loss.objective == "task"

  def separation(features):
    terms = batch_separation_loss(
      features,
      labels=labels,
      objective=loss.separation,
      scale=distance,
    )
    return terms.between + loss.within * terms.within, terms

  (slope, g_prototypes), task_terms = jax.grad(task, (0, 1), has_aux=True)(
    everyone, prototypes
  )
  g_weights, g_images = pull_features(mine(slope))

  (_, terms), slope = jax.value_and_grad(separation, has_aux=True)(everyone)
  if not is_task:
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
    "separation_loss": terms.between + loss.within * terms.within,
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
  total = terms.loss + loss.spread * variance_floor(features)
  if loss.models:
    whole = contrastive_loss(
      join_views(features), labels=labels, temperature=loss.temperature
    )
    total += loss.models * whole.loss
  return total, terms
