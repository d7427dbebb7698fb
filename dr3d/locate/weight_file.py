"""The locator's files: its configuration, its weights, its calibration.

locate.json        format, checksum, network, calibration
weights.msgpack    trunk and search network, in half precision
"""

import dataclasses
import hashlib
import json
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
from dr3d.runtime.atomic import atomic_directory, find_whole

FORMAT = 1
CONFIG_FILE = "locate.json"
WEIGHTS_FILE = "weights.msgpack"

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
  saved = {
    "format": FORMAT,
    "sha256": hashlib.sha256(data).hexdigest(),
    "network": dataclasses.asdict(weights.network),
    "calibration": calibration and dataclasses.asdict(calibration),
  }
  directory.parent.mkdir(parents=True, exist_ok=True)
  with atomic_directory(directory) as partial:
    text = json.dumps(saved, indent=2)
    (partial / CONFIG_FILE).write_text(text, encoding="utf-8")
    (partial / WEIGHTS_FILE).write_bytes(data)


def load_weights(directory: pathlib.Path) -> LocatorWeights:
  """Reads what `save_weights` wrote.

  Raises:
    PipelineError: a file is missing, damaged or of another format.
  """
  path = find_whole(directory)
  try:
    saved = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
    data = (path / WEIGHTS_FILE).read_bytes()
  except FileNotFoundError as error:
    raise PipelineError(
      f"{path} holds no locator: {pathlib.Path(error.filename).name} is"
      " missing; name a folder that a training wrote."
    ) from error
  except (OSError, ValueError) as error:
    raise PipelineError(f"{path} cannot be read: {error}.") from error
  if not isinstance(saved, dict) or saved.get("format") != FORMAT:
    raise PipelineError(
      f"{path} holds a locator of another format than {FORMAT}, which is the"
      " only one that this version of dr3d reads."
    )
  if hashlib.sha256(data).hexdigest() != saved.get("sha256"):
    raise PipelineError(
      f"{path / WEIGHTS_FILE} is damaged: its checksum does not match"
      f" {CONFIG_FILE}; copy the folder again."
    )
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
