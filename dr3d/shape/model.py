"""The shape model: all networks together, to disk and back.

`B` shapes, `P` points, `Z` size of a code.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from dr3d.error import Dr3dError, MeshError
from dr3d.mesh import Mesh, make_mesh
from dr3d.nn.resnet import PictureEncoder
from dr3d.runtime.config import from_values, to_values
from dr3d.runtime.weight_directory import WeightDirectory
from dr3d.shape.autoencoder import encoder_resolution, make_networks
from dr3d.shape.config import (
  AutoencoderConfig,
  GeneratorConfig,
  PictureConfig,
)
from dr3d.shape.isosurface import Field, find_surface, sample_refined
from dr3d.shape.refine import RefineConfig, refine_codes
from dr3d.shape.voxel import (
  RESOLUTION,
  SCALE,
  Pose,
  average_voxels,
  fill_voxels,
  grid_points,
  place_mesh,
)

Array = jax.Array

CONFIG_FILE = "shape.json"
_FILES = WeightDirectory(
  "shape model", CONFIG_FILE, 2, "experiments.shape_train"
)
PRETRAINED = pathlib.Path(__file__).parents[1] / "pretrained" / "shape"

CHUNK = 32_768  # points of one call of the decoder
BATCH = 16  # shapes or pictures of one call of an encoder
FACE_BUDGET = 4096  # of a decoded mesh, unless another is asked for


@dataclasses.dataclass(frozen=True)
class ShapeConfig:
  """The settings of all networks; None for one that is not trained."""

  autoencoder: AutoencoderConfig = dataclasses.field(
    default_factory=AutoencoderConfig
  )
  picture: PictureConfig | None = None
  generator: GeneratorConfig | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ShapeModel:
  """Encoder, implicit decoder, and what was trained upon them.

  Attributes:
    config: settings.
    params: Flax variables of `encoder`, `decoder`, and, if trained, `picture`
      and `generator`.
    codes: float32 [n, Z] of the shapes that the decoder was trained on.
  """

  config: ShapeConfig
  params: dict[str, Any]
  codes: np.ndarray

  @classmethod
  def load(
    cls, directory: str | os.PathLike[str] | None = None
  ) -> "ShapeModel":
    """Reads a model that `save` wrote.

    Args:
      directory: of the model; None for the small one that ships with dr3d.

    Raises:
      Dr3dError: there is none, or it is damaged or of another format.
    """
    path, saved, data = _FILES.read(pathlib.Path(directory or PRETRAINED))
    try:
      config = from_values(ShapeConfig, saved["config"])
    except (KeyError, ValueError) as error:
      raise Dr3dError(f"{path / CONFIG_FILE} is damaged: {error}") from error
    state = jax.tree.map(np.float32, serialization.msgpack_restore(data))
    return cls(config, state["params"], state["codes"])

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes the model in half precision, whole or not at all."""
    state = {"params": self.params, "codes": self.codes}
    halves = jax.tree.map(lambda x: np.asarray(x, np.float16), state)
    data = serialization.msgpack_serialize(halves)
    settings = {"config": to_values(self.config)}
    _FILES.write(pathlib.Path(directory), settings, data)

  def encode_voxels(self, voxels: np.ndarray) -> np.ndarray:
    """Returns codes float32 [B, Z] of voxels, bool [B, R, R, R].

    R is a multiple of the encoder's resolution.
    """
    config = self.config.autoencoder
    coarse = average_voxels(voxels, resolution=encoder_resolution(config))
    return _in_batches(
      functools.partial(_encode, self.params["encoder"], config=config),
      coarse,
    )

  def encode(
    self,
    meshes: Sequence[Mesh],
    *,
    pose: Pose = "principal",
    refinement: RefineConfig | None = None,
  ) -> np.ndarray:
    """Returns the codes of meshes, float32 [B, Z].

    Args:
      meshes: B meshes.
      pose: see `place_mesh`.
      refinement: how the encoder's codes are refined, see `refine_voxels`; None
        leaves them as they are.
    """
    voxels = [
      fill_voxels(place_mesh(mesh, pose=pose), mesh.faces) for mesh in meshes
    ]
    shape = (-1, *(RESOLUTION,) * 3)
    filled = np.reshape(voxels, shape).astype(bool)
    codes = self.encode_voxels(filled)
    if refinement is None:
      return codes
    return self.refine_voxels(codes, filled, config=refinement)

  def refine_voxels(
    self,
    codes: np.ndarray,
    voxels: np.ndarray,
    *,
    config: RefineConfig | None = None,
  ) -> np.ndarray:
    """Returns codes that draw the voxels better, float32 [B, Z].

    They are for drawing. As keys, codes of the encoder are compared.

    Args:
      codes: float [B, Z] of the encoder.
      voxels: bool [B, 64, 64, 64].
      config: steps and their size.
    """
    return refine_codes(
      self.params["decoder"],
      codes,
      voxels,
      network=self.config.autoencoder,
      config=config,
    )

  def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
    """Returns the codes of pictures, float32 [B, Z].

    Args:
      pictures: float [B, H, W] of the size of the settings: grey, inverted,
        0 for the background; see `dr3d.shape.lift.prepare_picture`.

    Raises:
      Dr3dError: the model has no picture encoder.
    """
    if self.config.picture is None:
      raise Dr3dError(
        "the shape model has no picture encoder; train it with"
        " experiments.shape_train --only=picture."
      )
    widths = self.config.picture.widths
    return _in_batches(
      functools.partial(
        _encode_pictures,
        self.params["picture"],
        widths=widths,
        code_size=self.config.autoencoder.code_size,
      ),
      np.asarray(pictures, np.float32),
    )

  def field(self, code: np.ndarray) -> Field:
    """Returns the function of points, logits, that a code stands for."""
    code = np.asarray(code, np.float32).reshape(1, -1)
    size = self.config.autoencoder.code_size
    if code.shape[1] != size:
      raise ValueError(f"a code has {size} numbers, not {code.shape[1]}.")
    decode = functools.partial(
      _decode, self.params["decoder"], code, config=self.config.autoencoder
    )

    def evaluate(points: np.ndarray) -> np.ndarray:
      count = len(points)
      values = []
      for start in range(0, count, CHUNK):
        part = points[start : start + CHUNK]
        # Two sizes only, so that few programs are compiled.
        room = CHUNK if count > CHUNK // 8 else CHUNK // 8
        padded = np.zeros((1, room, 3), np.float32)
        padded[0, : len(part)] = part
        values.append(np.asarray(decode(padded))[0, : len(part)])
      return np.concatenate(values) if values else np.zeros(0, np.float32)

    return evaluate

  def decode_voxels(self, code: np.ndarray, *, resolution: int) -> np.ndarray:
    """Returns the occupied voxels of a code, bool [R, R, R]."""
    values = self.field(code)(grid_points(resolution))
    return values.reshape((resolution,) * 3) > 0

  def decode(
    self,
    code: np.ndarray,
    *,
    resolution: int = 64,
    face_budget: int | None = FACE_BUDGET,
  ) -> Mesh:
    """Returns the mesh of a code.

    Args:
      code: float [Z].
      resolution: of marching cubes, 32 times a power of 2.
      face_budget: largest number of faces; None keeps all.

    Raises:
      MeshError: the code stands for an empty shape.
    """
    values = sample_refined(self.field(code), resolution=resolution)
    try:
      vertices, faces = find_surface(values)
    except MeshError as error:
      raise MeshError(
        f"the code has no surface at {resolution}³ points; {error}"
      ) from error
    return make_mesh(vertices / SCALE, faces, face_budget=face_budget)


