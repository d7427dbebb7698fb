"""One step of training: render, embed, two losses, two optimizers.

`B` models in the batch, `N` views, `V` of them drawn, `K` classes, `D` feature
size. The step runs under `shard_map` over all devices of one kind: each draws
and embeds its share of the models, the features are gathered, and both losses
are those of the whole batch.
"""

import dataclasses
import functools
import math
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax.typing import VariableDict
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import PartitionSpec

from dr3d.camera.view import Views, take_views
from dr3d.nn.encoder import make_encoder
from dr3d.render.budget import Budget
from dr3d.render.renderer import Renderer
from dr3d.render.triangle import TriangleRenderer
from dr3d.retrieval.augment import AugmentConfig, augment
from dr3d.retrieval.guard import (
  coverage_guard,
  measure_spread,
  smallest_view_angle,
  variance_floor,
  view_repulsion,
)
from dr3d.retrieval.loss import (
  TaskLoss,
  batch_triplet_loss,
  contrastive_loss,
  join_views,
  prototype_loss,
)
from dr3d.retrieval.margin import make_margin, view_angle
from dr3d.retrieval.pair import Alike, Pairs, relate_by_pose, relate_images
from dr3d.retrieval.pipeline import PipelineConfig
from dr3d.retrieval.separation import Objective, batch_separation_loss
from dr3d.retrieval.state import OptimizerConfig, State, move, select_parts
from dr3d.runtime.device import AXIS

Array = jax.Array
BudgetT = TypeVar("BudgetT", bound=Budget[Any])


@dataclasses.dataclass(frozen=True)
class LossConfig:
  """What T and G minimise.

  Attributes:
    task: loss of T: `"triplet"` is Eq. 1, `"contrastive"` the supervised
      contrastive loss, `"prototype"` the loss of class prototypes.
    mining: negatives of Eq. 1, see `batch_triplet_loss`.
    margin: ε of Eq. 2, see `make_margin`.
    temperature: of the contrastive and the prototype loss.
    smoothing: of the prototype loss.
    models: weight of a contrastive loss of whole models beside that of single
      images, see `join_views`: it compares views with the same view of other
      models, as a search does.
    alike: what makes two images positives of the triplet and the contrastive
      loss: `"class"`, `"pose"` across classes, or `"both"`; see
      `pair.relate_by_pose`.
    pose_angle: angle up to which two views are the same pose, radians.
    objective: loss of G: Eq. 3, see `batch_separation_loss`, or `"task"`, the
      loss of T, as in MVTN; then both networks have the same loss.
    shared: weight of T's loss that is added to that of G [0025]; without effect
      if the objective is `"task"`.
    within: weight of Eq. 3b beside Eq. 3a; the patent's is 1. Eq. 3b separates
      the vectors of a model's views, which T should bring together, and
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
  alike: Alike = "class"
  pose_angle: float = math.pi / 6
  objective: Objective | Literal["task"] = "intent"
  shared: float = 0.0
  within: float = 0.0
  spread: float = 0.5
  repulsion: float = 1.0
  coverage: float = 1.0

  @property
  def separation(self) -> Objective:
    """The L_G that is measured; it moves G unless T's loss does."""
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
  renderer: Renderer[BudgetT],
  moments: Array,
  labels: Array,
  chosen: Array,
  key: Array,
  *,
  pipeline: PipelineConfig,
  loss: LossConfig,
  optimizer: OptimizerConfig,
  augmentation: AugmentConfig | None,
  budget: BudgetT,
  devices: DeviceMesh,
  moves_views: bool = True,
) -> tuple[State, dict[str, Array], Any]:
  """Makes one step of both optimizers.

  Both gradients are taken at the same θ_G and θ_T, from one rendering: T's
  does not reach the images, and G's does not reach T's weights.

  Args:
    state: before the step.
    renderer: B models.
    moments: `[B, 3]` principal second moments, for the augmentation.
    labels: int `[B]`, below K.
    chosen: int `[V]`, indices of the views that are drawn.
    key: random key of this step.
    pipeline: configuration of the pipeline; its `render` is not used, since the
      renderer has its own.
    loss: configuration of the losses.
    optimizer: configuration of the optimizers.
    augmentation: changes the models first; None draws them as they are. It
      needs a `TriangleRenderer`.
    budget: of the renderer, for one device's share.
    devices: their number divides B.
    moves_views: whether G moves in this step; T always does.

  Returns:
    The state after the step, a flat dict of scalars, and the largest usage of
    any device. If the budget does not hold the usage, discard the step and
    repeat it from the old state with a larger budget, see `within_budget`.

  Raises:
    TypeError: an augmentation of something other than triangles.

  References:
    WO 2021/178001 [0025] for T's step, [0027–0029] for G's. Hamdi et al., MVTN,
    ICCV 2021, for the objective "task".
  """
  if augmentation is not None:
    renderer = _augment(renderer, moments, key, augmentation)
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
  # The compiler drops the computation of G's gradient if nothing uses it.
  g_views, g_embed, metrics, usage = gradients(
    state.views,
    (state.weights, state.prototypes),
    state.distance,
    labels,
    chosen,
    renderer,
  )
  metrics["extent"] = renderer.extent
  metrics["embed_gradient"] = optax.tree.norm(g_embed)
  g_moved = None
  if moves_views:
    mask = select_parts(state.views, optimizer.trainable)
    g_moved = jax.tree.map(jnp.multiply, g_views, mask)
    metrics["render_gradient"] = optax.tree.norm(g_moved)
  state = move(state, g_moved, g_embed, metrics["distance"], optimizer)
  metrics["smallest_view_angle"] = smallest_view_angle(state.views.quaternion)
  metrics["parameters"] = optax.tree.norm((state.views, state.weights))
  return state, metrics, usage


