"""The table of formats: what it promises holds for each of its lines."""

import inspect
import pathlib

import pytest

from dr3d.error import MeshError
from dr3d.mesh.io.format import FORMATS, TABLE, find_format, recognize
from dr3d.mesh.io.reader import read_raw
from dr3d.mesh.unit import name_unit, parse_unit

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_reader_takes_bytes_and_path(entry):
  parameters = inspect.signature(entry.load()).parameters
  assert list(parameters) == ["data", "path"]


def test_suffixes_are_each_of_one_format():
  assert len(set(FORMATS)) == len(FORMATS)


@pytest.mark.parametrize(
  ("name", "format_name"),
  [
    ("a.stl", "STL"),
    ("A.STL", "STL"),
    ("a.b.stp.gz", "STEP"),
    ("a.stpz", "STEP"),
    ("a.igs", "IGES"),
    ("a.zae", "COLLADA"),
    ("a.gz", None),
    (".stl", None),
    ("stl", None),
    ("a.stl.bak", None),
  ],
)
def test_format_is_found_by_name(name, format_name):
  entry = find_format(name)
  assert (entry and entry.name) == format_name


CAD = ["sldprt", "prt", "CATPart", "jt", "3dm", "x_t", "ipt", "SLDASM", "3dxml"]


@pytest.mark.parametrize("suffix", CAD)
def test_own_format_of_a_cad_program_says_export_step(tmp_path, suffix):
  path = tmp_path / f"part.{suffix}"
  path.write_bytes(b"anything")
  with pytest.raises(MeshError, match="export STEP"):
    read_raw(path)


@pytest.mark.parametrize("suffix", ["xyz", "pts", "e57", "las", "pcd"])
def test_point_cloud_says_how_to_make_a_mesh(tmp_path, suffix):
  path = tmp_path / f"scan.{suffix}"
  path.write_text("0 0 0\n1 0 0\n")
  with pytest.raises(
    MeshError, match=r"point cloud.*make a mesh of its points"
  ):
    read_raw(path)


@pytest.mark.parametrize(
  ("suffix", "advice"),
  [("fbx", "Blender"), ("zip", "unpack"), ("q", "convert")],
)
def test_other_format_says_what_to_do(tmp_path, suffix, advice):
  with pytest.raises(MeshError, match=advice):
    read_raw(tmp_path / f"part.{suffix}")


@pytest.mark.parametrize(
  ("head", "name"),
  [
    (b"glTF\2\0\0\0", "glTF"),
    (b"\xef\xbb\xbfsolid a\n", "STL"),
    (b"ply\r\nformat", "PLY"),
    (b"COFF\n8 12 0", "OFF"),
    (b"  ISO-10303-21;", "STEP"),
    (b'<?xml version="1.0"?><COLLADA xmlns', "COLLADA"),
    (b'<?xml version="1.0"?><amf unit="inch">', "AMF"),
    (b"DBRep_DrawableShape\n\nCASCADE Topology V1", "BREP"),
    (b"v 0 0 0\n", None),
  ],
)
def test_content_shows_its_format(head, name):
  entry = recognize(head)
  assert (entry and entry.name) == name


def test_file_under_a_wrong_name_says_what_it_holds(tmp_path):
  path = tmp_path / "part.obj"
  path.write_bytes(b"ISO-10303-21;")
  with pytest.raises(MeshError, match=r"holds STEP, not OBJ.*to \.step\.$"):
    read_raw(path)


def test_each_module_of_the_folder_is_of_a_format_or_shared():
  folder = pathlib.Path(inspect.getfile(read_raw)).parent
  names = {entry.module for entry in TABLE}
  assert names <= {path.stem for path in folder.glob("*.py")}


@pytest.mark.parametrize(
  ("text", "length"),
  [
    ("inch", 25.4),
    ("Inches", 25.4),
    ("MILLIMETER", 1),
    ("feet", 304.8),
    ("0.01 * meters", 10),
    (" micron ", 0.001),
    ("", None),
    (None, None),
  ],
)
def test_unit_is_parsed(text, length):
  assert parse_unit(text) == (
    length if length is None else pytest.approx(length)
  )


@pytest.mark.parametrize(
  "text", ["ell", "0 * mm", "x * mm", "-1 * mm", "inf * m"]
)
def test_unknown_unit_raises(text):
  with pytest.raises(MeshError, match="is not known"):
    parse_unit(text)


def test_unit_is_named():
  assert name_unit(25.4) == "inch"
  assert name_unit(2) == "2 mm"
