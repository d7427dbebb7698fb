"""3MF: every part once, where it belongs, or a reason."""

import time

import numpy as np
import pytest
from support.mesh_files import (
  BLOCK,
  BLOCK_AREA,
  BLOCK_FACES,
  BLOCK_VOLUME,
  area,
  extent,
  volume,
)
from support.threemf_files import (
  component,
  item,
  mesh,
  model,
  package,
  package_of,
)

from dr3d.error import MeshError
from dr3d.mesh.io.reader import RawMesh, read_raw

pytestmark = pytest.mark.fast

CUBE = BLOCK / [2, 4, 6]  # of 5 mm
CUBE_AREA = 150.0


def read(tmp_path, root: str, parts: dict[str, str] | None = None) -> RawMesh:
  path = tmp_path / "part.3mf"
  path.write_bytes(package_of(root, parts or {}))
  return read_raw(path)


def body(number: int, vertices=BLOCK, attributes: str = "") -> str:
  return (
    f'<object id="{number}" type="model" {attributes}>'
    f"{mesh(vertices, BLOCK_FACES)}</object>"
  )


def group(number: int, *components: str) -> str:
  inside = "".join(components)
  return f'<object id="{number}"><components>{inside}</components></object>'


SUB = "3D/Objects/sub.model"


def test_parts_in_a_further_model_file_are_placed_once(tmp_path):
  parts = {SUB: model(body(1) + body(2, CUBE), "")}
  root = model(
    group(
      3,
      component(1, path="/" + SUB),
      component(2, path="/" + SUB, at=(100, 0, 0)),
    ),
    item(3),
    required="p",
  )
  raw = read(tmp_path, root, parts)
  assert area(raw) == pytest.approx(BLOCK_AREA + CUBE_AREA)
  assert volume(raw) == pytest.approx(BLOCK_VOLUME + 125)
  assert raw.body_count == 2


def test_one_number_in_two_files_means_two_objects(tmp_path):
  other = "3D/Objects/other.model"
  parts = {SUB: model(body(1), ""), other: model(body(1, CUBE), "")}
  root = model(
    "",
    item(1, path="/" + SUB) + item(1, path="/" + other, at=(50, 0, 0)),
    required="p",
  )
  raw = read(tmp_path, root, parts)
  np.testing.assert_allclose(extent(raw), [55, 20, 30])
  assert area(raw) == pytest.approx(BLOCK_AREA + CUBE_AREA)


def test_equal_part_numbers_and_names_are_all_read(tmp_path):
  objects = body(1, attributes='partnumber="A" name="Body"') + body(
    2, CUBE, attributes='partnumber="A" name="Body"'
  )
  build = item(1) + item(1, at=(20, 0, 0)) + item(2, at=(40, 0, 0))
  raw = read(tmp_path, model(objects, build))
  assert raw.body_count == 3
  assert area(raw) == pytest.approx(2 * BLOCK_AREA + CUBE_AREA)


@pytest.mark.parametrize("name", ["3D/part one.model", "Model/Main.MODEL"])
def test_main_part_of_any_name_is_found(tmp_path, name):
  path = tmp_path / "part.3mf"
  path.write_bytes(package(model(body(1), item(1)), name=name))
  assert area(read_raw(path)) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_pattern_of_patterns_has_every_copy(tmp_path, levels):
  objects = body(1, CUBE)
  for level in range(levels):
    places = [(6 * 10**level * k, 0, 0) for k in range(10)]
    objects += group(level + 2, *(component(level + 1, at=at) for at in places))
  raw = read(tmp_path, model(objects, item(levels + 1)))
  assert raw.body_count == 10**levels
  assert len(raw.faces) == 12 * 10**levels
  assert volume(raw) == pytest.approx(125 * 10**levels)


def test_doubling_beyond_the_bound_raises_at_once(tmp_path):
  objects = body(1)
  for level in range(24):
    objects += group(level + 2, component(level + 1), component(level + 1))
  begin = time.perf_counter()
  with pytest.raises(MeshError, match="more than 50000000 faces"):
    read(tmp_path, model(objects, item(25)))
  assert time.perf_counter() - begin < 5


def test_doubling_of_empty_groups_raises(tmp_path):
  objects = '<object id="1"><components/></object>' + body(99)
  for level in range(24):
    objects += group(level + 2, component(level + 1), component(level + 1))
  with pytest.raises(MeshError, match="too many"):
    read(tmp_path, model(objects, item(25) + item(99)))


def test_component_that_contains_itself_raises(tmp_path):
  objects = group(1, component(2)) + group(2, component(1))
  with pytest.raises(MeshError, match="contains itself"):
    read(tmp_path, model(objects, item(1)))


