"""Trust as text, for the models that it was measured with, or nearly these.

To ask a large gallery for its own models takes seconds, and what they find
hardly changes where few come and go. So trust is kept until one in fifty has.
How many have, a sketch tells: the smallest of the models' keys (Broder, On the
resemblance and containment of documents, 1997).
"""

import json
import zlib
from collections.abc import Sequence

import numpy as np

from dr3d.mesh.surface import MIX
from dr3d.search.calibration import Calibration, Findings

_FORMAT = 3
_DRIFT = 0.02  # share of the models that may have come or gone
_KEYS = 1024  # in a sketch


def draw_sketch(
  names: Sequence[str], labels: Sequence[str], keys: np.ndarray
) -> np.ndarray:
  """Stands for what trust depends on.

  Args:
    names: of the B models.
    labels: of these.
    keys: uint64 [B], of their vectors.

  Returns:
    uint64, at most 1024, ascending.
  """
  texts = zip(names, labels, strict=True)
  sums = [zlib.crc32(f"{name}\0{label}".encode()) for name, label in texts]
  mixed = (keys ^ np.array(sums, np.uint64)) * MIX
  return np.unique(mixed ^ (mixed >> np.uint64(32)))[:_KEYS]


def dump(calibration: Calibration, sketch: np.ndarray) -> str:
  """Trust as text.

  Args:
    calibration: that was measured.
    sketch: of the models it was measured with.
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
  """Trust from text; None where it is of other models, or there is none.

  Args:
    text: as `dump` wrote it, or None.
    sketch: of the models that are searched.

  Returns:
    The trust; its models are -1 where others have come or gone since.
  """
  if text is None:
    return None
  values = json.loads(text)
  if values["format"] != _FORMAT:
    return None
  drift = _measure_drift(np.array(values["sketch"], np.uint64), sketch)
  if drift > _DRIFT:
    return None
  models = np.array(values["models"], int)
  return Calibration(
    np.full_like(models, -1) if drift else models,
    _to_findings(values["unknown_class"]),
    _to_findings(values["in_database"]),
    np.array(values["sharing"], bool),
  )


def _measure_drift(before: np.ndarray, now: np.ndarray) -> float:
  """Share of the models of two sketches that only one of them has."""
  either = np.union1d(before, now)[:_KEYS]
  both = np.isin(either, before) & np.isin(either, now)
  return 1 - float(both.mean()) if len(either) else 0.0


def _to_lists(findings: Findings) -> list[list]:
  return [
    findings.margin.tolist(),
    findings.rejection_score.tolist(),
    findings.right.tolist(),
  ]


def _to_findings(values: list[list]) -> Findings:
  margin, rejection_score, right = values
  return Findings(
    np.array(margin), np.array(rejection_score), np.array(right, bool)
  )
