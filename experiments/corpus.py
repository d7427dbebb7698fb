"""Mesh files of every format, and mutations that damage them."""

import gzip
import io
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import trimesh

from experiments.structure import mutate_gltf, mutate_package, mutate_xml

_NUMBERS = (b"nan", b"inf", b"-1", b"1e999", b"0", b"4294967295", b"1e-320")
_WORDS = (
  b"\0",
  b"\xff\xff\xff\xff",
  b"\r\n",
  b"solid ",
  b"OFF\n",
  b"end_header\n",
  b"{",
  b"</",
  b"\xe8\x9e\xba",
)


FAMILIES = {
  "stl": ("binary.stl", "text.stl", "packed.stl"),
  "obj": ("part.obj", "polygons.obj"),
  "ply": ("binary.ply", "text.ply", "strips.ply"),
  "off": ("part.off", "polygons.off"),
  "gltf": ("part.glb", "part.gltf"),
  "3mf": ("part.3mf", "assembly.3mf"),
  "dae": ("part.dae",),
  "amf": ("part.amf",),
  "step": ("part.step", "part.stpz"),
}
"""Names of good files, by the format that they are of."""

_STRUCTURED = 0.5  # of the files of a format that has a structure to change


def make_seeds() -> dict[str, bytes]:
  """Returns small valid files by name, in text and binary formats."""
  body = trimesh.creation.annulus(r_min=3, r_max=5, height=2, sections=24)
  box: Any = trimesh.creation.box([2, 3, 4])
  box.apply_translation([9, 0, 0])
  scene = trimesh.Scene([body, box])
  joined: Any = trimesh.util.concatenate([body, box])
  stl = joined.export(file_type="stl")
  step = _step_tetrahedron()
  files = {
    "binary.stl": stl,
    "text.stl": joined.export(file_type="stl_ascii"),
    "packed.stl": gzip.compress(stl),
    "part.obj": joined.export(file_type="obj"),
    "polygons.obj": _OBJ,
    "binary.ply": joined.export(file_type="ply"),
    "text.ply": joined.export(file_type="ply", encoding="ascii"),
    "strips.ply": _PLY,
    "part.off": joined.export(file_type="off"),
    "polygons.off": _OFF,
    "part.glb": scene.export(file_type="glb"),
    "part.3mf": scene.export(file_type="3mf"),
    "assembly.3mf": _make_assembly(),
    "part.dae": joined.export(file_type="dae"),
    "part.amf": _make_amf(box),
    "part.step": step,
    "part.stpz": gzip.compress(step.encode()),
    "part.gltf": _gltf(scene),
  }
  return {
    name: data.encode() if isinstance(data, str) else data
    for name, data in files.items()
  }


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
  """Returns a file with one to four mutations."""
  for _ in range(rng.integers(1, 5)):
    if not data:
      break
    at = int(rng.integers(len(data)))
    span = min(len(data) - at, 2 ** int(rng.integers(11)))
    match rng.integers(8):
      case 0:
        data = data[:at]
      case 1:
        noise = rng.integers(256, size=span, dtype=np.uint8).tobytes()
        data = data[:at] + noise + data[at + span :]
      case 2:
        data = data[:at] + data[at + span :]
      case 3:
        data = data[:at] + data[at : at + span] * 3 + data[at + span :]
      case 4:
        bit = bytes([data[at] ^ (1 << int(rng.integers(8)))])
        data = data[:at] + bit + data[at + 1 :]
      case 5:
        data = data[:at] + rng.choice(_WORDS) + data[at:]
      case 6:
        data = _change_number(data, at, rng)
      case 7:
        data = data[:at] + b"\0" * span + data[at + span :]
  return data