def _augment(
  renderer: Renderer[BudgetT],
  moments: Array,
  key: Array,
  config: AugmentConfig,
) -> Renderer[BudgetT]:
  if not isinstance(renderer, TriangleRenderer):
    raise TypeError(
      "augmentation changes triangles, so it needs a TriangleRenderer, got"
      f" {type(renderer).__name__}; set augmentation to None."
    )
  triangles = augment(renderer.triangles, moments, key, config=config)
  return dataclasses.replace(renderer, triangles=triangles)


def _gradients(
  views: Views,
  learned: tuple[VariableDict, Array],
  distance: Array,
  labels: Array,
  chosen: Array,
  renderer: Renderer[BudgetT],
  *,
  pipeline: PipelineConfig,
  loss: LossConfig,
  budget: BudgetT,
  share: int,
) -> tuple[Views, tuple[VariableDict, Array], dict[str, Array], Any]:
  """Returns both gradients, the metrics and the usage, equal on every device.

  Args:
    views: θ_G.
    learned: θ_T and the prototypes `[K, D]`.
    distance: `[]` running mean of L_G's δ.
    labels: int `[B]`, of the whole batch.
    chosen: int `[V]`.
    renderer: `share` models, those of this device.
    pipeline: as in `train_step`.
    loss: as in `train_step`.
    budget: as in `train_step`.
    share: B over the number of devices.
  """
  weights, prototypes = learned
  first = jax.lax.axis_index(AXIS) * share

  def mine(gradient):
    return jax.lax.dynamic_slice_in_dim(gradient, first, share)

  def draw(views):
    return renderer.render(take_views(views, chosen), budget=budget)

  images, pull_images, usage = jax.vjp(draw, views, has_aux=True)
  features, pull_features = jax.vjp(
    make_encoder(pipeline.embed).apply, weights, images
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

  (_, terms), apart = jax.value_and_grad(separation, has_aux=True)(everyone)
  if not is_task:
    if loss.shared:
      apart = apart + loss.shared * slope
    _, g_images = pull_features(mine(apart))

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


def _task_loss(
  features: Array,
  prototypes: Array,
  quaternion: Array,
  labels: Array,
  loss: LossConfig,
) -> tuple[Array, TaskLoss]:
  """Returns what T minimises, and the terms of its main loss.

  Args:
    features: `[B, V, D]`.
    prototypes: `[K, D]`.
    quaternion: `[V, 4]` of the views that are drawn.
    labels: int `[B]`.
    loss: configuration of the losses.
  """
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
        features,
        labels=labels,
        temperature=loss.temperature,
        pairs=_relate(features, quaternion, labels, loss),
      )
    case "triplet":
      margin = make_margin(quaternion, kind=loss.margin)
      terms = batch_triplet_loss(
        features,
        margin,
        mining=loss.mining,
        pairs=_relate(features, quaternion, labels, loss),
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


def _relate(
  features: Array, quaternion: Array, labels: Array, loss: LossConfig
) -> Pairs:
  """Positives and negatives of a batch; arguments as in `_task_loss`."""
  pairs = relate_images(features, labels)
  if loss.alike == "class":
    return pairs
  angles = view_angle(quaternion[:, None], quaternion[None])
  return relate_by_pose(pairs, angles, alike=loss.alike, limit=loss.pose_angle)