def test_mirrored_part_keeps_its_outside(tmp_path):
  mirror = [-1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]
  objects = body(1) + group(2, component(1, matrix=mirror))
  for build in (item(2), item(2, matrix=mirror)):
    raw = read(tmp_path, model(objects, build))
    assert volume(raw) == pytest.approx(BLOCK_VOLUME)


def test_transform_has_rows_of_the_specification(tmp_path):
  turn = [0, 1, 0, -1, 0, 0, 0, 0, 1, 5, 0, 0]  # x to y, then along x
  raw = read(tmp_path, model(body(1), item(1, matrix=turn)))
  np.testing.assert_allclose(raw.vertices.min(axis=0), [-15, 0, 0])
  np.testing.assert_allclose(extent(raw), [20, 10, 30])


@pytest.mark.parametrize(
  ("unit", "length"),
  [("micron", 0.001), ("centimeter", 10), ("inch", 25.4), ("foot", 304.8)],
)
def test_unit_of_the_model_is_told(tmp_path, unit, length):
  raw = read(tmp_path, model(body(1), item(1), unit=unit))
  assert raw.unit == pytest.approx(length)


def test_unknown_unit_raises(tmp_path):
  with pytest.raises(MeshError, match="has the unit 'ell', which is not"):
    read(tmp_path, model(body(1), item(1), unit="ell"))


@pytest.mark.parametrize("required", ["", "b"])
def test_beam_lattice_is_refused_by_name(tmp_path, required):
  beams = '<b:beamlattice radius="1"><b:beams><b:beam v1="0" v2="1"/></b:beams>'
  lattice = mesh(CUBE, [], beams + "</b:beamlattice>")
  objects = body(1) + f'<object id="2">{lattice}</object>'
  with pytest.raises(MeshError, match="beam lattice"):
    read(tmp_path, model(objects, item(1) + item(2), required=required))


@pytest.mark.parametrize(
  ("prefix", "name"), [("v", "volumetric"), ("x", "unknown")]
)
def test_required_extension_is_refused_by_name(tmp_path, prefix, name):
  with pytest.raises(MeshError, match=f"requires the {name} extension"):
    read(tmp_path, model(body(1), item(1), required=prefix))


@pytest.mark.parametrize("prefix", ["m", "p", "s"])
def test_extension_that_keeps_the_shape_is_read(tmp_path, prefix):
  raw = read(tmp_path, model(body(1), item(1), required=prefix))
  assert area(raw) == pytest.approx(BLOCK_AREA)


def test_meshes_that_only_stand_for_slices_raise(tmp_path):
  objects = body(1, attributes='s:meshresolution="lowres"')
  with pytest.raises(MeshError, match="slice"):
    read(tmp_path, model(objects, item(1), required="s"))


def test_object_of_an_extension_is_refused_by_name(tmp_path):
  objects = body(1) + '<object id="2"><v:levelset/></object>'
  with pytest.raises(MeshError, match="levelset"):
    read(tmp_path, model(objects, item(1) + item(2)))


PRUSA = """<config><object id="1">
<volume firstid="0" lastid="11"><metadata type="volume" key="volume_type"
 value="ModelPart"/></volume>
<volume firstid="12" lastid="23"><metadata type="volume" key="{}"
 value="{}"/></volume></object></config>"""


@pytest.mark.parametrize(
  ("key", "value"),
  [
    ("volume_type", "ParameterModifier"),
    ("volume_type", "NegativeVolume"),
    ("volume_type", "SupportEnforcer"),
    ("volume_type", "SupportBlocker"),
    ("modifier", "1"),
  ],
)
def test_volume_that_prusaslicer_marks_is_left_out(tmp_path, key, value):
  vertices = np.concatenate([BLOCK, BLOCK + np.array([0, 0, 40])])
  faces = np.concatenate([BLOCK_FACES, BLOCK_FACES + 8])
  objects = f'<object id="1">{mesh(vertices, faces)}</object>'
  config = {"Metadata/Slic3r_PE_model.config": PRUSA.format(key, value)}
  raw = read(tmp_path, model(objects, item(1)), config)
  assert area(raw) == pytest.approx(BLOCK_AREA)
  assert "1 modifiers" in raw.warnings[0]


