"""The programs that a device runs: renderer, embedding and training step.

Spheres stand for models, so that any size can be made. A program is a function
of arrays with its arguments; `export` lowers it for devices that are not here,
which fails if anything in it works on a CPU alone.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from dr3d.camera.view import Views
from dr3d.nn.encoder import EncoderConfig
from dr3d.render.budget import HEADROOM
from dr3d.render.renderer import draw_views
from dr3d.render.triangle import (
  RenderConfig,
  TriangleRenderer,
  Triangles,
  fit_budget,
)
from dr3d.retrieval import compiled
from dr3d.retrieval.augment import AugmentConfig
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.retrieval.state import OptimizerConfig, make_state
from dr3d.retrieval.step import LossConfig, train_step
from dr3d.runtime.device import share_devices
from experiments.benchmark.scene import make_sphere

PLATFORMS = ("cuda", "tpu")
CLASSES = 2  # of the training step


@dataclasses.dataclass(frozen=True)
class Size:
  """How large the programs are.

  Attributes:
    faces: 20 · 4ⁿ.
    pixels: height and width of an image.
    views: N.
    models: B.
    backbone: see `EncoderConfig`.
  """

  faces: int = 5120
  pixels: int = 224
  views: int = 12
  models: int = 4
  backbone: Any = "small"


@dataclasses.dataclass(frozen=True)
class Program:
  """A jitted function with its arguments.

  Attributes:
    name: what it does.
    function: of the arguments, to a pytree of arrays.
    arguments: arrays.
    models: how many it draws.
  """

  name: str
  function: Callable[..., Any]
  arguments: tuple[Any, ...]
  models: int


def make_programs(
  size: Size, names: Sequence[str] = ("draw", "gradient", "embed", "train")
) -> list[Program]:
  """Makes programs by name.

  Args:
    size: how large they are.
    names: "draw", a renderer's forward pass; "gradient", forward and backward
      by views and corners; "embed", models to vectors; "train", a step of both
      optimizers with augmentation.
  """
  config = PipelineConfig(
    view_count=size.views,
    render=RenderConfig(size=size.pixels),
    embed=EncoderConfig(backbone=size.backbone),
  )
  scene = make_sphere(faces=size.faces, size=size.pixels, views=size.views)
  # Different sizes, or all models of a batch would have equal vectors.
  scale = 1 - 0.1 * np.arange(size.models, dtype=np.float32) / size.models
  triangles = Triangles(
    corners=jnp.asarray(
      scale[:, None, None, None] * np.asarray(scene.triangles.corners)
    ),
    normals=jnp.repeat(
      jnp.asarray(scene.triangles.normals), size.models, axis=0
    ),
  )
  budget = fit_budget(triangles, scene.views, config=config.render)
  budget = budget.widened(HEADROOM)
  make = {
    "draw": _make_draw,
    "gradient": _make_gradient,
    "embed": _make_embed,
    "train": _make_train,
  }
  return [
    Program(
      name, *make[name](config, triangles, scene.views, budget), size.models
    )
    for name in names
  ]


def export(
  program: Program, platforms: Sequence[str] = PLATFORMS
) -> jax_export.Exported:
  """Lowers a program for devices, whether they are here or not.

  Raises:
    Exception: of JAX, if something in it has no lowering for a platform.
  """
  call = jax.jit(program.function)
  return jax_export.export(call, platforms=platforms)(*program.arguments)


def _make_draw(
  config: PipelineConfig, triangles: Triangles, views: Views, budget: Any
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
  def draw(triangles: Triangles, views: Views) -> jax.Array:
    renderer = TriangleRenderer(triangles, config.render)
    return draw_views(renderer, views, budget=budget, devices=None)[0]

  return draw, (triangles, views)


def _make_gradient(
  config: PipelineConfig, triangles: Triangles, views: Views, budget: Any
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
  draw, arguments = _make_draw(config, triangles, views, budget)

  def loss(triangles: Triangles, views: Views) -> jax.Array:
    return jnp.mean(draw(triangles, views) ** 2)

  return jax.value_and_grad(loss, argnums=(0, 1)), arguments


def _make_embed(
  config: PipelineConfig, triangles: Triangles, views: Views, budget: Any
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
  weights = Pipeline.create(config).weights
  devices = share_devices(1)

  def embed(weights: Any, triangles: Triangles, views: Views) -> jax.Array:
    return compiled.embed_rendered(
      weights,
      None,
      views,
      TriangleRenderer(triangles, config.render),
      config=config,
      budget=budget,
      devices=devices,
    )[0]

  return embed, (weights, triangles, views)


def _make_train(
  config: PipelineConfig, triangles: Triangles, views: Views, budget: Any
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
  optimizer = OptimizerConfig(steps=20)
  count = len(triangles.corners)
  prototypes = np.random.default_rng(0).normal(
    size=(CLASSES, config.embed.feature_size)
  )
  state = make_state(
    views,
    Pipeline.create(config).weights,
    jnp.float32(prototypes),
    config=optimizer,
  )
  step = functools.partial(
    train_step,
    pipeline=config,
    loss=LossConfig(),
    optimizer=optimizer,
    augmentation=AugmentConfig(),
    # The augmentation may enlarge what is drawn.
    budget=budget.widened(2 * HEADROOM),
    devices=share_devices(1),
  )

  def train(state: Any, triangles: Triangles, key_data: jax.Array) -> Any:
    state, metrics, _ = step(
      state,
      TriangleRenderer(triangles, config.render),
      jnp.ones((count, 3)),
      jnp.arange(count) % CLASSES,
      jnp.arange(config.view_count),
      jax.random.wrap_key_data(key_data),
    )
    return state, metrics

  return train, (state, triangles, jax.random.key_data(jax.random.key(0)))
