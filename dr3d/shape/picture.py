"""Training of the picture encoder against codes, with the decoder frozen.

`B` models, `N` views, `H W` pixels, `Z` size of a code.

References:
  IM-NET (Chen and Zhang, CVPR 2019), section 3.2: single-view reconstruction.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dr3d.camera.pose import look_at
from dr3d.camera.view import Views
from dr3d.nn.resnet import PictureEncoder
from dr3d.render.draw import render
from dr3d.render.triangle import Triangles
from dr3d.runtime.device import share_devices
from dr3d.shape.config import PictureConfig
from dr3d.shape.dataset import ShapeSet
from dr3d.shape.model import ShapeModel, finish
from dr3d.training.loop import Metrics, run_steps
from dr3d.training.optimizer import clip_gradient, schedule_rate

Array = jax.Array

_MODELS = 8  # drawn in one call
_DISTANCE = 3.0  # of the camera, radii of the object


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What a step changes: parameters and Adam's moments."""

  params: Any
  moments: Any


def random_views(count: int, *, seed: int) -> Views:
  """Returns cameras all around, upright along the shortest principal axis.

  The directions are uniform on the sphere. The published range of ±40° above
  the horizon needs models that stand upright, which a principal pose does not
  tell. The light is white and beside the camera.
  """
  rng = np.random.default_rng(seed)
  direction = rng.normal(size=(count, 3))
  direction /= np.linalg.norm(direction, axis=1, keepdims=True)
  # Never exactly along the axis that points up in the picture.
  direction[:, 2] = direction[:, 2].clip(-0.99, 0.99)
  eye = _DISTANCE * direction / np.linalg.norm(direction, axis=1, keepdims=True)
  up = np.broadcast_to(np.array([0.0, 0.0, 1.0]), eye.shape)
  return look_at(eye, np.zeros_like(eye), up)


def invert(images: np.ndarray) -> np.ndarray:
  """Returns 1 - grey of images on white, [..., H, W]; 0 is background.

  Args:
    images: float [..., H, W, 4], colours multiplied by alpha.
  """
  grey = images[..., :3].mean(axis=-1)
  return np.float32(images[..., 3] - grey).clip(0, 1)


def draw_images(
  shapes: ShapeSet, *, size: int, views: int, seed: int
) -> np.ndarray:
  """Draws shapes in random views.

  Args:
    shapes: B shapes.
    size: height and width, pixels.
    views: N. A single view is a shape's own; of several, eight shapes share
      the same.
    seed: of the views.

  Returns:
    float32 [B, N, H, W, 4], colours multiplied by alpha.
  """
  parts = []
  for start in range(0, len(shapes), _MODELS):
    parts.append(_draw_some(shapes, start, size=size, views=views, seed=seed))
  return np.concatenate(parts)


def draw_pictures(
  shapes: ShapeSet, *, size: int, views: int, seed: int
) -> np.ndarray:
  """Draws the inverted grey of `draw_images`, uint8 [B, N, H, W]."""
  parts = []
  for start in range(0, len(shapes), _MODELS):
    images = _draw_some(shapes, start, size=size, views=views, seed=seed)
    parts.append(np.uint8(np.rint(255 * invert(images))))
  return np.concatenate(parts)


def _draw_some(
  shapes: ShapeSet, start: int, *, size: int, views: int, seed: int
) -> np.ndarray:
  """Draws the next few shapes."""
  # The last ones are repeated, so that one program is compiled.
  rows = np.arange(start, start + _MODELS).clip(max=len(shapes) - 1)
  triangles = Triangles(shapes.corners[rows], shapes.corner_normals[rows])
  drawn = render(
    triangles,
    random_views(views * _MODELS, seed=seed + start)
    if views == 1
    else random_views(views, seed=seed + start),
    size=size,
    framing="object",
  )
  images = np.asarray(drawn)
  if views == 1:  # one of the views for each of the shapes
    images = images[np.arange(_MODELS), np.arange(_MODELS)][:, None]
  return images[: len(shapes) - start]


