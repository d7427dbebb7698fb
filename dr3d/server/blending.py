"""Shapes between two models of the database, decoded for the page."""

import dataclasses
import functools
import importlib.util
import threading
from typing import TYPE_CHECKING

import numpy as np

from dr3d.mesh.io.glb import write_glb
from dr3d.mesh.packing import unpack_mesh
from dr3d.server.http_error import HttpError
from dr3d.server.latest_cache import LatestCache
from dr3d.server.state import State

if TYPE_CHECKING:
  from dr3d.shape.model import ShapeModel

_RESOLUTION = 64  # of marching cubes
_CACHED_PAIRS = 256  # of codes, 1 kB each
_CACHED_SHAPES = 64  # GLB files, about 100 kB each
_STEPS = 100  # shares that are told apart


class Blender:
  """Decodes shapes between models; caches the latest."""

  def __init__(self) -> None:
    """Makes it; the networks are loaded by the first request."""
    # One shape at a time, so that queries keep the other cores.
    self._lock = threading.Lock()
    self._pairs = LatestCache[np.ndarray](_CACHED_PAIRS)
    self._shapes = LatestCache[bytes](_CACHED_SHAPES)

  def blend(self, state: State, name: str, other: str, share: float) -> bytes:
    """Returns the shape between two models as GLB, in the pose of the first.

    Its size lies between theirs.

    Args:
      state: of the database.
      name: of the first model.
      other: of the second one.
      share: of the second one, from 0 to 1.

    Raises:
      HttpError: there is no such model, or no shape model is installed.
      MeshError: the code between stands for an empty shape.
    """
    if not is_available():
      raise HttpError(
        404,
        "this service draws no shapes between models: it needs pip install"
        " 'dr3d[shape]'.",
      )
    step = round(_STEPS * share)
    pair = tuple((each, state.find(each).hash) for each in (name, other))
    with self._lock:
      return self._shapes.find(
        (*pair, step), lambda: self._draw(state, pair, step / _STEPS)
      )

  def _draw(
    self, state: State, pair: tuple[tuple[str, str], ...], share: float
  ) -> bytes:
    model = load_model()
    first, second = (
      unpack_mesh(state.find_shape(name).mesh) for name, _ in pair
    )

    def encode() -> np.ndarray:
      from dr3d.shape.key import encode_pair

      return encode_pair(model, first, second)

    codes = self._pairs.find(pair, encode)
    weights = np.array([1 - share, share], np.float32)
    mesh = model.decode(weights @ codes, resolution=_RESOLUTION)
    # The codes are those of principal poses. The decoded mesh has axes of its
    # own, which would make the shape jump from one share to the next.
    placed = dataclasses.replace(
      mesh,
      frame=np.eye(3, dtype=np.float32),
      radius=float(weights @ [first.radius, second.radius]),
    )
    return write_glb(placed)


@functools.cache
def is_available() -> bool:
  """Whether the network and what makes surfaces are installed."""
  if importlib.util.find_spec("skimage") is None:
    return False
  from dr3d.shape.model import CONFIG_FILE, PRETRAINED  # brings jax

  return (PRETRAINED / CONFIG_FILE).is_file()


@functools.cache
def load_model() -> "ShapeModel":
  """The shape model that ships, loaded once in a process."""
  from dr3d.shape.model import ShapeModel

  return ShapeModel.load()
