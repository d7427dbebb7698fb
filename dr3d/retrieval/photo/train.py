"""Training of the encoder for photographs, without a photograph.

Each step looks at B models under V views of the gallery. A photograph made near
view v of a model is to lie nearer to the drawing of that model in view v than
to the drawings of other models in any view.

`M` models, `N` views, `B` models and `V` views of a step, `H W` pixels, `D`
feature size.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.camera.view import make_views, sphere_views
from dr3d.mesh import Mesh
from dr3d.nn.config import EncoderConfig
from dr3d.nn.imagenet import load_imagenet
from dr3d.nn.lite0 import Stem
from dr3d.nn.photo import (
  BLOCKS,
  STEM_BLOCKS,
  PhotoHead,
  standardise,
)
from dr3d.render.config import RenderConfig
from dr3d.retrieval.batch import BatchConfig, Sampler, number_classes
from dr3d.retrieval.photo.drawing import Drawings, draw_models
from dr3d.retrieval.photo.picture import make_photograph
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.pipeline_config import PipelineConfig
from dr3d.runtime.device import share_devices
from dr3d.training.loop import LoopConfig, run_steps
from dr3d.training.optimizer import clip_gradient, schedule_rate, update_mean
from dr3d.training.workdir import run_once

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class PhotoTrainConfig:
  """A training run.

  Attributes:
    view_count: N, views of the gallery.
    size: H and W.
    feature_size: D.
    model_count: B.
    models_per_class: models of one class drawn together: hard negatives.
    views_per_step: V.
    steps: of the schedule of the learning rates.
    end: steps after which the run ends; None for all of them.
    rate: peak learning rate of the new layers.
    block_rate: that of the blocks which start from ImageNet's weights.
    temperature: by which cosines are divided in the loss.
    average: decay of the running mean of the weights, with which a run ends.
    seed: of everything that is random.
    checkpoint_every: steps between checkpoints.
  """

  view_count: int = 48
  size: int = 96
  feature_size: int = 128
  model_count: int = 64
  models_per_class: int = 3
  views_per_step: int = 2
  steps: int = 340
  end: int | None = None
  rate: float = 1e-3
  block_rate: float = 3e-4
  temperature: float = 0.06
  average: float = 0.98
  seed: int = 0
  checkpoint_every: int = 50


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PhotoState:
  """What a step changes.

  Attributes:
    step: int32 `[]`, steps made.
    head: variables of `PhotoHead`.
    mean: their running mean.
    moments: state of the optimizer.
  """

  step: Array
  head: Any
  mean: Any
  moments: Any


def train_photo(
  meshes: Sequence[Mesh],
  labels: Sequence[str],
  *,
  config: PhotoTrainConfig,
  workdir: str | os.PathLike[str],
  progress: bool = True,
  drawing: Callable[[int, int], None] | None = None,
) -> Pipeline:
  """Trains an encoder for photographs, or resumes an interrupted run.

  Args:
    meshes: M models to learn from.
    labels: class of each; models of a class are negatives of each other too.
    config: the run.
    workdir: working directory; made if missing. At the end it holds
      `pipeline/`.
    progress: whether to show a progress bar.
    drawing: called with the models drawn and M, before the steps.

  Raises:
    PipelineError: ImageNet's weights are not installed.
    TrainingError: `workdir` holds another run, or a metric is not finite.
  """
  workdir = pathlib.Path(workdir).absolute()

  def make() -> Pipeline:
    start = start_photo(config)
    classes = number_classes(labels)
    batch = BatchConfig(
      model_count=config.model_count,
      models_per_class=config.models_per_class,
      balance=1.0,
      view_count=config.views_per_step,
    )
    sampler = Sampler(classes, config=batch, seed=config.seed)
    drawings = draw_models(meshes, start, seed=config.seed, progress=drawing)
    state = run_steps(
      make_state(start, config),
      make_step(start, config),
      lambda step: take_batch(drawings, sampler, step, seed=config.seed),
      config=LoopConfig(
        config.end or config.steps, config.seed, config.checkpoint_every
      ),
      workdir=workdir,
      devices=share_devices(1),
      progress=progress,
    )
    params = {**start.weights["params"], "head": state.mean["params"]}
    return dataclasses.replace(start, weights={"params": params}).rounded()

  return run_once(
    make,
    workdir=workdir,
    run={
      **dataclasses.asdict(config),
      "the models": [
        [label, len(mesh.faces)]
        for label, mesh in zip(labels, meshes, strict=True)
      ],
    },
    name="pipeline",
    load=Pipeline.load,
    save=Pipeline.save,
  )


def start_photo(config: PhotoTrainConfig) -> Pipeline:
  """Returns the pipeline before training: ImageNet's blocks, a random map.

  Raises:
    PipelineError: ImageNet's weights are not installed.
  """
  settings = PipelineConfig(
    view_count=config.view_count,
    light_count=1,
    render=RenderConfig(size=config.size),
    embed=EncoderConfig(feature_size=config.feature_size, backbone="photo"),
  )
  start = Pipeline.create(settings, seed=config.seed)
  views = make_views(sphere_views(config.view_count), colored=False)
  network = load_imagenet()["params"]
  stem = {
    name: network[name]
    for name in ("stem", *(f"block_{i}" for i in range(STEM_BLOCKS)))
  }
  head = dict(start.weights["params"]["head"])
  for i in range(STEM_BLOCKS, BLOCKS):
    head[f"block_{i}"] = network[f"block_{i}"]
  weights = jax.tree.map(
    lambda x: jnp.asarray(x, jnp.float32),
    {"params": {"stem": stem, "head": head}},
  )
  return Pipeline(settings, views, weights)


def make_state(start: Pipeline, config: PhotoTrainConfig) -> PhotoState:
  """The state before the first step."""
  head = {"params": start.weights["params"]["head"]}
  moments = _make_optimizer(config).init(head)
  return PhotoState(jnp.zeros((), jnp.int32), head, head, moments)


def make_step(start: Pipeline, config: PhotoTrainConfig) -> Any:
  """Returns the step of `training.loop.run_steps`, jitted."""
  stem = {"params": start.weights["params"]["stem"]}
  module = PhotoHead(config.feature_size)
  optimizer = _make_optimizer(config)

  def rate(head: Any, features: Array, batch: dict[str, Array]) -> Any:
    vectors: Any = module.apply(head, features)
    photo, gallery = jnp.split(vectors, 2)
    return contrast(
      photo, gallery, batch["model"], temperature=config.temperature
    )

  @jax.jit
  def step(state: PhotoState, batch: dict[str, Array], key: Array) -> Any:
    del key
    both = jnp.concatenate([batch["photo"], batch["gallery"]])
    grey = both[..., :1].astype(jnp.float32) / 255
    alpha = both[..., 1:].astype(jnp.float32) / 255
    images = standardise(
      jnp.concatenate([jnp.repeat(grey, 3, axis=-1), alpha], axis=-1)
    )
    features = Stem(STEM_BLOCKS).apply(stem, images)
    (loss, right), gradient = jax.value_and_grad(rate, has_aux=True)(
      state.head, features, batch
    )
    updates, moments = optimizer.update(gradient, state.moments, state.head)
    head = optax.apply_updates(state.head, updates)
    count = state.step + 1
    mean = update_mean(state.mean, head, step=count, decay=config.average)
    metrics = {"loss": loss, "first": right}
    return PhotoState(count, head, mean, moments), metrics

  return step


def contrast(
  photo: Array, gallery: Array, model: Array, *, temperature: float
) -> tuple[Array, Array]:
  """Contrastive loss of photographs and drawings, in both directions.

  Args:
    photo: `[I, D]` unit vectors of photographs.
    gallery: `[I, D]` of the drawings in the nearest views, in their order.
    model: int `[I]`, of which model each is.
    temperature: by which cosines are divided.

  Returns:
    `[]` mean loss, and `[]` share of the photographs to which the drawing is
    nearer than any of another model.

  References:
    van den Oord, Li, Vinyals, Representation Learning with Contrastive
    Predictive Coding, 2018, equation 4. Other views of the same model are no
    negatives here.
  """
  cosine = photo @ gallery.T
  own = jnp.diagonal(cosine)
  other = model[:, None] != model[None, :]

  def lose(cosine: Array) -> Array:
    logits = jnp.where(other, cosine, -jnp.inf) / temperature
    every = jnp.concatenate([own[:, None] / temperature, logits], axis=1)
    return jnp.mean(jax.nn.logsumexp(every, axis=1) - own / temperature)

  rival = jnp.max(jnp.where(other, cosine, -jnp.inf), axis=1)
  right = jnp.mean((own > rival).astype(jnp.float32))
  return (lose(cosine) + lose(cosine.T)) / 2, right


def take_batch(
  drawings: Drawings, sampler: Sampler, step: int, *, seed: int
) -> dict[str, np.ndarray]:
  """The pictures of a step: uint8 `[B·V, H, W, 2]` twice, and their models."""
  models = sampler(step)
  views = sampler.draw_views(step, drawings.gallery.shape[1])
  rng = np.random.default_rng((seed, step, 2))
  pairs = [(m, n) for m in models for n in views]
  photos = [
    make_photograph(
      drawings.normal[m, n], drawings.depth[m, n], drawings.alpha[m, n], rng
    )
    for m, n in pairs
  ]
  return {
    "photo": np.rint(255 * np.stack(photos)).astype(np.uint8),
    "gallery": np.stack([drawings.gallery[m, n] for m, n in pairs]),
    "model": np.array([m for m, _ in pairs], np.int32),
  }


@functools.cache
def _make_optimizer(config: PhotoTrainConfig) -> optax.GradientTransformation:
  def name_layers(params: Any) -> Any:
    return jax.tree.map_with_path(
      lambda path, _: "block" if "block_" in str(path) else "new", params
    )

  return clip_gradient(
    optax.multi_transform(
      {
        name: optax.adamw(
          schedule_rate(rate, steps=config.steps), weight_decay=1e-4
        )
        for name, rate in (("new", config.rate), ("block", config.block_rate))
      },
      name_layers,
    )
  )
