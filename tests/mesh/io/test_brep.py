"""STEP, IGES and BREP: the whole surface, in its unit, or what is missing."""

import gzip
import io
import zipfile

import numpy as np
import pytest
from support.brep_files import (
  assembly,
  solid,
  write_brep,
  write_iges,
  write_step,
)
from support.mesh_files import (
  BLOCK_AREA,
  BLOCK_VOLUME,
  area,
  extent,
  volume,
)

from dr3d.error import MeshError
from dr3d.mesh.io.reader import RawMesh, read_raw

pytest.importorskip("OCP")

RADIUS = 3.0
DRILLED_AREA = BLOCK_AREA - 2 * np.pi * RADIUS**2 + 60 * np.pi * RADIUS
DRILLED_VOLUME = BLOCK_VOLUME - 30 * np.pi * RADIUS**2
ROUND = 0.01  # what triangles take of a cylinder at most, relative


def read(tmp_path, name: str, data: bytes) -> RawMesh:
  path = tmp_path / name
  path.write_bytes(data)
  return read_raw(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
  folder = tmp_path_factory.mktemp("brep")
  drilled = solid(hole=RADIUS)
  return {
    "step": write_step(drilled, folder / "a"),
    "igs": write_iges(drilled, folder / "b"),
    "brep": write_brep(drilled, folder / "c"),
    "block": write_step(solid(), folder / "d"),
  }


@pytest.mark.parametrize("suffix", ["step", "stp", "p21", "igs", "brep"])
def test_solid_has_its_area_volume_and_size(tmp_path, files, suffix):
  data = files.get(suffix, files["step"])
  raw = read(tmp_path, f"part.{suffix}", data)
  assert area(raw) == pytest.approx(DRILLED_AREA, rel=ROUND)
  assert abs(volume(raw)) == pytest.approx(DRILLED_VOLUME, rel=ROUND)
  np.testing.assert_allclose(extent(raw), [10, 20, 30], rtol=1e-6)
  assert raw.body_count == 1
  assert raw.warnings == ()
  assert raw.unit == (None if suffix == "brep" else 1.0)


@pytest.mark.parametrize("unit", ["MM", "IN", "M"])
@pytest.mark.parametrize("write", [write_step, write_iges])
def test_size_is_right_in_the_unit_of_the_file(tmp_path, unit, write):
  data = write(solid(), tmp_path / "written", unit)
  name = "part.step" if write is write_step else "part.iges"
  raw = read(tmp_path, name, data)
  np.testing.assert_allclose(extent(raw), [10, 20, 30], rtol=1e-5)
  assert area(raw) == pytest.approx(BLOCK_AREA, rel=1e-5)


@pytest.mark.parametrize("name", ["a.stpz", "a.step.gz", "a.STP.GZ", "a.stp"])
def test_packed_step_is_read(tmp_path, files, name):
  raw = read(tmp_path, name, gzip.compress(files["block"]))
  assert area(raw) == pytest.approx(BLOCK_AREA)


def test_step_in_a_zip_archive_is_read(tmp_path, files):
  data = io.BytesIO()
  with zipfile.ZipFile(data, "w") as archive:
    archive.writestr("part.stp", files["block"])
  raw = read(tmp_path, "part.stpz", data.getvalue())
  assert area(raw) == pytest.approx(BLOCK_AREA)


def test_bodies_of_an_assembly_are_counted_and_placed(tmp_path):
  shape = assembly(solid(), [(0, 0, 0), (50, 0, 0), (0, 50, 0)])
  raw = read(tmp_path, "a.step", write_step(shape, tmp_path / "w"))
  assert raw.body_count == 3
  assert volume(raw) == pytest.approx(3 * BLOCK_VOLUME)
  np.testing.assert_allclose(extent(raw), [60, 70, 30], rtol=1e-6)


def test_parts_in_other_files_are_named(tmp_path, files):
  reference = b"#9001=DOCUMENT_FILE('it''s a part.stp','',$,#9002,'',$);\n"
  picture = reference.replace(b"it''s a part.stp", b"drawing.pdf")
  end = b"ENDSEC;\nEND-ISO"
  data = files["block"].replace(end, reference + end)
  with pytest.raises(MeshError, match=r"in other files \(it's a part\.stp\)"):
    read(tmp_path, "a.step", data)
  raw = read(tmp_path, "a.step", files["block"].replace(end, picture + end))
  assert area(raw) == pytest.approx(BLOCK_AREA)


def leave_without_triangles(monkeypatch, *, mendable: bool) -> None:
  """Takes the triangles of the widest face, as Open CASCADE may leave it."""
  from OCP.BRepTools import BRepTools

  from dr3d.mesh.io import tessellation

  cut, done = tessellation._cut, []

  def cut_all_but_one(shape):
    cut(shape)
    faces = list(tessellation._explore(shape, tessellation.TopAbs_FACE))
    if not done or not mendable:
      widest = max(faces, key=tessellation._exact_area)
      BRepTools.Clean_s(widest)
    done.append(True)

  monkeypatch.setattr(tessellation, "_cut", cut_all_but_one)


def test_face_without_triangles_is_cut_again(tmp_path, files, monkeypatch):
  leave_without_triangles(monkeypatch, mendable=True)
  raw = read(tmp_path, "a.step", files["block"])
  assert raw.warnings == ()
  assert area(raw) == pytest.approx(BLOCK_AREA)
  assert volume(raw) == pytest.approx(BLOCK_VOLUME)


def test_face_that_stays_without_triangles_is_told(
  tmp_path, files, monkeypatch
):
  leave_without_triangles(monkeypatch, mendable=False)
  raw = read(tmp_path, "a.step", files["block"])
  assert area(raw) == pytest.approx(BLOCK_AREA - 600)
  assert "1 of 6 faces" in raw.warnings[0]
  assert "27.3%" in raw.warnings[0]  # 600 of 2200


def test_reversed_and_mirrored_solids_keep_their_outside(tmp_path):
  from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
  from OCP.gp import gp_Ax2, gp_Dir, gp_Pnt, gp_Trsf

  mirror = gp_Trsf()
  mirror.SetMirror(gp_Ax2(gp_Pnt(0, 0, 0), gp_Dir(1, 0, 0)))
  shape = BRepBuilderAPI_Transform(solid(), mirror, True).Shape()
  raw = read(tmp_path, "a.step", write_step(shape, tmp_path / "w"))
  assert volume(raw) == pytest.approx(BLOCK_VOLUME)


@pytest.mark.parametrize(
  ("name", "cut", "reason"),
  [
    ("a.step", slice(0, -40), "STEP data has no end"),
    ("a.step", slice(40, None), "is not a STEP file"),
    ("a.igs", slice(0, -90), "no terminate section"),
    ("a.igs", slice(9, None), "is not an IGES file"),
    ("a.brep", slice(400, None), "is not a BREP file"),
  ],
)
def test_damaged_file_raises_the_reason(tmp_path, files, name, cut, reason):
  data = files[name.split(".")[1]][cut]
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, name, data)


def test_shape_of_edges_alone_raises(tmp_path):
  from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeEdge
  from OCP.gp import gp_Pnt

  edge = BRepBuilderAPI_MakeEdge(gp_Pnt(0, 0, 0), gp_Pnt(1, 0, 0)).Edge()
  with pytest.raises(MeshError, match="holds no solid or surface"):
    read(tmp_path, "a.step", write_step(edge, tmp_path / "w"))
