"""G and T bundled: meshes or images to vectors, to disk and back.

`B` models, `N` views, `M` images of a model, `H W` pixels, `D` feature size.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Hashable, Sequence
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
from dr3d.nn.whitening import Whitening, fit_whitening
from dr3d.render.budget import HEADROOM, Budget, within_budget
from dr3d.render.raster import Budget as RasterBudget
from dr3d.render.renderer import Renderer
from dr3d.render.triangle import TriangleRenderer
from dr3d.retrieval import compiled
from dr3d.retrieval.model_batch import (
  BATCH as BATCH,
)
from dr3d.retrieval.model_batch import (
  call_key,
  make_batches,
  make_renderer,
  pad_models,
  pad_rows,
)
from dr3d.retrieval.pipeline_config import (
  PipelineConfig as PipelineConfig,
)
from dr3d.retrieval.pipeline_config import (
  check_pipeline_config,
  check_surface_weight,
  config_from_json,
  config_to_json,
)
from dr3d.retrieval.pipeline_file import CONFIG_FILE as CONFIG_FILE
from dr3d.retrieval.pipeline_file import PIPELINE_FILES, WEIGHTS_FILE
from dr3d.retrieval.program import Programs, is_known, make_known
from dr3d.runtime.device import share_devices
from dr3d.runtime.notebook import format_table
from dr3d.search.geometric_score import DEFAULT_WEIGHT

Array = jax.Array

PRETRAINED = pathlib.Path(__file__).parents[1] / "pretrained"
PRETRAINED_FULL = PRETRAINED / "full"

_UNCHECKED = dacite.Config(check_types=False)  # arrays are of many types


@dataclasses.dataclass(frozen=True, eq=False)
class Pipeline:
  """A trained (or untrained) G and T.

  Attributes:
    config: what was fixed before training.
    views: θ_G.
    weights: θ_T, Flax variables of the CNN.
    whitening: maps T's vectors; None leaves them as they are.
    surface_weight: see `geometric_score.DEFAULT_WEIGHT`. It changes no vector.
  """

  config: PipelineConfig
  views: Views
  weights: VariableDict
  whitening: Whitening | None = None
  surface_weight: float = DEFAULT_WEIGHT
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
    check_pipeline_config(config)
    views = make_views(
      sphere_views(config.view_count), colored=config.light_count == 3
    )
    if config.free_center:
      zeros = jnp.zeros((config.view_count, 2))
      views = dataclasses.replace(views, offset=zeros, principal=zeros)
    weights = compiled.init_weights(jax.random.key(seed), config=config)
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
    path, saved, data = PIPELINE_FILES.read(
      pathlib.Path(directory or PRETRAINED)
    )
    config = config_from_json(saved.get("config"), path)
    try:
      state = _restore(config, data)
    except ValueError as error:
      raise PipelineError(
        f"{path / WEIGHTS_FILE} does not fit {CONFIG_FILE}: {error}."
      ) from error
    views = dacite.from_dict(Views, state["views"], _UNCHECKED)
    saved_map = state.get("whitening")
    return cls(
      config,
      views,
      state["weights"],
      saved_map and Whitening(**saved_map),
      check_surface_weight(saved.get("surface_weight", DEFAULT_WEIGHT), path),
    )

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes the pipeline; the directory appears complete or not at all."""
    data = serialization.to_bytes(jax.tree.map(_compact, self._state))
    settings: dict[str, Any] = {"config": config_to_json(self.config)}
    if self.surface_weight != DEFAULT_WEIGHT:
      settings["surface_weight"] = self.surface_weight
    PIPELINE_FILES.write(pathlib.Path(directory), settings, data)

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

  def rounded(self) -> "Pipeline":
    """Returns the pipeline with θ_T in half precision.

    A rounded number is still a float32, but a file holds it in two bytes.

    Raises:
      PipelineError: a weight is too large for half precision.
    """
    weights = jax.tree.map(lambda x: jnp.float32(jnp.float16(x)), self.weights)
    if not all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(weights)):
      raise PipelineError("a weight is too large for half precision.")
    return dataclasses.replace(self, weights=weights)

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
    config = json.dumps(config_to_json(self.config), sort_keys=True)
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
      (
        "pixels of an image",
        f"{config.width or config.render.size} x {config.render.size}",
      ),
      ("numbers of a vector", config.embed.feature_size),
      ("pose", config.pose),
      ("faces at most", config.face_budget),
      ("compares colours", "yes" if config.appearance else "no"),
      ("whitened", "no" if self.whitening is None else "yes"),
    ]
    return format_table(f"Pipeline {self.fingerprint}", ("", ""), rows)

  @property
  def face_budget(self) -> int:
    """Most faces that a mesh given to `embed` and `render` should have."""
    return self.config.face_budget

  @property
  def appearance(self) -> bool:
    """Whether meshes should come with the colours of their surfaces."""
    return self.config.appearance

  def embed(self, meshes: Sequence[Mesh]) -> np.ndarray:
    """Maps meshes to feature vectors.

    Args:
      meshes: B meshes.

    Returns:
      float32 `[B, N, D]` unit vectors, in the order of the meshes. A mesh's
      vectors do not depend on the other meshes.
    """
    features = self._zeros(len(meshes), self.views.count)
    for chosen, renderer in make_batches(meshes, self.config):
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
    if self.config.embed.backbone != "small":
      # Compiled apart from the renderer, of which each bucket has its own
      # program: a large encoder would be compiled once for each of them.
      images = self._draw(renderer)
      compiled.check_images(images, self.config)
      features = compiled.embed_spread(
        self.weights,
        self.whitening,
        images,
        config=self.config.embed,
        devices=self._devices,
      )
      return np.asarray(features)

    arguments = (self.weights, self.whitening, self.views, renderer)
    if isinstance(renderer, TriangleRenderer) and not renderer.layers:
      return np.asarray(self._embed_triangles(arguments, renderer))

    def call(budget: Budget[Any]) -> tuple[Array, Any]:
      return compiled.embed_rendered(
        *arguments, config=self.config, budget=budget, devices=self._devices
      )

    return np.asarray(self._within_budget(call, renderer))

  def _embed_triangles(
    self, arguments: tuple[Any, ...], renderer: TriangleRenderer
  ) -> Array:
    """Embeds triangles by programs that earlier processes have traced."""
    key = call_key(renderer)
    before = self._budgets.get(key)
    if before is None:
      before = self._programs.find_budget(arguments)
      if before is not None:
        self._budgets[key] = before

    def call(budget: Any) -> tuple[Array, Any]:
      return self._programs.call(arguments, budget)

    result = self._within_budget(call, renderer)
    after = self._budgets[key]
    # The first is kept, not the largest: one crowded model would otherwise slow
    # the calls of all later processes down, by 30 % as measured.
    if before is None and isinstance(after, RasterBudget):
      self._programs.keep_budget(arguments, after)
    return result

  def embed_images(self, images: np.ndarray | Array) -> np.ndarray:
    """Maps images, for example cut-out photographs, to feature vectors.

    Args:
      images: floating point `[B, M, H, W, 4]`: red, green and blue in [0, 1]
        multiplied by alpha, then alpha. H is the pipeline's
        `config.render.size`, W its `config.width` or the same, M is any number
        from 1.

    Returns:
      float32 `[B, M, D]` unit vectors, whitened as those of `embed` are. The
      vectors of a model do not depend on the other models.

    Raises:
      ValueError: the shape or the type does not fit.
    """
    compiled.check_images(images, self.config)
    images = np.asarray(images, np.float32)
    features = self._zeros(*images.shape[:2])
    count = 1 if len(images) == 1 else BATCH
    for start in range(0, len(images), count):
      batch = images[start : start + count]
      result = compiled.embed_images(
        self.weights,
        self.whitening,
        pad_rows(batch, count - len(batch)),
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
      renderer = make_renderer([mesh], self.config, size)
      start = worst[bucket][1] if bucket in worst else None
      worst[bucket] = renderer, renderer.fit_budget(self.views, start=start)
    for renderer, budget in worst.values():
      for count in (1, BATCH):
        room = budget.multiplied(count).widened(HEADROOM)
        key = call_key(pad_models(renderer, count - 1))
        before = self._budgets.get(key)
        if isinstance(before, RasterBudget):
          room = room.joined(before)
        self._budgets[key] = room

  def render(self, mesh: Mesh, *, size: int | None = None) -> np.ndarray:
    """Draws a mesh as T sees it, or larger.

    Args:
      mesh: the model.
      size: height, pixels, and width unless the pipeline's images are not
        square; None for that of the pipeline.

    Returns:
      float32 `[N, H, W, 4]`: red, green and blue multiplied by alpha, then
      alpha, in [0, 1].
    """
    images = self._draw(make_renderer([mesh], self.config, size))
    return np.clip(np.asarray(images[0], np.float32), 0, 1)

  @functools.cached_property
  def _programs(self) -> Programs:
    return Programs(
      compiled.embed_rendered, config=self.config, devices=self._devices
    )

  @functools.cached_property
  def _devices(self) -> DeviceMesh:
    return share_devices(self.config.view_count)

  def _draw(self, renderer: Renderer[Any]) -> Array:
    """`[B, N, H, W, 4]` images."""

    def call(budget: Budget[Any]) -> tuple[Array, Any]:
      return compiled.draw(
        renderer, self.views, budget=budget, devices=self._devices
      )

    return self._within_budget(call, renderer)

  def _within_budget(
    self,
    call: Callable[[Budget[Any]], tuple[Array, Any]],
    renderer: Renderer[Any],
  ) -> Array:
    """Calls with a budget that holds; remembers it for calls of this shape."""
    key = call_key(renderer)
    budget = self._budgets.get(key)
    if budget is None:
      budget = renderer.fit_budget(self.views, devices=self._devices)
      budget = budget.widened(HEADROOM)
    result, self._budgets[key] = within_budget(call, budget)
    return result

  def _zeros(self, models: int, images: int) -> np.ndarray:
    size = self.config.embed.feature_size
    return np.zeros((models, images, size), np.float32)


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
    return _expand(array)

  # To know the shapes, the network is traced, a tenth of the time of a query.
  found = [
    (jax.tree_util.keystr(path), np.shape(leaf))
    for path, leaf in jax.tree.leaves_with_path(state)
  ]
  text = f"shapes {config!r} {found}"
  if is_known(text):
    return jax.tree.map(_expand, state)
  checked = jax.tree.map_with_path(check, jax.eval_shape(create), state)
  make_known(text)
  return checked


def _expand(array: np.ndarray) -> Array:
  """What `_compact` was given."""
  is_half = array.dtype == np.float16
  return jnp.asarray(array, jnp.float32 if is_half else None)


def _compact(array: Array | np.ndarray) -> np.ndarray:
  """In half precision if that changes no number of it."""
  array = np.asarray(array)
  if array.dtype != np.float32:
    return array
  with np.errstate(over="ignore"):
    half = array.astype(np.float16)
  return half if np.array_equal(half.astype(np.float32), array) else array


def _fill_none(tree: Any, other: Any) -> Any:
  """A nested dict with each None replaced by what another one has there."""
  if tree is None:
    return other
  if isinstance(tree, dict) and isinstance(other, dict):
    return {key: _fill_none(x, other.get(key)) for key, x in tree.items()}
  return tree
