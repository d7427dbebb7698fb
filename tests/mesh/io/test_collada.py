"""COLLADA and AMF: geometry is read whatever else is broken."""

import io
import zipfile

import numpy as np
import pytest
from support.dae_files import (
  dae,
  geometry,
  node,
  numbers,
  triangles,
  vertex_input,
)
from support.mesh_files import (
  ANGLE_AREA,
  ANGLE_VOLUME,
  BLOCK,
  BLOCK_AREA,
  BLOCK_FACES,
  BLOCK_VOLUME,
  angle_bar,
  area,
  extent,
  volume,
)

from dr3d.error import MeshError
from dr3d.mesh.io.reader import RawMesh, read_raw

pytestmark = pytest.mark.fast

BLOCK_XML = geometry("a", BLOCK, triangles("a", BLOCK_FACES))
CUBE_XML = geometry("b", BLOCK / [2, 4, 6], triangles("b", BLOCK_FACES))


def read(tmp_path, data: str | bytes, name="part.dae") -> RawMesh:
  path = tmp_path / name
  path.write_bytes(data.encode() if isinstance(data, str) else data)
  return read_raw(path)


def polygons(name: str, kind: str) -> str:
  _, faces = angle_bar()
  if kind == "polygons":
    inside = "".join(f"<p>{numbers(face)}</p>" for face in faces)
  else:
    sizes = " ".join(str(len(face)) for face in faces)
    corners = " ".join(numbers(face) for face in faces)
    inside = f"<vcount>{sizes}</vcount><p>{corners}</p>"
  return f'<{kind} count="8">{vertex_input(name)}{inside}</{kind}>'


@pytest.mark.parametrize("kind", ["polylist", "polygons"])
def test_polygon_with_an_inward_corner_keeps_its_area(tmp_path, kind):
  vertices, _ = angle_bar()
  text = dae(geometry("a", vertices, polygons("a", kind)), node("a"))
  raw = read(tmp_path, text)
  assert area(raw) == pytest.approx(ANGLE_AREA)
  assert volume(raw) == pytest.approx(ANGLE_VOLUME)


@pytest.mark.parametrize("turned", [1, -1])
def test_hole_of_a_polygon_stays_open(tmp_path, turned):
  square = np.array([[0, 0, 0], [100, 0, 0], [100, 100, 0], [0, 100, 0]], float)
  hole = (square * 0.4 + [30, 30, 0])[::turned]
  vertices = np.concatenate([square, hole, square / 10 + [200, 0, 0]])
  primitive = (
    f'<polygons count="2">{vertex_input("a")}<ph><p>0 1 2 3</p><h>4 5 6 7</h>'
    "</ph><p>8 9 10 11</p></polygons>"
  )
  raw = read(tmp_path, dae(geometry("a", vertices, primitive), node("a")))
  assert area(raw) == pytest.approx(10000 - 1600 + 100)


@pytest.mark.parametrize("kind", ["trifans", "tristrips"])
def test_fans_and_strips_are_read(tmp_path, kind):
  corners = "0 1 3 2" if kind == "trifans" else "0 1 2 3"
  top = "4 5 7 6" if kind == "trifans" else "4 5 6 7"
  primitive = (
    f"<{kind}>{vertex_input('a')}<p>{corners}</p><p>{top}</p></{kind}>"
  )
  raw = read(tmp_path, dae(geometry("a", BLOCK, primitive), node("a")))
  assert area(raw) == pytest.approx(400)


def test_inputs_beside_the_vertex_are_skipped(tmp_path):
  inputs = (
    '<input semantic="NORMAL" source="#n" offset="0"/>'
    '<input semantic="VERTEX" source="#a-v" offset="1"/>'
    '<input semantic="TEXCOORD" source="#t" offset="2" set="0"/>'
  )
  corners = np.column_stack(
    [np.full(36, 7), BLOCK_FACES.reshape(-1), np.full(36, 9)]
  )
  primitive = f"<triangles>{inputs}<p>{numbers(corners)}</p></triangles>"
  raw = read(tmp_path, dae(geometry("a", BLOCK, primitive), node("a")))
  assert volume(raw) == pytest.approx(BLOCK_VOLUME)


SKIN = (
  '<library_controllers><controller id="c"><skin source="#b">'
  "<bind_shape_matrix>{}</bind_shape_matrix></skin></controller>"
  "</library_controllers>"
)
MOVED = "1 0 0 100 0 1 0 0 0 0 1 0 0 0 0 1"


