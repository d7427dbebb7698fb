"""Small files of the kinds that real collections hold, each with its value."""

import json
import pathlib

import numpy as np
import pytest
from support.mesh_files import area, extent

from dr3d.error import MeshError
from dr3d.mesh.io.reader import read_raw

ROOT = pathlib.Path(__file__).parents[3].parent / "shared" / "data" / "cases"
CASES = sorted(
  path.parent
  for path in ROOT.glob("*/right.json")
  if "file" in json.loads(path.read_text())
)


@pytest.mark.skipif(not CASES, reason="no folder of cases beside the checkout")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_is_read_right_or_refused_in_its_words(case):
  right = json.loads((case / "right.json").read_text())
  path = case / right["file"]
  if path.suffix in (".igs", ".step", ".stpz"):
    pytest.importorskip("OCP")
  tolerance = right.get("tolerance", 1e-3)
  try:
    raw = read_raw(path)
  except MeshError as error:
    reason = str(error).replace(str(path), "").lower()
    assert any(word.lower() in reason for word in right["refuse"]), reason
    return
  assert area(raw) == pytest.approx(right["area"], rel=tolerance)
  np.testing.assert_allclose(extent(raw), right["extent"], rtol=tolerance)
  assert len(raw.faces) == right.get("triangles", len(raw.faces))