@pytest.mark.parametrize(
  "subtype",
  ["modifier_part", "negative_part", "support_enforcer", "support_blocker"],
)
@pytest.mark.parametrize("path", ["", "/" + SUB])
def test_part_that_bambu_studio_marks_is_left_out(tmp_path, subtype, path):
  config = {
    "Metadata/model_settings.config": '<config><object id="8"><part id="1" '
    f'subtype="normal_part"/><part id="2" subtype="{subtype}"/></object>'
    "</config>"
  }
  parts = model(body(1) + body(2, CUBE), "")
  inner = group(8, component(1, path=path), component(2, path=path))
  objects = inner if path else body(1) + body(2, CUBE) + inner
  raw = read(tmp_path, model(objects, item(8)), config | {SUB: parts})
  assert area(raw) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize(
  "name", ["infill_mesh", "cutting_mesh", "support_mesh", "anti_overhang_mesh"]
)
def test_object_that_cura_marks_is_left_out(tmp_path, name):
  marked = (
    '<object id="2"><metadatagroup><metadata name="cura:{}" type="xs:string">'
    "{}</metadata></metadatagroup>" + mesh(CUBE, BLOCK_FACES) + "</object>"
  )
  for value, left in (("True", 0), ("False", CUBE_AREA)):
    objects = body(1) + marked.format(name, value)
    raw = read(tmp_path, model(objects, item(1) + item(2)))
    assert area(raw) == pytest.approx(BLOCK_AREA + left)


def test_support_objects_are_left_out_of_the_build(tmp_path):
  support = f'<object id="2" type="support">{mesh(CUBE, BLOCK_FACES)}</object>'
  raw = read(tmp_path, model(body(1) + support, item(1) + item(2)))
  assert area(raw) == pytest.approx(BLOCK_AREA)
  alone = read(tmp_path, model(support, item(2)))
  assert area(alone) == pytest.approx(CUBE_AREA)


def test_empty_build_places_all_objects_and_says_so(tmp_path):
  objects = body(1) + group(2, component(1, at=(5, 0, 0))) + body(3, CUBE)
  raw = read(tmp_path, model(objects, ""))
  assert area(raw) == pytest.approx(BLOCK_AREA + CUBE_AREA)
  assert "empty build" in raw.warnings[0]


def test_index_beyond_one_body_raises_and_takes_none_of_the_next(tmp_path):
  wrong = mesh(BLOCK, [[0, 1, 9]])
  objects = f'<object id="1">{wrong}</object>' + body(2)
  with pytest.raises(MeshError, match="vertex number 9"):
    read(tmp_path, model(objects, item(1) + item(2)))


@pytest.mark.parametrize(
  ("root", "reason"),
  [
    (model(body(1), item(7)), "object 7, which is not in"),
    (model(body(1), item(1, path="/no.model")), "lacks its part /no.model"),
    (model(body(1), item(1, matrix=[1, 2])), "transform of 2 numbers"),
    (model(body(1), '<item objectid="x"/>'), "the number 'x'"),
    (model(body(1), item(1)).replace('x="0', 'x="o'), "not a number"),
    (model(body(1), item(1)).replace('v3="3"', ""), "lacks its 'v3'"),
    (
      model(body(1), item(1))
      .replace('v3="1"/>', 'v3="1">', 1)
      .replace("</triangles>", "</triangle></triangles>"),
      "contains another one",
    ),
    (model(body(1), item(1))[:-9], "is not XML"),
    ("<html/>", "is no 3MF model"),
    ('<!DOCTYPE a [<!ENTITY b "c">]><model/>', "entities"),
  ],
)
def test_damaged_model_raises_the_reason(tmp_path, root, reason):
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, root)


def test_package_of_gcode_alone_says_so(tmp_path):
  with pytest.raises(MeshError, match="only G-code"):
    read(tmp_path, model("", ""), {"Metadata/plate_1.gcode": "G1 X1"})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_model_in_another_encoding_is_read(tmp_path, encoding):
  text = model(body(1), item(1)) + "\n"
  if encoding == "utf-16":
    text = text.replace('version="1.0"', 'version="1.0" encoding="utf-16"')
  raw = read(tmp_path, text.encode(encoding))
  assert area(raw) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize("tag", ["item", "triangle", "object", "components"])
def test_element_of_an_extension_is_none_of_the_format(tmp_path, tag):
  text = model(body(1) + body(2, CUBE), item(1))
  foreign = {
    "item": ("</build>", '<x:item objectid="2"/></build>'),
    "triangle": (
      "</triangles>",
      '<x:triangle v1="0" v2="5" v3="7"/></triangles>',
    ),
    "object": ("</resources>", '<x:object id="1"/></resources>'),
    "components": (
      "</mesh>",
      '</mesh><x:components><component objectid="2"/></x:components>',
    ),
  }
  raw = read(tmp_path, text.replace(*foreign[tag]))
  assert len(raw.faces) == 12
  assert area(raw) == pytest.approx(BLOCK_AREA)