def test_controller_beside_geometry_is_read_in_its_bind_shape(tmp_path):
  nodes = node("a") + '<node><instance_controller url="#c"/></node>'
  text = dae(BLOCK_XML + CUBE_XML, nodes, libraries=SKIN.format(MOVED))
  raw = read(tmp_path, text)
  assert raw.body_count == 2
  assert area(raw) == pytest.approx(BLOCK_AREA + 150)
  np.testing.assert_allclose(extent(raw), [105, 20, 30])


def test_morph_within_a_skin_is_read_in_its_base_shape(tmp_path):
  libraries = SKIN.format(MOVED).replace('source="#b"', 'source="#m"')
  libraries += (
    '<library_controllers><controller id="m"><morph source="#b"/></controller>'
    "</library_controllers>"
  )
  nodes = '<node><instance_controller url="#c"/></node>'
  raw = read(tmp_path, dae(CUBE_XML, nodes, libraries=libraries))
  assert area(raw) == pytest.approx(150)


BROKEN = {
  "camera": ("", '<node><instance_camera url="#gone"/></node>'),
  "light": ("", '<node><instance_light url="#gone"/></node>'),
  "light of one program": (
    '<library_lights><light id="l"><technique profile="X"/></light>'
    "</library_lights>",
    '<node><instance_light url="#l"/></node>',
  ),
  "camera of one program": (
    '<library_cameras><camera id="l"><optics/></camera></library_cameras>',
    '<node><instance_camera url="#l"/></node>',
  ),
  "shader": (
    '<library_effects><effect id="e"><profile_CG/></effect></library_effects>',
    "",
  ),
  "material": (
    '<library_materials><material id="m"><instance_effect url="#gone"/>'
    "</material></library_materials>",
    "",
  ),
  "picture": (
    '<library_images><image id="i"><init_from>gone.png</init_from></image>'
    "</library_images>",
    "",
  ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_camera_light_or_material_is_ignored(tmp_path, name):
  libraries, nodes = BROKEN[name]
  raw = read(tmp_path, dae(BLOCK_XML, node("a") + nodes, libraries=libraries))
  assert area(raw) == pytest.approx(BLOCK_AREA)


def test_missing_material_of_a_geometry_is_ignored(tmp_path):
  instance = (
    '<node><instance_geometry url="#a"><bind_material><technique_common>'
    '<instance_material symbol="s" target="#gone"/></technique_common>'
    "</bind_material></instance_geometry></node>"
  )
  assert area(read(tmp_path, dae(BLOCK_XML, instance))) == pytest.approx(
    BLOCK_AREA
  )


@pytest.mark.parametrize(
  ("inside", "size"),
  [
    ("<scale>2 3 -4</scale>", [20, 60, 120]),
    ("<rotate>0 0 2 90</rotate>", [20, 10, 30]),
    ("<translate>9 9 9</translate><rotate>1 0 0 90</rotate>", [10, 30, 20]),
    ("<matrix>0 2 0 0 1 0 0 0 0 0 1 5 0 0 0 1</matrix>", [40, 10, 30]),
    ("<lookat>5 5 5  9 5 5  0 0 1</lookat>", [30, 10, 20]),
  ],
)
def test_transforms_of_nodes_are_applied(tmp_path, inside, size):
  raw = read(tmp_path, dae(BLOCK_XML, node("a", inside)))
  np.testing.assert_allclose(extent(raw), size, atol=1e-9)
  assert volume(raw) > 0


def test_node_that_others_refer_to_is_placed_each_time(tmp_path):
  libraries = f'<library_nodes><node id="n">{node("a")}</node></library_nodes>'
  nodes = "".join(
    f'<node><translate>{50 * i} 0 0</translate><instance_node url="#n"/></node>'
    for i in range(3)
  )
  raw = read(tmp_path, dae(BLOCK_XML, nodes, libraries=libraries))
  assert raw.body_count == 3
  np.testing.assert_allclose(extent(raw), [110, 20, 30])


def test_doubling_by_references_raises(tmp_path):
  levels = '<node id="n0"><instance_geometry url="#a"/></node>'
  for i in range(24):
    inner = f'<instance_node url="#n{i}"/>' * 2
    levels += f'<node id="n{i + 1}">{inner}</node>'
  text = dae(
    BLOCK_XML,
    '<node><instance_node url="#n24"/></node>',
    libraries=f"<library_nodes>{levels}</library_nodes>",
  )
  with pytest.raises(MeshError, match="too many"):
    read(tmp_path, text)


@pytest.mark.parametrize("meter", [1, 0.01, 0.0254])
def test_unit_is_that_of_the_asset(tmp_path, meter):
  raw = read(tmp_path, dae(BLOCK_XML, node("a"), meter=meter))
  assert raw.unit == pytest.approx(1000 * meter)


def test_archive_is_read_by_its_manifest(tmp_path):
  manifest = "<dae_root>./sub/my%20part.dae</dae_root>"
  files = {
    "manifest.xml": manifest,
    "sub/my part.dae": dae(BLOCK_XML, node("a")),
    "other.dae": "<COLLADA/>",
  }
  data = io.BytesIO()
  with zipfile.ZipFile(data, "w") as archive:
    for name, content in files.items():
      archive.writestr(name, content)
  raw = read(tmp_path, data.getvalue(), "part.zae")
  assert area(raw) == pytest.approx(BLOCK_AREA)


GOOD = dae(BLOCK_XML, node("a"))


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    (GOOD.replace('url="#a"', 'url="#z"'), "refers to the geometry 'z'"),
    (GOOD.replace('url="#a"', 'url="b.dae#a"'), "other file b.dae"),
    (GOOD.replace('url="#S"', 'url="#T"'), "refers to the visual_scene 'T'"),
    (GOOD.replace("<p>0 2", "<p>0 8"), "vertex number 8"),
    (GOOD.replace("<p>0 2", "<p>0 x"), "not a number"),
    (GOOD.replace("<p>0 2 1", "<p>"), "announces 12"),
    (GOOD.replace('count="8"', 'count="9"'), "announces 27"),
    (GOOD.replace("</p>", "</p><p>0 1 2</p>"), "announces 12"),
    (GOOD.replace("<node>", '<node id="a">'), "'a', which it has twice"),
    (GOOD[:-30], "is not XML"),
    (GOOD.replace("mesh>", "spline>"), "kind spline"),
    ("<html/>", "is a web page"),
    ("<kml/>", "is not a COLLADA file"),
    (GOOD.replace('meter="0.001"', 'meter="0"'), "has the unit"),
  ],
)
def test_damaged_file_raises_the_reason(tmp_path, text, reason):
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, text)


