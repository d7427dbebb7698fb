"""G and T bundled: meshes to images, meshes to vectors, to disk and back."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import dacite
import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.view import Views, make_views, sphere_views
from dr3d.error import PipelineError
from dr3d.mesh import Mesh, bucket_size
from dr3d.nn.encoder import Encoder, EncoderConfig
from dr3d.nn.whitening import Whitening, fit_whitening, whiten
from dr3d.render import raster
from dr3d.render.triangle import (
  RenderConfig,
  Triangles,
  fit_budget,
  render,
  stack_meshes,
)
from dr3d.runtime.atomic import atomic_directory, find_whole
from dr3d.runtime.config import from_values, to_values
from dr3d.runtime.device import share_devices, spread_views

FORMAT = 2  # of the saved files; raised when old ones can no longer be read
CONFIG_FILE = "pipeline.json"
WEIGHTS_FILE = "weights.msgpack"
PRETRAINED = pathlib.Path(__file__).parents[1] / "pretrained"
BATCH = 8  # models that are embedded by one call
HEADROOM = 1.25  # of a budget over the first batch, so that few compile anew

_UNCHECKED = dacite.Config(check_types=False)  # arrays are of many types


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
  """All that is fixed before training.

  Attributes:
    view_count: N.
    pose: `"principal"` turns every model into its principal axes first, so that
      a query may lie as it likes; `"file"` trusts the axes of the files.
    face_budget: models are simplified to at most so many faces.
    light_count: lights of a view: 3 coloured ones, or 1 white one.
    render: how G draws.
    embed: the CNN T.
  """

  view_count: int = 6
  pose: str = "principal"
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
    whitening: what T's vectors are mapped by, None for nothing.
  """

  config: PipelineConfig
  views: Views
  weights: Any
  whitening: Whitening | None = None
  _budgets: dict[tuple[int, int, int], raster.Budget] = dataclasses.field(
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
      directory: where it is; the general pipeline that ships with dr3d where
        None (`dr3d/pretrained/README.md` tells what it was trained on).

    Raises:
      PipelineError: there is none, it is damaged, or of a newer version.
    """
    path = find_whole(pathlib.Path(directory or PRETRAINED))
    try:
      saved = json.loads((path / CONFIG_FILE).read_text())
      data = (path / WEIGHTS_FILE).read_bytes()
    except FileNotFoundError as error:
      raise PipelineError(
        f"{path} holds no pipeline: {pathlib.Path(error.filename).name} is"
        " missing; name the directory that dr3d train wrote."
      ) from error
    except (OSError, ValueError) as error:
      raise PipelineError(f"{path} cannot be read: {error}.") from error
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
      raise PipelineError(
        f"{path} holds a pipeline of another format than {FORMAT}, which is"
        " all that this version of dr3d reads."
      )
    if hashlib.sha256(data).hexdigest() != saved.get("sha256"):
      raise PipelineError(
        f"{path / WEIGHTS_FILE} is damaged: its checksum does not fit"
        f" {CONFIG_FILE}; copy the directory anew."
      )
    config = _config_from_json(saved.get("config"), path)
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
    """Writes the pipeline; the directory appears whole or not at all."""
    path = pathlib.Path(directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = self._bytes()
    saved = {
      "format": FORMAT,
      "sha256": hashlib.sha256(data).hexdigest(),
      "config": _config_to_json(self.config),
    }
    with atomic_directory(path) as partial:
      (partial / CONFIG_FILE).write_text(json.dumps(saved, indent=2))
      (partial / WEIGHTS_FILE).write_bytes(data)

  def whitened(
    self, meshes: Sequence[Mesh], *, power: float = 1.0
  ) -> "Pipeline":
    """The pipeline with the whitening that fits known models.

    Args:
      meshes: of many classes; those that T learned from, say.
      power: see `whitening.fit_whitening`.
    """
    plain = dataclasses.replace(self, whitening=None)
    whitening = fit_whitening(plain.embed(list(meshes)), power=power)
    return dataclasses.replace(self, whitening=whitening)

  @property
  def _state(self) -> dict[str, Any]:
    """All arrays, as nested dicts, which is what Flax serialises."""
    state = {"views": dataclasses.asdict(self.views), "weights": self.weights}
    if self.whitening is not None:
      state["whitening"] = dataclasses.asdict(self.whitening)
    return state

  def _bytes(self) -> bytes:
    return serialization.to_bytes(jax.tree.map(np.asarray, self._state))

  @functools.cached_property
  def fingerprint(self) -> str:
    """Tells whether two pipelines give the same vectors (hexadecimal)."""
    config = json.dumps(_config_to_json(self.config), sort_keys=True)
    digest = hashlib.sha256(config.encode())
    for path, leaf in jax.tree.leaves_with_path(self._state):
      digest.update(jax.tree_util.keystr(path).encode())
      digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]

  @property
  def face_budget(self) -> int:
    """At most so many faces a model that `embed` and `render` are given."""
    return self.config.face_budget

  def embed(self, meshes: list[Mesh]) -> np.ndarray:
    """Meshes to feature vectors.

    Args:
      meshes: B meshes.

    Returns:
      float32 `[B, N, D]` unit vectors, in the order of the meshes, whatever
      other meshes are in the list.
    """
    config = self.config
    features = np.zeros(
      (len(meshes), config.view_count, config.embed.feature_size), np.float32
    )
    for chosen, triangles in _batches(meshes, config):

      def call(budget, triangles=triangles):
        return _embed(
          self.weights,
          self.whitening,
          self.views,
          triangles,
          config=config,
          budget=budget,
          devices=self._devices,
        )

      result = self._within_budget(call, triangles, config.render.size)
      features[chosen] = np.asarray(result)[: len(chosen)]
    return features

  def reserve(self, meshes: Sequence[Mesh], *, size: int | None = None) -> None:
    """Makes room for meshes like these, alone and in batches.

    Room is fixed when a program is compiled; with enough of it, none is
    compiled later than the first call of `embed` or `render`.

    Args:
      meshes: of the kinds that will come.
      size: see `render`; that of the pipeline for `embed`.
    """
    size = self.config.render.size if size is None else size
    drawing = dataclasses.replace(self.config.render, size=size)
    worst: dict[int, raster.Budget] = {}
    for mesh in sorted(meshes, key=lambda mesh: -len(mesh.faces)):
      bucket = bucket_size(len(mesh.faces))
      triangles = stack_meshes(
        [mesh],
        face_count=bucket,
        pose=self.config.pose,
        coverage=self.config.render.coverage,
      )
      worst[bucket] = fit_budget(
        triangles, self.views, config=drawing, start=worst.get(bucket)
      )
    for bucket, budget in worst.items():
      for count in (1, BATCH):
        room = budget.multiplied(count).widened(HEADROOM)
        before = self._budgets.get((count, bucket, size))
        self._budgets[count, bucket, size] = (
          room.joined(before) if before else room
        )

  def render(self, mesh: Mesh, *, size: int | None = None) -> np.ndarray:
    """Draws a mesh as T sees it, or larger.

    Args:
      mesh: the model.
      size: height and width, pixels; that of the pipeline where None.

    Returns:
      float32 `[N, H, W, 4]`: red, green, blue, multiplied by alpha, and alpha,
      in [0, 1].
    """
    config = self.config
    size = config.render.size if size is None else size
    triangles = stack_meshes(
      [mesh],
      face_count=bucket_size(len(mesh.faces)),
      pose=config.pose,
      coverage=config.render.coverage,
    )

    def call(budget):
      return _render(
        self.views,
        triangles,
        config=config,
        size=size,
        budget=budget,
        devices=self._devices,
      )

    images = self._within_budget(call, triangles, size)
    return np.clip(np.asarray(images[0], np.float32), 0, 1)

  @functools.cached_property
  def _devices(self) -> DeviceMesh:
    return share_devices(self.config.view_count)

  def _within_budget(self, call, triangles: Triangles, size: int):
    """Calls with a budget that holds; remembers it for the next batch."""
    key = (*triangles.corners.shape[:2], size)
    budget = self._budgets.get(key)
    if budget is None:
      drawing = dataclasses.replace(self.config.render, size=size)
      budget = fit_budget(
        triangles, self.views, config=drawing, devices=self._devices
      )
      budget = budget.widened(HEADROOM)
    while True:
      result, usage = call(budget)
      if budget.holds(usage):
        self._budgets[key] = budget
        return result
      budget = budget.grown_to(usage).widened(HEADROOM)


def _batches(meshes, config, largest=BATCH):
  """Yields indices and triangles, the meshes of one bucket together.

  Every batch has the same number of models, the last one padded with empty
  ones, so that each bucket is compiled once.
  """
  buckets: dict[int, list[int]] = {}
  for i, mesh in enumerate(meshes):
    buckets.setdefault(bucket_size(len(mesh.faces)), []).append(i)
  for face_count, members in sorted(buckets.items()):
    count = 1 if len(meshes) == 1 else largest
    for start in range(0, len(members), count):
      chosen = members[start : start + count]
      triangles = stack_meshes(
        [meshes[i] for i in chosen],
        face_count=face_count,
        pose=config.pose,
        coverage=config.render.coverage,
      )

      missing = count - len(chosen)
      yield chosen, jax.tree.map(lambda x, n=missing: _pad(x, n), triangles)


def _pad(array: np.ndarray, missing: int) -> np.ndarray:
  return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))


@functools.partial(
  jax.jit, static_argnames=("config", "size", "budget", "devices")
)
def _render(views, triangles, *, config, size, budget, devices):
  options = dataclasses.replace(config.render, size=size)
  return render(
    triangles,
    views,
    budget=budget,
    devices=devices,
    **dataclasses.asdict(options),
  )


@functools.partial(jax.jit, static_argnames=("config", "budget", "devices"))
def _embed(weights, whitening, views, triangles, *, config, budget, devices):
  def embed(images):
    features: Any = Encoder(config.embed).apply(weights, images)
    return features if whitening is None else whiten(features, whitening)

  def draw(triangles, views):
    return render(
      triangles, views, budget=budget, **dataclasses.asdict(config.render)
    )

  def draw_and_embed(triangles, views):
    images, usage = draw(triangles, views)
    return embed(images), usage

  triangles = jax.tree.map(jnp.asarray, triangles)
  if config.embed.attention:  # a vector depends on all views
    images, usage = spread_views(draw, devices)(triangles, views)
    return embed(images), usage
  return spread_views(draw_and_embed, devices)(triangles, views)


@functools.partial(jax.jit, static_argnames="config")
def _init_weights(key, *, config):
  # Under jit, or each layer's operations are compiled one by one.
  size = config.render.size
  images = jnp.zeros((1, config.view_count, size, size, 4))
  return Encoder(config.embed).init(key, images)


def _restore(config: PipelineConfig, data: bytes) -> dict[str, Any]:
  """The arrays of a pipeline, of the shapes that its configuration gives.

  What is none in the views of a new pipeline has the shape that was saved.
  """
  state = serialization.msgpack_restore(data)

  def create():
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

  return jax.tree.map_with_path(check, jax.eval_shape(create), state)


def _fill_none(tree: Any, other: Any) -> Any:
  """A nested dict in which what another one has takes the place of None."""
  if tree is None:
    return other
  if isinstance(tree, dict) and isinstance(other, dict):
    return {key: _fill_none(x, other.get(key)) for key, x in tree.items()}
  return tree


def _config_to_json(config: PipelineConfig) -> dict[str, Any]:
  """The configuration; that of a T without a stem as before there were stems.

  So databases made then know their pipeline by its fingerprint.
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
