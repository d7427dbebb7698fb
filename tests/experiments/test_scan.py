"""Simulated scans, their statistics, and the benchmark's gallery."""

import csv
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from support.service import make_database

from dr3d.error import MeshError
from dr3d.geometry.sphere import enclosing_sphere
from dr3d.mesh import load_mesh, make_mesh
from dr3d.mesh.surface import open_half_edges
from experiments import scan_camera, scan_rank, scan_set
from experiments.scan_camera import DepthCamera, scan_model
from experiments.scan_statistic import COLUMNS, format_statistic, measure

ROOT = pathlib.Path(__file__).parents[2]
CAMERA = DepthCamera(size=120, azimuths=6, elevations=(20.0, 60.0))
BOX = trimesh.creation.box((40, 60, 90))


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch):
  monkeypatch.setattr(scan_camera, "_SAMPLES", 40_000)


def scan(fusion, *, seed=0, shape=BOX):
  return scan_model(
    shape.vertices,
    shape.faces,
    fusion=fusion,
    radius=0.08,
    rng=np.random.default_rng(seed),
    camera=CAMERA,
  )


# ----- the camera ------------------------------------------------------------


@pytest.mark.parametrize("fusion", ["tsdf", "poisson"])
def test_scan_has_the_size_and_the_surface_of_its_model(fusion):
  vertices, faces = scan(fusion)
  found, clean = make_mesh(vertices, faces), make_mesh(BOX.vertices, BOX.faces)
  statistic = measure(found, clean)
  assert 0.9 < statistic.size < 1.15  # in the unit of the model
  assert statistic.extra < {"tsdf": 0.2, "poisson": 0.4}[fusion]  # it melts
  assert 0 < statistic.rough < 0.04


def test_only_the_truncated_distance_leaves_the_underside_open():
  opened, closed = (
    len(open_half_edges(faces, len(vertices)))
    for vertices, faces in (scan("tsdf"), scan("poisson"))
  )
  assert opened > 20
  assert closed == 0


def test_same_state_gives_the_same_scan_and_another_gives_another():
  one, again, other = scan("tsdf"), scan("tsdf"), scan("tsdf", seed=1)
  np.testing.assert_array_equal(one[0], again[0])
  np.testing.assert_array_equal(one[1], again[1])
  assert one[0].shape != other[0].shape


def test_surface_nets_find_a_sphere():
  count, cell = 24, 0.1
  grid = (np.indices((count,) * 3).transpose(1, 2, 3, 0) + 0.5) * cell
  middle = count * cell / 2
  value = np.linalg.norm(grid - middle, axis=-1) - 0.7
  vertices, faces = scan_camera._extract(
    value, np.ones(value.shape, bool), np.full(3, cell / 2), cell
  )
  radius = np.linalg.norm(vertices - middle, axis=1)
  np.testing.assert_allclose(radius, 0.7, atol=0.02)
  assert len(open_half_edges(faces, len(vertices))) == 0
  assert trimesh.Trimesh(vertices, faces).volume == pytest.approx(
    4 / 3 * np.pi * 0.7**3, rel=0.03
  )


def test_arrays_that_are_no_mesh_raise():
  flat = trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False)
  with pytest.raises(MeshError, match="has no size"):
    scan("tsdf", shape=flat)


# ----- the statistics --------------------------------------------------------


def test_model_differs_from_itself_in_nothing():
  mesh = make_mesh(BOX.vertices, BOX.faces)
  statistic = measure(mesh, mesh)
  assert (statistic.size, statistic.missing, statistic.extra) == (1, 0, 0)
  assert (statistic.rim, statistic.debris) == (0, 0)
  assert statistic.rough < 1e-3
  assert statistic.tilt < 0.1
  assert len(format_statistic(statistic)) == len(COLUMNS) == 7


def test_box_without_a_side_lacks_it():
  ball = trimesh.creation.icosphere(3)
  kept = ball.faces[ball.triangles_center[:, 2] < 0.3]
  clean, cut = (
    make_mesh(ball.vertices, ball.faces),
    make_mesh(ball.vertices, kept),
  )
  statistic = measure(cut, clean)
  assert 0.1 < statistic.missing < 0.5
  assert statistic.extra < 0.05
  expected = 2 * np.pi * np.sqrt(1 - 0.3**2) / cut.radius
  assert statistic.rim == pytest.approx(expected, rel=0.15)


# ----- objects, gallery and ranks --------------------------------------------


@pytest.fixture
def objects(tmp_path):
  """Three objects with a scan each, and other meshes."""
  root = tmp_path / "scans"
  root.mkdir()
  rows = []
  for i, name in enumerate(("bowl", "can", "dice")):
    for kind in ("clean", "scan_poisson", "scan_tsdf"):
      file = f"{name}_{kind}.ply"
      shape = trimesh.creation.box((0.1, 0.05 + 0.02 * i, 0.03))
      shape.export(root / file)
      rows.append((kind, name, file))
  with (root / "index.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("kind", "object", "file"), *rows])
  for i in range(5):
    path = tmp_path / f"others/{i % 2}/{i}.ply"
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.icosphere(1, 10.0 ** (i - 2)).export(path)
  return root


def test_halves_share_no_object(objects):
  found = scan_set.read_objects(objects)
  assert found["can"]["scan_tsdf"] == "can_scan_tsdf.ply"
  halves = scan_set.split_objects(sorted(found))
  assert halves == {"choose": ["can"], "report": ["bowl", "dice"]}


def test_gallery_has_clean_models_and_distractors_of_their_sizes(
  objects, tmp_path
):
  scan_set.write_gallery(
    objects,
    scan_set.read_objects(objects),
    tmp_path / "gallery",
    others=tmp_path / "others",
    count=4,
  )
  clean = sorted(path.name for path in (tmp_path / "gallery/clean").iterdir())
  assert clean == ["bowl.ply", "can.ply", "dice.ply"]
  others = sorted((tmp_path / "gallery/distractor").iterdir())
  assert len(others) == 4
  low, high = scan_set.RADII
  for path in others:
    _, radius = enclosing_sphere(
      load_mesh(path).vertices * load_mesh(path).radius
    )
    assert low <= radius <= high


def test_every_way_to_rank_puts_a_known_model_first(tmp_path):
  database = make_database(tmp_path)
  name = "box/long.stl"
  mesh = load_mesh(tmp_path / "models" / name, face_budget=100)
  for rank in (
    lambda mesh: scan_rank.ask(database, mesh),
    lambda mesh: scan_rank.ask(database, mesh, verify=0),
    scan_rank.make_light_field(database),
    scan_rank.make_registration(database),
  ):
    names = rank(mesh)
    assert names[0] == name
    assert sorted(names) == sorted(database.gallery.names)


def test_sheet_prints_a_row_for_each_scan_of_the_chosen_half(objects, tmp_path):
  picture = tmp_path / "sheet.png"
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "experiments.scan_sheet",
      f"--source={objects}",
      f"--picture={picture}",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  rows = [line.split() for line in done.stdout.splitlines()]
  assert [row[:4] for row in rows[-2:]] == [
    ["can", "scan_poisson", "1.00", "0.00"],
    ["can", "scan_tsdf", "1.00", "0.00"],
  ]
  assert picture.read_bytes().startswith(b"\x89PNG")
