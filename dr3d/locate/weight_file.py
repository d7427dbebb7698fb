"""The locator's files: its configuration, its weights, its calibration.

locate.json        format, checksum, network, calibration
weights.msgpack    trunk and search network, in half precision
"""

import dataclasses
import pathlib
from typing import Any

import dacite
import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from dr3d.error import PipelineError
from dr3d.locate.network import NetworkConfig
from dr3d.locate.presence import Calibration
from dr3d.runtime.weight_directory import WeightDirectory

CONFIG_FILE = "locate.json"
_FILES = WeightDirectory("locator", CONFIG_FILE, 1, "a training", PipelineError)

PRETRAINED = pathlib.Path(__file__).parents[1] / "pretrained" / "locate"


@dataclasses.dataclass(frozen=True, eq=False)
class LocatorWeights:
  """All that a locator has learned.

  Attributes:
    network: configuration of the search network.
    trunk: variables of `nn.lite0.Lite0Maps`.
    search: variables of `SearchNetwork`.
    calibration: of the presence decision; None before it is fitted.
  """

  network: NetworkConfig
  trunk: Any
  search: Any
  calibration: Calibration | None = None


def save_weights(weights: LocatorWeights, directory: pathlib.Path) -> None:
  """Writes a folder; it appears complete or not at all."""
  arrays = {"trunk": weights.trunk, "search": weights.search}
  data = serialization.to_bytes(
    jax.tree.map(lambda x: np.asarray(x, np.float16), arrays)
  )
  calibration = weights.calibration
  settings = {
    "network": dataclasses.asdict(weights.network),
    "calibration": calibration and dataclasses.asdict(calibration),
  }
  _FILES.write(directory, settings, data)


def load_weights(directory: pathlib.Path) -> LocatorWeights:
  """Reads what `save_weights` wrote.

  Raises:
    PipelineError: a file is missing, damaged or of another format.
  """
  path, saved, data = _FILES.read(directory)
  arrays = jax.tree.map(
    lambda x: jnp.asarray(x, jnp.float32), serialization.msgpack_restore(data)
  )
  options = dacite.Config(cast=[tuple])
  try:
    network = dacite.from_dict(NetworkConfig, saved["network"], options)
    calibration = saved["calibration"] and dacite.from_dict(
      Calibration, saved["calibration"], options
    )
  except (dacite.DaciteError, LookupError, TypeError) as error:
    raise PipelineError(f"{path / CONFIG_FILE} is damaged: {error}.") from error
  return LocatorWeights(network, arrays["trunk"], arrays["search"], calibration)
