"""A calibration as text, with a sketch of the models that it was fitted to.

To query a large gallery with its own models takes seconds, and the result
hardly changes when few models are added or removed. So a calibration is kept
until 2 % of the models have changed. A sketch tells how many have: the smallest
of the models' keys (Broder, On the resemblance and containment of documents,
1997).
"""

import json
import zlib
from collections.abc import Sequence

import numpy as np

from dr3d.runtime.hashing import MIX
from dr3d.search.calibration import Calibration, Observations

_FORMAT = 3  # another one is fitted again
_MAX_DRIFT = 0.02  # share of the models that may have been added or removed
_SKETCH_SIZE = 1024  # keys: the drift is then estimated to .005


def draw_sketch(
  names: Sequence[str], labels: Sequence[str], keys: np.ndarray
) -> np.ndarray:
  """Samples what a calibration depends on.

  Args:
    names: of the B models.
    labels: of these.
    keys: uint64 [B], of the models' vectors.

  Returns:
    uint64, at most 1024, ascending.
  """
  texts = zip(names, labels, strict=True)
  sums = [zlib.crc32(f"{name}\0{label}".encode()) for name, label in texts]
  mixed = (keys ^ np.array(sums, np.uint64)) * MIX
  return np.unique(mixed ^ (mixed >> np.uint64(32)))[:_SKETCH_SIZE]


def dump(calibration: Calibration, sketch: np.ndarray) -> str:
  """A calibration as text.

  Args:
    calibration: to be stored.
    sketch: of the models it was fitted with.
  """
  return json.dumps(
    {
      "format": _FORMAT,
      "sketch": sketch.tolist(),
      "models": calibration.models.tolist(),
      "sharing": calibration.sharing.tolist(),
      "unknown_class": _to_lists(calibration.unknown_class),
      "in_database": _to_lists(calibration.in_database),
    }
  )


def load(text: str | None, sketch: np.ndarray) -> Calibration | None:
  """A calibration from text; None if there is none that fits the models.

  Args:
    text: as `dump` wrote it, or None.
    sketch: of the models that are searched.

  Returns:
    The calibration; its models are -1 if some were added or removed since.
  """
  if text is None:
    return None
  values = json.loads(text)
  if values["format"] != _FORMAT:
    return None
  drift = _measure_drift(np.array(values["sketch"], np.uint64), sketch)
  if drift > _MAX_DRIFT:
    return None
  models = np.array(values["models"], int)
  return Calibration(
    np.full_like(models, -1) if drift else models,
    _to_observations(values["unknown_class"]),
    _to_observations(values["in_database"]),
    np.array(values["sharing"], bool),
  )


def _measure_drift(before: np.ndarray, now: np.ndarray) -> float:
  """Share of the models in only one of two sketches."""
  either = np.union1d(before, now)[:_SKETCH_SIZE]
  both = np.isin(either, before) & np.isin(either, now)
  return 1 - float(both.mean()) if len(either) else 0.0


def _to_lists(observations: Observations) -> list[list]:
  return [
    observations.margin.tolist(),
    observations.rejection_score.tolist(),
    observations.right.tolist(),
  ]


def _to_observations(values: list[list]) -> Observations:
  margin, rejection_score, right = values
  return Observations(
    np.array(margin), np.array(rejection_score), np.array(right, bool)
  )