def mutate_structure(name: str, data: bytes, rng: np.random.Generator) -> bytes:
  """Returns a file that stays well formed, with its structure changed.

  Args:
    name: of the good file.
    data: its content.
    rng: chooses the changes.
  """
  match pathlib.Path(name).suffix:
    case ".3mf":
      return mutate_package(data, rng)
    case ".glb" | ".gltf":
      return mutate_gltf(data, rng)
    case ".dae" | ".amf":
      return mutate_xml(data, rng)
  return mutate(data, rng)


def write_corpus(
  folder: pathlib.Path, *, count: int, seed: int, family: str | None = None
) -> Iterator[pathlib.Path]:
  """Writes mutated files, one in ten with a wrong extension; yields paths.

  Args:
    folder: where to write.
    count: of the files.
    seed: of the mutations.
    family: one of FAMILIES; all of them in turn if None.
  """
  rng = np.random.default_rng(seed)
  seeds = make_seeds()
  names = sorted(seeds) if family is None else list(FAMILIES[family])
  for i in range(count):
    name = names[i % len(names)]
    kind = pathlib.Path(name).suffix
    if rng.random() < 0.1:
      kind = pathlib.Path(str(rng.choice(sorted(seeds)))).suffix
    data = seeds[name]
    if rng.random() < _STRUCTURED:
      data = mutate_structure(name, data, rng)
    elif name.endswith(".3mf") and rng.random() < 0.7:
      data = _mutate_inside(data, rng)
    else:
      data = mutate(data, rng)
    path = folder / f"{i:05d}_{name.split('.')[0]}{kind}"
    path.write_bytes(data)
    yield path


def _change_number(data: bytes, at: int, rng: np.random.Generator) -> bytes:
  """Replaces the next number in a text by an extreme one."""
  start = next((i for i in range(at, len(data)) if chr(data[i]).isdigit()), at)
  end = start
  while end < len(data) and data[end : end + 1] in b"0123456789.e-+":
    end += 1
  return data[:start] + rng.choice(_NUMBERS) + data[max(end, start + 1) :]


def _mutate_inside(data: bytes, rng: np.random.Generator) -> bytes:
  """Mutates the model in a ZIP archive, which stays valid."""
  result = io.BytesIO()
  with (
    zipfile.ZipFile(io.BytesIO(data)) as archive,
    zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as changed,
  ):
    for name in archive.namelist():
      content = archive.read(name)
      changed.writestr(
        name, mutate(content, rng) if name.endswith(".model") else content
      )
  return result.getvalue()


_OBJ = """# an angle section with an inward corner
v 0 0 0
v 9 0 0
v 9 1 0
v 1 1 0
v 1 9 0
v 0 9 0
v 3 3 5
f 6 5 4 3 2 1
f 1/1/1 2/2/1 7/3/1
f 2 3 7
f -5//1 -4//1 -1//1
\tf 4 5 7 # a comment
f 5 6 \\
  7
f 6 1 7
"""

_OFF = """OFF
7 7 0
0 0 0  9 0 0  9 1 0
1 1 0  1 9 0  0 9 0
3 3 5
6 5 4 3 2 1 0
3 0 1 6
3 1 2 6
3 2 3 6
3 3 4 6
3 4 5 6
3 5 0 6
"""

