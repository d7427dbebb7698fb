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
from dr3d.search.calibration import Findings, Trust

_FORMAT = 2
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


def dump(trust: Trust, sketch: np.ndarray) -> str:
  """Trust as text.

  Args:
    trust: that was measured.
    sketch: of the models it was measured with.
  """
  return json.dumps(
    {
      "format": _FORMAT,
      "sketch": sketch.tolist(),
      "models": trust.models.tolist(),
      "sharing": trust.sharing.tolist(),
      "strangers": _to_lists(trust.strangers),
      "fellows": _to_lists(trust.fellows),
    }
  )


def load(text: str | None, sketch: np.ndarray) -> Trust | None:
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
  return Trust(
    np.full_like(models, -1) if drift else models,
    _to_findings(values["strangers"]),
    _to_findings(values["fellows"]),
    np.array(values["sharing"], bool),
  )


def _measure_drift(before: np.ndarray, now: np.ndarray) -> float:
  """Share of the models of two sketches that only one of them has."""
  either = np.union1d(before, now)[:_KEYS]
  both = np.isin(either, before) & np.isin(either, now)
  return 1 - float(both.mean()) if len(either) else 0.0


def _to_lists(findings: Findings) -> list[list]:
  return [
    findings.lead.tolist(),
    findings.nearness.tolist(),
    findings.right.tolist(),
  ]


def _to_findings(values: list[list]) -> Findings:
  lead, nearness, right = values
  return Findings(np.array(lead), np.array(nearness), np.array(right, bool))
