"""Trust as text, for the models that it was measured with and no others."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from dr3d.search.trust import Findings, Trust

_FORMAT = 1


def fingerprint(
  names: Sequence[str], labels: Sequence[str], keys: np.ndarray
) -> str:
  """Names what trust depends on.

  Args:
    names: of the B models.
    labels: of these.
    keys: uint64 [B], of their vectors.
  """
  digest = hashlib.sha256(json.dumps([_FORMAT, *names, *labels]).encode())
  digest.update(np.ascontiguousarray(keys, "<u8").data)
  return digest.hexdigest()


def dump(trust: Trust, name: str) -> str:
  """Trust as text.

  Args:
    trust: that was measured.
    name: fingerprint of the models it was measured with.
  """
  return json.dumps(
    {
      "name": name,
      "models": trust.models.tolist(),
      "sharing": trust.sharing.tolist(),
      "strangers": _to_lists(trust.strangers),
      "fellows": _to_lists(trust.fellows),
    }
  )


def load(text: str | None, name: str) -> Trust | None:
  """Trust from text; None where it is of other models, or there is none.

  Args:
    text: as `dump` wrote it, or None.
    name: fingerprint of the models that are searched.
  """
  if text is None:
    return None
  values = json.loads(text)
  if values["name"] != name:
    return None
  return Trust(
    np.array(values["models"], int),
    _to_findings(values["strangers"]),
    _to_findings(values["fellows"]),
    np.array(values["sharing"], bool),
  )


def _to_lists(findings: Findings) -> list[list]:
  return [
    findings.lead.tolist(),
    findings.score.tolist(),
    findings.right.tolist(),
  ]


def _to_findings(values: list[list]) -> Findings:
  lead, score, right = values
  return Findings(np.array(lead), np.array(score), np.array(right, bool))
