"""Random solids: closed, repeatable, alike within a family."""

import csv
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import trimesh

from experiments.synthesis.family import make_solid

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.parametrize("family", range(0, 24, 2))
def test_a_solid_is_closed_and_the_same_each_time(family):
  vertices, faces = make_solid(family, 1, seed=3)
  solid = trimesh.Trimesh(vertices, faces, process=False)
  assert np.isfinite(vertices).all()
  assert solid.is_watertight
  assert solid.volume > 0
  again = make_solid(family, 1, seed=3)
  np.testing.assert_array_equal(again[0], vertices)
  np.testing.assert_array_equal(again[1], faces)


def test_members_of_a_family_differ_less_than_families():
  def measure(family, member):
    solid = trimesh.Trimesh(*make_solid(family, member), process=False)
    size = np.sort(np.ptp(solid.vertices, axis=0))
    fill = solid.volume / size.prod()
    return np.log([size[0] / size[2], size[1] / size[2], fill])

  shapes = np.array([[measure(f, m) for m in range(3)] for f in range(24)])
  within = np.linalg.norm(shapes - shapes.mean(1, keepdims=True), axis=2)
  between = np.linalg.norm(shapes - shapes.mean((0, 1)), axis=2)
  assert 0 < np.median(within) < 0.5 * np.median(between)


def test_the_general_set_holds_solids_and_the_parts_that_may_be_used(tmp_path):
  parts = tmp_path / "parts"
  rows = [
    ("bolt", "bolt/1.ply", "train", "freecad_parts"),
    ("bolt", "bolt/2.ply", "test", "freecad_parts"),
    ("plug", "plug/1.ply", "train", "freecad_parts"),
    ("plug", "plug/2.ply", "train", "other"),  # so its class is left out
  ]
  for _, name, *_ in rows:
    (parts / name).parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box().export(parts / name)
  with (parts / "index.csv").open("w", newline="") as file:
    header = ("class", "file", "split", "source_set")
    csv.writer(file).writerows([header, *rows])
  out = tmp_path / "general"
  command = ["-m", "experiments.make_general", "--families=2", "--members=2"]
  subprocess.run(
    [sys.executable, *command, f"--parts={parts}", f"--out={out}"],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  with (out / "index.csv").open(newline="") as file:
    listed = list(csv.DictReader(file))
  assert [row["file"] for row in listed] == [
    "bolt/1.ply",
    *(f"solid_000{f}/{m}.ply" for f in range(2) for m in range(2)),
  ]
  for row in listed:
    assert row["split"] == "train"
    assert trimesh.load(out / row["file"]).is_watertight