def finish(
  model: ShapeModel,
  name: Literal["picture", "generator"],
  config: PictureConfig | GeneratorConfig,
  params: Any,
) -> ShapeModel:
  """Returns the model with a network whose training has ended.

  Args:
    model: without it, or with a former one.
    name: of the network.
    config: its settings.
    params: its Flax variables.
  """
  settings: Any = {name: config}
  return dataclasses.replace(
    model,
    config=dataclasses.replace(model.config, **settings),
    params={**model.params, name: params},
  )


def interpolate(
  first: np.ndarray, second: np.ndarray, *, count: int = 3
) -> np.ndarray:
  """Returns codes between two codes, without these two.

  Args:
    first: float [Z].
    second: float [Z].
    count: n; the weights of `first` are i / (n + 1), so 1/4, 1/2, 3/4 for 3.

  Returns:
    float32 [n, Z].

  References:
    IM-NET (Chen and Zhang, CVPR 2019), section 4.2: a linear path of codes.
  """
  weight = np.arange(1, count + 1, dtype=np.float32)[:, None] / (count + 1)
  between = weight * first + (1 - weight) * second
  return between.astype(np.float32)


def _in_batches(call: Any, inputs: np.ndarray) -> np.ndarray:
  """Calls with padded batches, so that one program is compiled."""
  rows = []
  for start in range(0, len(inputs), BATCH):
    part = inputs[start : start + BATCH]
    missing = [(0, BATCH - len(part))] + [(0, 0)] * (part.ndim - 1)
    rows.append(np.asarray(call(np.pad(part, missing)))[: len(part)])
  return np.concatenate(rows)


@functools.partial(jax.jit, static_argnames="config")
def _encode(params: Any, voxels: Array, *, config: AutoencoderConfig) -> Array:
  return make_networks(config)[0].apply(params, voxels)


@functools.partial(jax.jit, static_argnames=("widths", "code_size"))
def _encode_pictures(
  params: Any, pictures: Array, *, widths: tuple[int, ...], code_size: int
) -> Array:
  network: Any = PictureEncoder(widths, code_size)
  return network.apply(params, pictures)


@functools.partial(jax.jit, static_argnames="config")
def _decode(
  params: Any, code: Array, points: Array, *, config: AutoencoderConfig
) -> Array:
  return make_networks(config)[1].apply(params, jnp.asarray(code), points)
