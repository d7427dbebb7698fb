"""Random solids are closed, repeatable, and similar within a family."""

import csv
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from experiments.synthesis.family import make_solid

pytestmark = pytest.mark.fast

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("family", range(0, 24, 2))
def test_solid_is_closed_and_repeatable(family):
  vertices, faces = make_solid(family, 1, seed=3)
  solid = trimesh.Trimesh(vertices, faces, process=False)
  assert np.isfinite(vertices).all()
  assert solid.is_watertight
  assert solid.volume > 0
  again = make_solid(family, 1, seed=3)
  np.testing.assert_array_equal(again[0], vertices)
  np.testing.assert_array_equal(again[1], faces)


def test_members_differ_less_than_families():
  def measure(family, member):
    solid = trimesh.Trimesh(*make_solid(family, member), process=False)
    size = np.sort(np.ptp(solid.vertices, axis=0))
    fill = solid.volume / size.prod()
    return np.log([size[0] / size[2], size[1] / size[2], fill])

  shapes = np.array([[measure(f, m) for m in range(3)] for f in range(24)])
  within = np.linalg.norm(shapes - shapes.mean(1, keepdims=True), axis=2)
  between = np.linalg.norm(shapes - shapes.mean((0, 1)), axis=2)
  assert 0 < np.median(within) < 0.5 * np.median(between)


def test_training_set_holds_solids_and_permitted_parts(tmp_path):
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
  listed = make_general(tmp_path / "general", f"--parts={parts}")["index"]
  assert [row["file"] for row in listed] == [
    "bolt/1.ply",
    *(f"solid_000{f}/{m}.ply" for f in range(2) for m in range(2)),
  ]
  for row in listed:
    assert row["split"] == "train"
    assert trimesh.load(tmp_path / "general" / row["file"]).is_watertight


def test_each_scan_is_written_beside_its_model(tmp_path):
  tables = make_general(tmp_path / "general", "--scans")
  models, scans = tables["index"], tables["scans"][len(tables["index"]) :]
  assert tables["scans"][: len(models)] == models
  assert len(scans) == len(models)
  for model, scan in zip(models, scans, strict=True):
    assert scan["file"] == model["file"].replace(".ply", "-scan.ply")
    assert (scan["class"], scan["split"]) == (model["class"], "train")
    clean = trimesh.load(tmp_path / "general" / model["file"])
    faulty = trimesh.load(tmp_path / "general" / scan["file"])
    surface = cKDTree(trimesh.sample.sample_surface(clean, 20_000, seed=0)[0])
    away, _ = surface.query(faulty.vertices)
    reach = np.linalg.norm(clean.extents)
    assert 0 < away.mean() < 0.02 * reach
    corners, _ = cKDTree(clean.vertices).query(faulty.vertices)
    assert np.median(corners) > 1e-4 * reach


def make_general(out, *flags):
  """Runs the command for two families of two; the tables it wrote."""
  command = ["-m", "experiments.make_general", "--families=2", "--members=2"]
  subprocess.run(
    [sys.executable, *command, f"--out={out}", *flags],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  tables = {}
  for path in out.glob("*.csv"):
    with path.open(newline="") as file:
      tables[path.stem] = list(csv.DictReader(file))
  return tables
