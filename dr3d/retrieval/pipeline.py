"""G and T bundled: meshes or images to vectors, to disk and back.

`B` models, `N` views, `M` images of a model, `H W` pixels, `D` feature size.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import dacite
import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization
from flax.typing import VariableDict
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.view import Views, make_views, sphere_views
from dr3d.error import PipelineError
from dr3d.mesh import Mesh, bucket_size
from dr3d.nn.encoder import Encoder, EncoderConfig
from dr3d.nn.whitening import Whitening, fit_whitening, whiten
from dr3d.render.budget import HEADROOM, Budget, within_budget
from dr3d.render.config import Pose, RenderConfig
from dr3d.render.raster import Budget as RasterBudget
from dr3d.render.renderer import Renderer, draw_views
from dr3d.render.triangle import TriangleRenderer, stack_meshes
from dr3d.retrieval.pipeline_file import CONFIG_FILE as CONFIG_FILE
from dr3d.retrieval.pipeline_file import WEIGHTS_FILE, read_files, write_files
from dr3d.retrieval.program import Programs, is_known, make_known
from dr3d.runtime.config import from_values, to_values
from dr3d.runtime.device import share_devices, spread_views
from dr3d.runtime.notebook import format_table

Array = jax.Array

PRETRAINED = pathlib.Path(__file__).parents[1] / "pretrained"
# Models that one call embeds. Every batch is padded to it, so that a bucket of
# face counts compiles once; a larger one wastes more on the last batch.
BATCH = 8

_UNCHECKED = dacite.Config(check_types=False)  # arrays are of many types


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
  """What is fixed before training.

  Attributes:
    view_count: N.
    pose: `"principal"` turns every model into its principal axes first, so that
      the pose of a query does not matter; `"file"` keeps the axes of the files.
    face_budget: models are simplified to at most this many faces.
    light_count: lights of a view: 3 coloured ones, or 1 white one.
    render: how G draws.
    embed: the CNN T.
  """

  view_count: int = 6
  pose: Pose = "principal"
  face_budget: int = 1024
  light_count: int = 3
  render: RenderConfig = dataclasses.field(default_factory=RenderConfig)
  embed: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)


@dataclasses.dataclass(frozen=True, eq=False)
class Pipeline:
  """A trained (or untrained) G and T.

  Attributes:
    config: what was fixed before training.
    views: θ_G.
    weights: θ_T, Flax variables of the CNN.
    whitening: maps T's vectors; None leaves them as they are.
  """

  config: PipelineConfig
  views: Views
  weights: VariableDict
  whitening: Whitening | None = None
  # Budgets that have held, by the shape of the call.
  _budgets: dict[Hashable, Budget[Any]] = dataclasses.field(
    default_factory=dict, init=False, repr=False
  )

  @classmethod
  def create(
    cls, config: PipelineConfig | None = None, *, seed: int = 0
  ) -> "Pipeline":
    """Returns an untrained pipeline with views spread over the sphere."""
    config = config or PipelineConfig()
    if config.light_count not in (1, 3):
      raise ValueError(f"light_count must be 1 or 3, got {config.light_count}.")
    views = make_views(
      sphere_views(config.view_count), colored=config.light_count == 3
    )
    weights = _init_weights(jax.random.key(seed), config=config)
    return cls(config, views, weights)

  @classmethod
  def load(cls, directory: str | os.PathLike[str] | None = None) -> "Pipeline":
    """Reads a pipeline that `save` wrote.

    Args:
      directory: of the pipeline; None for the general pipeline that ships with
        dr3d (`dr3d/pretrained/README.md` tells what it was trained on).

    Raises:
      PipelineError: there is none, it is damaged, or of a newer version.
    """
    path, saved, data = read_files(pathlib.Path(directory or PRETRAINED))
    config = _config_from_json(saved, path)
    try:
      state = _restore(config, data)
    except ValueError as error:
      raise PipelineError(
        f"{path / WEIGHTS_FILE} does not fit {CONFIG_FILE}: {error}."
      ) from error
    views = dacite.from_dict(Views, state["views"], _UNCHECKED)
    saved_map = state.get("whitening")
    return cls(
      config, views, state["weights"], saved_map and Whitening(**saved_map)
    )

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes the pipeline; the directory appears complete or not at all."""
    data = serialization.to_bytes(jax.tree.map(np.asarray, self._state))
    write_files(pathlib.Path(directory), _config_to_json(self.config), data)

  def whitened(
    self, meshes: Sequence[Mesh], *, power: float = 1.0
  ) -> "Pipeline":
    """Returns the pipeline with a whitening fitted to known models.

    Args:
      meshes: of many classes; those that T was trained on, for example.
      power: see `fit_whitening`.
    """
    plain = dataclasses.replace(self, whitening=None)
    whitening = fit_whitening(plain.embed(meshes), power=power)
    return dataclasses.replace(self, whitening=whitening)

  @property
  def _state(self) -> dict[str, Any]:
    """All arrays, as nested dicts, which is what Flax serialises."""
    state = {"views": dataclasses.asdict(self.views), "weights": self.weights}
    if self.whitening is not None:
      state["whitening"] = dataclasses.asdict(self.whitening)
    return state

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hexadecimal; two pipelines with the same one give the same vectors."""
    config = json.dumps(_config_to_json(self.config), sort_keys=True)
    digest = hashlib.sha256(config.encode())
    for path, leaf in jax.tree.leaves_with_path(self._state):
      digest.update(jax.tree_util.keystr(path).encode())
      digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]

  def _repr_html_(self) -> str:
    """What was fixed before training, as a table, for notebooks."""
    config = self.config
    rows = [
      ("views", config.view_count),
      ("pixels of an image", f"{config.render.size} x {config.render.size}"),
      ("numbers of a vector", config.embed.feature_size),
      ("pose", config.pose),
      ("faces at most", config.face_budget),
      ("whitened", "no" if self.whitening is None else "yes"),
    ]
    return format_table(f"Pipeline {self.fingerprint}", ("", ""), rows)

  @property
  def face_budget(self) -> int:
    """Most faces that a mesh given to `embed` and `render` should have."""
    return self.config.face_budget

  def embed(self, meshes: Sequence[Mesh]) -> np.ndarray:
    """Maps meshes to feature vectors.

    Args:
      meshes: B meshes.

    Returns:
      float32 `[B, N, D]` unit vectors, in the order of the meshes. A mesh's
      vectors do not depend on the other meshes.
    """
    features = self._zeros(len(meshes), self.views.count)
    for chosen, renderer in _batches(meshes, self.config):
      features[chosen] = self.embed_rendered(renderer)[: len(chosen)]
    return features

  def embed_rendered(self, renderer: Renderer[Any]) -> np.ndarray:
    """Maps the models of any renderer to feature vectors.

    Args:
      renderer: B models, drawn at the size and in the pose that T knows.

    Returns:
      float32 `[B, N, D]` unit vectors.

    Raises:
      ValueError: the images are not of the pipeline's size.
    """
    arguments = (self.weights, self.whitening, self.views, renderer)
    if isinstance(renderer, TriangleRenderer) and not renderer.layers:
      return np.asarray(self._embed_triangles(arguments, renderer))

    def call(budget: Budget[Any]) -> tuple[Array, Any]:
      return _embed_rendered(
        *arguments, config=self.config, budget=budget, devices=self._devices
      )

    return np.asarray(self._within_budget(call, renderer))

  def _embed_triangles(
    self, arguments: tuple[Any, ...], renderer: TriangleRenderer
  ) -> Array:
    """Embeds triangles by programs that earlier processes have traced."""
    key = _call_key(renderer)
    before = self._budgets.get(key)
    if before is None:
      before = self._programs.find_budget(arguments)
      if before is not None:
        self._budgets[key] = before

    def call(budget: Any) -> tuple[Array, Any]:
      return self._programs.call(arguments, budget)

    result = self._within_budget(call, renderer)
    after = self._budgets[key]
    if isinstance(after, RasterBudget) and after != before:
      self._programs.keep_budget(arguments, after)
    return result

  def embed_images(self, images: np.ndarray | Array) -> np.ndarray:
    """Maps images, for example cut-out photographs, to feature vectors.

    Args:
      images: floating point `[B, M, H, W, 4]`: red, green and blue in [0, 1]
        multiplied by alpha, then alpha. H and W are the pipeline's
        `config.render.size`, M is any number from 1.

    Returns:
      float32 `[B, M, D]` unit vectors, whitened as those of `embed` are. The
      vectors of a model do not depend on the other models.

    Raises:
      ValueError: the shape or the type does not fit.
    """
    _check_images(images, self.config)
    images = np.asarray(images, np.float32)
    features = self._zeros(*images.shape[:2])
    count = 1 if len(images) == 1 else BATCH
    for start in range(0, len(images), count):
      batch = images[start : start + count]
      result = _embed_images(
        self.weights,
        self.whitening,
        _pad(batch, count - len(batch)),
        config=self.config.embed,
      )
      features[start : start + count] = np.asarray(result)[: len(batch)]
    return features

  def reserve(self, meshes: Sequence[Mesh], *, size: int | None = None) -> None:
    """Makes room for meshes like these, alone and in batches.

    Room is fixed when a program is compiled. With enough of it, nothing is
    compiled after the first call of `embed` or `render`.

    Args:
      meshes: of the kinds that will come.
      size: see `render`; None for the size that `embed` uses.
    """
    worst: dict[int, tuple[TriangleRenderer, RasterBudget]] = {}
    for mesh in sorted(meshes, key=lambda mesh: -len(mesh.faces)):
      bucket = bucket_size(len(mesh.faces))
      renderer = _make_renderer([mesh], self.config, size)
      start = worst[bucket][1] if bucket in worst else None
      worst[bucket] = renderer, renderer.fit_budget(self.views, start=start)
    for renderer, budget in worst.values():
      for count in (1, BATCH):
        room = budget.multiplied(count).widened(HEADROOM)
        key = _call_key(_pad_models(renderer, count - 1))
        before = self._budgets.get(key)
        if isinstance(before, RasterBudget):
          room = room.joined(before)
        self._budgets[key] = room

  def render(self, mesh: Mesh, *, size: int | None = None) -> np.ndarray:
    """Draws a mesh as T sees it, or larger.

    Args:
      mesh: the model.
      size: height and width, pixels; None for that of the pipeline.

    Returns:
      float32 `[N, H, W, 4]`: red, green and blue multiplied by alpha, then
      alpha, in [0, 1].
    """
    renderer = _make_renderer([mesh], self.config, size)

    def call(budget: Budget[Any]) -> tuple[Array, Any]:
      return _render(renderer, self.views, budget=budget, devices=self._devices)

    images = self._within_budget(call, renderer)
    return np.clip(np.asarray(images[0], np.float32), 0, 1)

  @functools.cached_property
  def _programs(self) -> Programs:
    return Programs(_embed_rendered, config=self.config, devices=self._devices)

  @functools.cached_property
  def _devices(self) -> DeviceMesh:
    return share_devices(self.config.view_count)

  def _within_budget(
    self,
    call: Callable[[Budget[Any]], tuple[Array, Any]],
    renderer: Renderer[Any],
  ) -> Array:
    """Calls with a budget that holds; remembers it for calls of this shape."""
    key = _call_key(renderer)
    budget = self._budgets.get(key)
    if budget is None:
      budget = renderer.fit_budget(self.views, devices=self._devices)
      budget = budget.widened(HEADROOM)
    result, self._budgets[key] = within_budget(call, budget)
    return result

  def _zeros(self, models: int, images: int) -> np.ndarray:
    size = self.config.embed.feature_size
    return np.zeros((models, images, size), np.float32)


def _check_images(images: np.ndarray | Array, config: PipelineConfig) -> None:
  shape, size = images.shape, config.render.size
  fits = len(shape) == 5 and shape[2:] == (size, size, 4) and shape[1] > 0
  if not fits or not jnp.issubdtype(images.dtype, jnp.floating):
    raise ValueError(
      f"images must be floats in [0, 1] of the shape [B, M, {size}, {size}, 4]"
      f" with M at least 1, got {images.dtype} {list(shape)}."
    )


def _call_key(renderer: Renderer[Any]) -> Hashable:
  """What a compiled call depends on: options and shapes."""
  leaves, structure = jax.tree.flatten(renderer)
  return structure, tuple(np.shape(leaf) for leaf in leaves)


def _make_renderer(
  meshes: Sequence[Mesh], config: PipelineConfig, size: int | None = None
) -> TriangleRenderer:
  """Meshes as the pipeline draws them; F is the bucket of the largest."""
  drawing = config.render
  if size is not None:
    drawing = dataclasses.replace(drawing, size=size)
  triangles = stack_meshes(
    meshes,
    face_count=bucket_size(max(len(mesh.faces) for mesh in meshes)),
    pose=config.pose,
    coverage=drawing.coverage,
  )
  return TriangleRenderer(triangles, drawing)


def _batches(
  meshes: Sequence[Mesh], config: PipelineConfig
) -> Iterator[tuple[list[int], TriangleRenderer]]:
  """Yields indices and models, the meshes of one bucket together.

  Every batch has the same number of models, the last one padded with empty
  ones, so that each bucket is compiled once.
  """
  buckets: dict[int, list[int]] = {}
  for i, mesh in enumerate(meshes):
    buckets.setdefault(bucket_size(len(mesh.faces)), []).append(i)
  count = 1 if len(meshes) == 1 else BATCH
  for _, members in sorted(buckets.items()):
    for start in range(0, len(members), count):
      chosen = members[start : start + count]
      renderer = _make_renderer([meshes[i] for i in chosen], config)
      yield chosen, _pad_models(renderer, count - len(chosen))


def _pad_models(renderer: TriangleRenderer, missing: int) -> TriangleRenderer:
  """Appends empty models."""
  return jax.tree.map(lambda leaf: _pad(leaf, missing), renderer)


def _pad(array: np.ndarray, missing: int) -> np.ndarray:
  return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))


_render = jax.jit(draw_views, static_argnames=("budget", "devices"))


@functools.partial(jax.jit, static_argnames="config")
def _embed_images(
  weights: VariableDict,
  whitening: Whitening | None,
  images: Array | np.ndarray,
  *,
  config: EncoderConfig,
) -> Array:
  """`[B, M, H, W, 4]` images to `[B, M, D]` unit vectors."""
  features: Any = Encoder(config).apply(weights, images)
  return features if whitening is None else whiten(features, whitening)


@functools.partial(jax.jit, static_argnames=("config", "budget", "devices"))
def _embed_rendered(
  weights: VariableDict,
  whitening: Whitening | None,
  views: Views,
  renderer: Renderer[Any],
  *,
  config: PipelineConfig,
  budget: Budget[Any],
  devices: DeviceMesh,
) -> tuple[Array, Any]:
  def draw_and_embed(
    renderer: Renderer[Any], views: Views
  ) -> tuple[Array, Any]:
    images, usage = renderer.render(views, budget=budget)
    return embed(images), usage

  def embed(images: Array) -> Array:
    _check_images(images, config)
    return _embed_images(weights, whitening, images, config=config.embed)

  renderer = jax.tree.map(jnp.asarray, renderer)
  if config.embed.attention:  # a vector depends on all views of its model
    images, usage = draw_views(renderer, views, budget=budget, devices=devices)
    return embed(images), usage
  return spread_views(draw_and_embed, devices)(renderer, views)


@functools.partial(jax.jit, static_argnames="config")
def _init_weights(key: Array, *, config: PipelineConfig) -> VariableDict:
  # Without jit, every operation of every layer is compiled on its own.
  size = config.render.size
  images = jnp.zeros((1, config.view_count, size, size, 4))
  return Encoder(config.embed).init(key, images)


def _restore(config: PipelineConfig, data: bytes) -> dict[str, Any]:
  """The arrays of a pipeline, of the shapes that its configuration gives.

  Optional views that a new pipeline does not have keep the shape that was
  saved.
  """
  state = serialization.msgpack_restore(data)

  def create() -> dict[str, Any]:
    new = Pipeline.create(config)._state
    new["views"] = _fill_none(new["views"], state["views"])
    if "whitening" in state:
      size = config.embed.feature_size
      new["whitening"] = {
        "mean": jnp.zeros(size),
        "matrix": jnp.zeros((size, size)),
      }
    return new

  def check(path, expected, array):
    if array.shape != expected.shape:
      raise ValueError(
        f"{jax.tree_util.keystr(path)} has the shape {array.shape}, not"
        f" {expected.shape}"
      )
    return jnp.asarray(array)

  # To know the shapes, the network is traced, a tenth of the time of a query.
  found = [
    (jax.tree_util.keystr(path), np.shape(leaf))
    for path, leaf in jax.tree.leaves_with_path(state)
  ]
  text = f"shapes {config!r} {found}"
  if is_known(text):
    return jax.tree.map(jnp.asarray, state)
  checked = jax.tree.map_with_path(check, jax.eval_shape(create), state)
  make_known(text)
  return checked


def _fill_none(tree: Any, other: Any) -> Any:
  """A nested dict with each None replaced by what another one has there."""
  if tree is None:
    return other
  if isinstance(tree, dict) and isinstance(other, dict):
    return {key: _fill_none(x, other.get(key)) for key, x in tree.items()}
  return tree


def _config_to_json(config: PipelineConfig) -> dict[str, Any]:
  """The configuration as plain values.

  A T without a stem is written as before stems existed. Otherwise the
  fingerprint would change, and older databases would not know their pipeline.
  """
  values = to_values(config)
  if not config.embed.stem:
    del values["embed"]["stem"]
  return values


def _config_from_json(saved: Any, path: pathlib.Path) -> PipelineConfig:
  try:
    if not isinstance(saved, dict):
      raise ValueError("config is missing")
    return from_values(PipelineConfig, saved)
  except ValueError as error:
    raise PipelineError(
      f"{path / CONFIG_FILE} is not of this version of dr3d: {error}."
    ) from error
