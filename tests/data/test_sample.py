import collections
import importlib.resources
import io
import pathlib
import re
import zipfile

import numpy as np
import pytest
import trimesh

from dr3d.data import sample
from dr3d.data.folder import ModelFile, find_models
from dr3d.error import Dr3dError

pytestmark = pytest.mark.fast

ARCHIVE = importlib.resources.files("dr3d") / "data" / "catalogue.zip"


@pytest.fixture(scope="module")
def files():
  with ARCHIVE.open("rb") as stream, zipfile.ZipFile(stream) as archive:
    return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def meshes(files):
  return {
    name: trimesh.load_mesh(io.BytesIO(content), file_type="stl")
    for name, content in files.items()
    if name != "SOURCE.txt"
  }


def make_models(**counts):
  return [
    ModelFile(pathlib.Path(f"{label}/{i}.stl"), f"{label}/{i}.stl", label)
    for label, count in counts.items()
    for i in range(count)
  ]


def read_tree(directory):
  return {
    path.relative_to(directory).as_posix(): path.read_bytes()
    for path in directory.rglob("*")
    if path.is_file()
  }


def test_catalogue_is_small_with_24_classes_of_8_parts(files):
  names = [name for name in files if name != "SOURCE.txt"]
  counts = collections.Counter(name.split("/")[0] for name in names)
  assert ARCHIVE.stat().st_size <= 4_000_000
  assert len(counts) >= 24
  assert min(counts.values()) >= 8
  assert all(re.fullmatch(r"[a-z_]+/[a-z0-9._-]+\.stl", name) for name in names)


def test_catalogue_names_its_generators(files):
  source = files["SOURCE.txt"].decode()
  assert re.search(r"bd_warehouse \d+\.\d+\S* \(Apache-2\.0\)", source)
  assert re.search(r"build123d \d+\.\d+", source)


def test_parts_have_plausible_sizes_and_outward_faces(meshes):
  for name, mesh in meshes.items():
    assert 12 <= len(mesh.faces) <= 2048, name
    assert 1 < mesh.extents.max() < 1000, name  # mm
    assert mesh.volume > 0, name  # faces look outward
    assert mesh.is_winding_consistent, name


def test_parts_differ_in_shape_not_only_in_scale(meshes):
  shapes = []
  for mesh in meshes.values():
    short, middle, long = sorted(mesh.extents)
    shapes.append(
      (short / long, middle / long, mesh.area / long**2, mesh.volume / long**3)
    )
  logs = np.log(shapes)
  apart = np.abs(logs[:, None] - logs).max(axis=-1)
  np.fill_diagonal(apart, np.inf)
  assert apart.min() > 0.01


def test_parts_have_the_sizes_of_their_standards(meshes):
  def size(name):
    return meshes[name].extents

  # DIN 931, M10: 17 across flats, a head of 6.4. ISO 7089, M16: 30 x 3.3.
  flats = size("hex_head_screw/m10-1.5_100_din931.stl")
  assert flats[2] == pytest.approx(106.4, rel=1e-3)
  assert min(flats[:2]) == pytest.approx(17, rel=2e-3)
  washer = size("plain_washer/m16_iso7089.stl")
  assert washer == pytest.approx([30, 30, 3.3], rel=0.02)
  # A 608 bearing; ASME B16.5 NPS 3 class 150 has an outside diameter of 190.
  bearing = size("sealed_ball_bearing/m8-22-7.stl")
  assert bearing == pytest.approx([22, 22, 7], rel=0.02)
  flange = size("blind_flange/3_150_raised.stl")
  assert flange[:2] == pytest.approx([190, 190], rel=0.02)
  # A gear of module 2 with 20 teeth has a tip circle of 2 (20 + 2).
  gear = size("spur_gear/2_20_20_14.stl")
  assert gear == pytest.approx([44, 44, 20], rel=0.02)


def test_unpacked_files_are_found_as_models(files, tmp_path):
  directory = sample.unpack(tmp_path / "new" / "parts")
  assert directory == tmp_path / "new" / "parts"
  assert read_tree(directory) == files
  models = find_models(directory)
  assert len(models) == len(files) - 1
  assert all(model.label == model.name.split("/")[0] for model in models)


def test_second_unpack_adds_only_missing_files(tmp_path):
  sample.unpack(tmp_path)
  before = read_tree(tmp_path)
  times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.stl")}
  lost = next(iter(times))
  lost.unlink()
  sample.unpack(str(tmp_path))
  assert read_tree(tmp_path) == before
  del times[lost]
  assert all(path.stat().st_mtime_ns == t for path, t in times.items())


def test_unpack_over_changed_file_raises_and_writes_nothing(
  tmp_path,
):
  own = tmp_path / "worm" / "5_4_9_60.stl"
  own.parent.mkdir()
  own.write_bytes(b"mine")
  with pytest.raises(Dr3dError, match=r"5_4_9_60\.stl exists and differs"):
    sample.unpack(tmp_path)
  assert read_tree(tmp_path) == {"worm/5_4_9_60.stl": b"mine"}


def test_unpack_to_unwritable_directory_raises(tmp_path):
  (tmp_path / "file").write_bytes(b"")
  with pytest.raises(Dr3dError, match=r"cannot be unpacked to .*file"):
    sample.unpack(tmp_path / "file")


def test_interrupted_unpack_leaves_no_partial_file(tmp_path, monkeypatch):
  def fail(self, target):
    raise OSError("killed")

  monkeypatch.setattr(pathlib.Path, "replace", fail)
  with pytest.raises(Dr3dError, match="killed"):
    sample.unpack(tmp_path)
  assert read_tree(tmp_path) == {}


def test_split_holds_out_the_same_number_of_every_class():
  models = make_models(nut=8, screw=5, gear=3)
  kept, out = sample.split(models, held_out=2)
  counts = collections.Counter(model.label for model in out)
  assert counts == {"nut": 2, "screw": 2, "gear": 2}
  assert sorted(kept + out, key=models.index) == models
  assert not set(kept) & set(out)
  assert kept == sorted(kept, key=models.index)


def test_split_depends_on_names_and_seed_only():
  models = make_models(nut=8, screw=5)
  _, out = sample.split(models, held_out=2)
  _, again = sample.split(models[::-1], held_out=2)
  _, alone = sample.split(make_models(nut=8), held_out=2)
  assert set(out) == set(again)
  assert {model for model in out if model.label == "nut"} == set(alone)
  others = [sample.split(models, held_out=2, seed=s)[1] for s in range(1, 9)]
  assert any(set(other) != set(out) for other in others)


@pytest.mark.parametrize(
  ("held_out", "message"), [(0, "at least 1"), (3, "'gear' has 3 models")]
)
def test_split_that_empties_a_class_raises(held_out, message):
  with pytest.raises(ValueError, match=message):
    sample.split(make_models(nut=8, gear=3), held_out=held_out)