def crop(
  pictures: np.ndarray, *, size: int, rng: np.random.Generator | None
) -> np.ndarray:
  """Cuts pictures to a size: at random and flipped, or from the middle.

  A flipped picture keeps its code, as published, which is right for shapes with
  a plane of symmetry only.

  Args:
    pictures: [B, H, W].
    size: height and width of the result.
    rng: makes the choices; None for the middle without a flip.

  Returns:
    float32 [B, size, size] in [0, 1], levelled.
  """
  room = pictures.shape[-1] - size
  cut = np.empty((len(pictures), size, size), np.float32)
  for i, picture in enumerate(pictures):
    x, y = (room // 2,) * 2 if rng is None else rng.integers(0, room + 1, 2)
    cut[i] = picture[y : y + size, x : x + size]
    if rng is not None and rng.random() < 0.5:
      cut[i] = cut[i, :, ::-1]
  return level(cut)


def level(pictures: np.ndarray) -> np.ndarray:
  """Returns pictures [B, H, W] whose objects have equal mean grey, ½.

  So neither the brightness of a photograph nor that of the light counts.
  """
  mask = pictures > 0
  mean = pictures.sum((1, 2)) / np.maximum(mask.sum((1, 2)), 1)
  gain = 0.5 / np.maximum(mean, 1e-6)
  return np.float32(pictures * gain[:, None, None]).clip(0, 1)


def train_pictures(
  model: ShapeModel,
  shapes: ShapeSet,
  *,
  config: PictureConfig,
  workdir: pathlib.Path,
  progress: bool = True,
) -> ShapeModel:
  """Returns the model with a picture encoder; the same call resumes.

  The loss is the squared error of the code. The decoder takes no part.

  Args:
    model: a trained auto-encoder.
    shapes: to draw pictures of.
    config: settings.
    workdir: of the checkpoints and the log.
    progress: whether to show a bar.
  """
  targets = model.encode_voxels(shapes.voxels)
  pictures = _keep_pictures(shapes, config, workdir)
  network: Any = PictureEncoder(
    config.widths, model.config.autoencoder.code_size
  )
  params = network.init(
    jax.random.key(config.loop.seed), jnp.zeros((1, config.size, config.size))
  )
  rate = schedule_rate(config.rate, steps=config.loop.steps)
  optimizer = clip_gradient(optax.adam(rate))

  def batches(step: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([config.loop.seed, step])
    rows = rng.integers(0, len(shapes), config.batch)
    views = rng.integers(0, config.views, config.batch)
    chosen = pictures[rows, views]
    return crop(chosen, size=config.size, rng=rng), targets[rows]

  @functools.partial(jax.jit, donate_argnums=0)
  def step(
    state: State, batch: tuple[Array, Array], key: Array
  ) -> tuple[State, Metrics]:
    del key  # the batches hold all that is random

    def measure(params: Any) -> Array:
      return jnp.mean((network.apply(params, batch[0]) - batch[1]) ** 2)

    loss, slope = jax.value_and_grad(measure)(state.params)
    change, moments = optimizer.update(slope, state.moments, state.params)
    params = optax.apply_updates(state.params, change)
    return State(params, moments), {"loss": loss}

  state = run_steps(
    State(params, optimizer.init(params)),
    step,
    batches,
    config=config.loop,
    workdir=workdir.absolute(),
    devices=share_devices(1),
    progress=progress,
  )
  return finish(model, "picture", config, state.params)


def _keep_pictures(
  shapes: ShapeSet, config: PictureConfig, workdir: pathlib.Path
) -> np.ndarray:
  """Draws the pictures, or reads those that a killed run has drawn."""
  path = workdir / "pictures.npy"
  if path.exists():
    return np.load(path)
  pictures = draw_pictures(
    shapes,
    size=config.size + config.margin,
    views=config.views,
    seed=config.loop.seed,
  )
  workdir.mkdir(parents=True, exist_ok=True)
  partial = path.with_suffix(".partial.npy")
  np.save(partial, pictures)
  partial.replace(path)
  return pictures