def test_array_of_a_source_is_its_own_whatever_has_its_id(tmp_path):
  other = '<source id="n"><float_array id="a-a" count="3">1 2 3</float_array>'
  text = GOOD.replace("<vertices", other + "</source><vertices")
  assert area(read(tmp_path, text)) == pytest.approx(BLOCK_AREA)


def test_lines_alone_have_no_faces(tmp_path):
  primitive = f"<lines>{vertex_input('a')}<p>0 1</p></lines>"
  with pytest.raises(MeshError, match="has no faces"):
    read(tmp_path, dae(geometry("a", BLOCK, primitive), node("a")))


def amf(inside: str, unit='unit="inch"') -> str:
  points = "".join(
    f"<vertex><coordinates><x>{x}</x><y>{y}</y><z>{z}</z></coordinates>"
    "</vertex>"
    for x, y, z in BLOCK
  )
  corners = "".join(
    f"<triangle><v1>{a}</v1><v2>{b}</v2><v3>{c}</v3></triangle>"
    for a, b, c in BLOCK_FACES
  )
  return (
    f'<?xml version="1.0"?><amf {unit}><object id="1"><mesh><vertices>{points}'
    f"</vertices><volume>{corners}</volume>"
    f'<volume type="support">{corners}</volume></mesh></object>{inside}</amf>'
  )


def place(**places: float) -> str:
  inside = "".join(f"<{key}>{value}</{key}>" for key, value in places.items())
  return f'<instance objectid="1">{inside}</instance>'


@pytest.mark.parametrize("packed", [False, True])
def test_amf_is_read_with_its_unit(tmp_path, packed):
  data = amf("").encode()
  if packed:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
      archive.writestr("part.amf", data)
    data = buffer.getvalue()
  raw = read(tmp_path, data, "part.amf")
  assert raw.unit == 25.4
  assert len(raw.faces) == 12
  assert "1 volumes of support" in raw.warnings[0]


def test_amf_constellation_places_its_instances(tmp_path):
  inside = (
    f'<constellation id="2">{place(deltax=50)}{place(rz=90, deltay=70)}'
    "</constellation>"
  )
  raw = read(tmp_path, amf(inside, unit=""), "part.amf")
  assert raw.body_count == 2
  assert volume(raw) == pytest.approx(2 * BLOCK_VOLUME)
  np.testing.assert_allclose(raw.vertices.min(axis=0), [-20, 0, 0], atol=1e-9)
  np.testing.assert_allclose(raw.vertices.max(axis=0), [60, 80, 30])


def test_amf_that_refers_to_nothing_raises(tmp_path):
  inside = '<constellation id="2"><instance objectid="9"/></constellation>'
  with pytest.raises(MeshError, match="refers to the object '9'"):
    read(tmp_path, amf(inside), "part.amf")