_PLY = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
element face 1
property list uchar int vertex_indices
element tristrips 1
property list int int vertex_indices
end_header
0 0 0
4 0 0
0 5 0
0 0 6
3 0 2 1
7 0 1 3 2 -1 0 3
"""

_SPACES = (
  'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02" '
  'xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"'
)
_BODY = """<mesh><vertices>
<vertex x="0" y="0" z="0"/><vertex x="4" y="0" z="0"/>
<vertex x="0" y="5" z="0"/><vertex x="0" y="0" z="6"/></vertices><triangles>
<triangle v1="0" v2="2" v3="1"/><triangle v1="0" v2="1" v3="3"/>
<triangle v1="1" v2="2" v3="3"/><triangle v1="0" v2="3" v3="2"/></triangles>
</mesh>"""


def _make_assembly() -> bytes:
  """A 3MF file with nested components, mirrored, in two model files."""
  place = "{} 0 0 0 1 0 0 0 1 {} 0 0"
  parts = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/'
    'package/2006/content-types"><Default Extension="rels" ContentType='
    '"application/vnd.openxmlformats-package.relationships+xml"/><Default '
    'Extension="model" ContentType="application/vnd.ms-package.'
    '3dmanufacturing-3dmodel+xml"/></Types>',
    "_rels/.rels": _relate("/3D/3dmodel.model"),
    "3D/_rels/3dmodel.model.rels": _relate("/3D/sub.model"),
    "3D/3dmodel.model": f'<model unit="millimeter" {_SPACES} '
    'requiredextensions="p"><resources>'
    f'<object id="2" type="model">{_BODY}</object>'
    '<object id="3" type="model"><components>'
    f'<component objectid="1" p:path="/3D/sub.model" '
    f'transform="{place.format(1, 10)}"/>'
    f'<component objectid="2" transform="{place.format(-1, 20)}"/>'
    '</components></object><object id="4" type="model"><components>'
    f'<component objectid="3"/><component objectid="3" '
    f'transform="{place.format(1, 50)}"/></components></object></resources>'
    '<build><item objectid="4"/><item objectid="2" '
    f'transform="{place.format(1, 99)}"/></build></model>',
    "3D/sub.model": f'<model unit="millimeter" {_SPACES}><resources>'
    f'<object id="1" type="model">{_BODY}</object></resources><build/></model>',
  }
  result = io.BytesIO()
  with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, text in parts.items():
      archive.writestr(name, text)
  return result.getvalue()


def _relate(target: str) -> str:
  return (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    f'relationships"><Relationship Target="{target}" Id="r" Type="http://'
    'schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
  )


def _make_amf(body: trimesh.Trimesh) -> str:
  """An AMF file of one body at two places."""
  points = "".join(
    f"<vertex><coordinates><x>{x}</x><y>{y}</y><z>{z}</z></coordinates>"
    "</vertex>"
    for x, y, z in np.asarray(body.vertices).tolist()
  )
  corners = "".join(
    f"<triangle><v1>{a}</v1><v2>{b}</v2><v3>{c}</v3></triangle>"
    for a, b, c in np.asarray(body.faces).tolist()
  )
  return (
    f'<amf unit="inch"><object id="1"><mesh><vertices>{points}</vertices>'
    f"<volume>{corners}</volume></mesh></object>"
    '<constellation id="2"><instance objectid="1"/><instance objectid="1">'
    "<deltax>9</deltax><rz>90</rz></instance></constellation></amf>"
  )


def _gltf(scene: trimesh.Scene) -> str:
  """Writes one file with embedded buffers."""
  return scene.export(file_type="gltf", merge_buffers=True, embed_buffers=True)[
    "model.gltf"
  ].decode()


def _step_tetrahedron() -> str:
  """A STEP file (ISO 10303-21, AP214) of a tetrahedron with sides along x y z.

  Millimetres; corners at the origin and at 10, 20 and 30 along the axes.
  """
  corners = [(0, 0, 0), (10, 0, 0), (0, 20, 0), (0, 0, 30)]
  faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
  rows: list[str] = []

  def put(text: str) -> str:
    rows.append(f"#{len(rows) + 1}={text};")
    return f"#{len(rows)}"

  def number(vector) -> str:
    return "(" + ",".join(f"{float(x):.9f}" for x in vector) + ")"

  def put_vector(kind: str, vector) -> str:
    return put(f"{kind}('',{number(vector)})")

  points = [put_vector("CARTESIAN_POINT", corner) for corner in corners]
  vertices = [put(f"VERTEX_POINT('',{point})") for point in points]
  edges: dict[tuple[int, int], str] = {}
  for face in faces:
    for a, b in zip(face, (*face[1:], face[0]), strict=True):
      if (b, a) not in edges:
        along = np.subtract(corners[b], corners[a])
        length = np.linalg.norm(along)
        direction = put_vector("DIRECTION", along / length)
        vector = put(f"VECTOR('',{direction},{length:.9f})")
        line = put(f"LINE('',{points[a]},{vector})")
        edges[a, b] = put(
          f"EDGE_CURVE('',{vertices[a]},{vertices[b]},{line},.T.)"
        )
  planes = []
  for face in faces:
    oriented = []
    for a, b in zip(face, (*face[1:], face[0]), strict=True):
      forward = (a, b) in edges
      edge = edges[a, b] if forward else edges[b, a]
      sense = ".T." if forward else ".F."
      oriented.append(put(f"ORIENTED_EDGE('',*,*,{edge},{sense})"))
    loop = put(f"EDGE_LOOP('',({','.join(oriented)}))")
    bound = put(f"FACE_OUTER_BOUND('',{loop},.T.)")
    origin, one, two = (np.array(corners[i], float) for i in face)
    normal = np.cross(one - origin, two - origin)
    axis = put_vector("DIRECTION", normal / np.linalg.norm(normal))
    side = put_vector(
      "DIRECTION", (one - origin) / np.linalg.norm(one - origin)
    )
    placement = put(f"AXIS2_PLACEMENT_3D('',{points[face[0]]},{axis},{side})")
    plane = put(f"PLANE('',{placement})")
    planes.append(put(f"ADVANCED_FACE('',({bound}),{plane},.T.)"))
  shell = put(f"CLOSED_SHELL('',({','.join(planes)}))")
  solid = put(f"MANIFOLD_SOLID_BREP('',{shell})")
  unit = put("(LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT(.MILLI.,.METRE.))")
  angle = put("(NAMED_UNIT(*)PLANE_ANGLE_UNIT()SI_UNIT($,.RADIAN.))")
  solid_angle = put("(NAMED_UNIT(*)SI_UNIT($,.STERADIAN.)SOLID_ANGLE_UNIT())")
  precision = put(
    f"UNCERTAINTY_MEASURE_WITH_UNIT(LENGTH_MEASURE(1.E-7),{unit},'','')"
  )
  context = put(
    "(GEOMETRIC_REPRESENTATION_CONTEXT(3)"
    f"GLOBAL_UNCERTAINTY_ASSIGNED_CONTEXT(({precision}))"
    f"GLOBAL_UNIT_ASSIGNED_CONTEXT(({unit},{angle},{solid_angle}))"
    "REPRESENTATION_CONTEXT('',''))"
  )
  shape = put(f"ADVANCED_BREP_SHAPE_REPRESENTATION('',({solid}),{context})")
  application = put("APPLICATION_CONTEXT('automotive design')")
  product_context = put(f"PRODUCT_CONTEXT('',{application},'mechanical')")
  product = put(f"PRODUCT('part','part','',({product_context}))")
  formation = put(f"PRODUCT_DEFINITION_FORMATION('','',{product})")
  definition_context = put(
    f"PRODUCT_DEFINITION_CONTEXT('part definition',{application},'design')"
  )
  definition = put(
    f"PRODUCT_DEFINITION('design','',{formation},{definition_context})"
  )
  defined = put(f"PRODUCT_DEFINITION_SHAPE('','',{definition})")
  put(f"SHAPE_DEFINITION_REPRESENTATION({defined},{shape})")
  body = "\n".join(rows)
  return f"""ISO-10303-21;
HEADER;
FILE_DESCRIPTION((''),'2;1');
FILE_NAME('part.step','2026-01-01T00:00:00',(''),(''),'','','');
FILE_SCHEMA(('AUTOMOTIVE_DESIGN {{ 1 0 10303 214 1 1 1 1 }}'));
ENDSEC;
DATA;
{body}
ENDSEC;
END-ISO-10303-21;
"""
