"""Ranked lists as a file that a spreadsheet may open."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from dr3d.evaluation.report.rankings import write_rankings

pytestmark = pytest.mark.fast


def test_names_that_look_like_formulas_are_text(tmp_path):
  path = tmp_path / "rankings.csv"
  task = SimpleNamespace(queries=["=1+1.stl"], models=["@a.stl", "b.stl"])
  lists = SimpleNamespace(
    task=task,
    first=0,
    order=np.array([[1, 0]]),
    score=np.array([[0.5, -np.inf]]),
    method="pipeline",
    search="exact",
  )
  with write_rankings(path) as write:
    write(lists)
  rows = list(csv.DictReader(path.open()))
  assert [row["query"] for row in rows] == ["'=1+1.stl"] * 2
  assert [row["model"] for row in rows] == ["b.stl", "'@a.stl"]
  assert [float(row["score"]) for row in rows] == [0.5, -np.inf]
