"""The product of a run: networks and a table of codes, to disk and back."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from typing import Any

import jax
import numpy as np
from flax import serialization

from dr3d.camera.view import Views
from dr3d.error import FieldError
from dr3d.field.config import FieldConfig
from dr3d.field.render import draw_images, init_networks
from dr3d.runtime.atomic import find_whole
from dr3d.runtime.config import from_values, to_values
from dr3d.runtime.weight_directory import WeightDirectory

DIRECTORY = "field"  # in the working directory of a run
CONFIG_FILE = "field.json"
_FILES = WeightDirectory(
  "field", CONFIG_FILE, 1, "dr3d field train", FieldError
)
SAMPLES = 64  # of a ray, for images


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
  """A trained field.

  Attributes:
    config: of its run.
    weights: of the networks.
    codes: float32 `[O, Z]` table of the training objects.
    pose: float32 `[K, 3]` what was learned of the cameras.
    names: of the O objects.
    views: K cameras of the training, moved by `pose`; their lights mean
      nothing.
    rows: int `[K]` object of each training picture.
  """

  config: FieldConfig
  weights: dict[str, Any]
  codes: np.ndarray
  pose: np.ndarray
  names: tuple[str, ...]
  views: Views
  rows: np.ndarray

  def draw(
    self,
    codes: np.ndarray,
    views: Views,
    *,
    size: int | None = None,
    samples: int = SAMPLES,
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws one image for each code and view.

    Args:
      codes: `[N, Z]`.
      views: N perspective views.
      size: height and width, pixels; None for that of the training.
      samples: of a ray.

    Returns:
      float32 `[N, H, W, 3]` colour, `[N, H, W]` alpha of the object, and
      `[N, H, W]` mean distance from the camera along the ray, radii.
    """
    return draw_images(
      self.weights,
      codes,
      views,
      config=self.config.network,
      size=size or self.config.size,
      samples=samples,
    )

  def find(self, name: str) -> np.ndarray:
    """Returns the code `[Z]` of a training object.

    Raises:
      FieldError: there is no such object.
    """
    if name not in self.names:
      shown = ", ".join(self.names[:5])
      raise FieldError(
        f"the field has no object {name!r}; the first of its"
        f" {len(self.names)} are {shown}."
      )
    return self.codes[self.names.index(name)]

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hexadecimal digest of the networks and the table."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves((self.weights, self.codes, self.pose)):
      digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes the field; the directory appears complete or not at all."""
    path = pathlib.Path(directory)
    data = serialization.to_bytes(
      {
        "weights": self.weights,
        "codes": self.codes,
        "pose": self.pose,
        "rows": self.rows,
        "views": _views_to_state(self.views),
      }
    )
    settings = {"names": self.names, "config": to_values(self.config)}
    _FILES.write(path, settings, data)

  @classmethod
  def load(cls, directory: str | os.PathLike[str]) -> "Field":
    """Reads a field that `save` wrote.

    Args:
      directory: of the field, or the working directory of its run.

    Raises:
      FieldError: there is none, or it is damaged.
    """
    path = pathlib.Path(directory)
    if find_whole(path / DIRECTORY).is_dir():
      path = path / DIRECTORY
    _, saved, data = _FILES.read(path)
    config = from_values(FieldConfig, saved["config"])
    state = serialization.msgpack_restore(data)
    shapes = jax.eval_shape(
      lambda: init_networks(config.network, jax.random.key(0))
    )
    weights = serialization.from_state_dict(shapes, state["weights"])
    return cls(
      config=config,
      weights=weights,
      codes=np.asarray(state["codes"]),
      pose=np.asarray(state["pose"]),
      names=tuple(saved["names"]),
      views=_views_from_state(state["views"]),
      rows=np.asarray(state["rows"]),
    )


_CAMERA = ("quaternion", "distance", "fov", "offset", "principal")


def _views_to_state(views: Views) -> dict[str, np.ndarray]:
  """The cameras, without lights."""
  fields = {name: getattr(views, name) for name in _CAMERA}
  return {name: np.asarray(x) for name, x in fields.items() if x is not None}


def _views_from_state(state: dict[str, np.ndarray]) -> Views:
  from dr3d.camera.view import make_views

  views = make_views(state["quaternion"], colored=False)
  cameras: dict[str, Any] = {name: state.get(name) for name in _CAMERA}
  return dataclasses.replace(views, **cameras)
