"""Mesh files of every format, good and bad."""

import json
import struct

import numpy as np
import trimesh

CORNERS = np.array(
  [
    [0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0],
    [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1],
  ],
  float,
)  # fmt: skip


QUADS = [
  [3, 2, 1, 0], [4, 5, 6, 7], [0, 1, 5, 4],
  [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7],
]  # fmt: skip


PLY_HEAD = """ply
format {} 1.0
comment {}
element vertex 8
property float x
property float y
property float z
element face {}
property list uchar int vertex_indices
end_header
"""


def export(mesh, file_type: str, **options) -> bytes:
  data = mesh.export(file_type=file_type, **options)
  return data.encode() if isinstance(data, str) else data


def off_text(faces=QUADS) -> str:
  rows = [f"{x} {y} {z}" for x, y, z in CORNERS]
  rows += [" ".join(map(str, [len(face), *face])) for face in faces]
  return "\n".join(["OFF", f"8 {len(faces)} 0", *rows]) + "\n"


def ply_text(faces=QUADS) -> str:
  rows = off_text(faces).splitlines()[2:]
  return PLY_HEAD.format("ascii", "made here", len(faces)) + "\n".join(rows)


def ply_binary(faces=QUADS, order="<", comment="made here") -> bytes:
  kind = "binary_little_endian" if order == "<" else "binary_big_endian"
  head = PLY_HEAD.format(kind, comment, len(faces)).encode("latin-1")
  rows = [struct.pack(f"{order}B{len(f)}i", len(f), *f) for f in faces]
  return head + CORNERS.astype(order + "f4").tobytes() + b"".join(rows)


def wedge() -> trimesh.Trimesh:
  """A body without any symmetry, so that no mix-up can pass."""
  points = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1], [1, 1, 2.0]])
  return trimesh.convex.convex_hull(points)


def stl_with(value: float) -> bytes:
  data = bytearray(export(wedge(), "stl"))
  data[96:100] = struct.pack("<f", value)
  return bytes(data)


TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


DESCRIPTION = {
  "asset": {"version": "2.0"},
  "buffers": [{"uri": "gone.bin", "byteLength": 36}],
  "bufferViews": [{"buffer": 0, "byteLength": 36}],
  "accessors": [
    {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}
  ],
  "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
  "nodes": [{"mesh": 0}],
}


BAD_FILES = [
  ("empty.stl", b"", "is empty"),
  ("blank.obj", "\n \n", "is empty"),
  ("zeros.ply", bytes(500), "is empty"),
  ("part.igs", "S      1", "is not an IGES file"),
  ("part.step", "solid", "holds STL, not STEP as its name says"),
  ("part.txt", "hello", "convert it to one of these"),
  ("part", "hello", "has no extension"),
  ("pointer.stl", "version https://git-lfs.github.com/spec/v1", "git lfs"),
  ("page.stl", "<html>404 not found</html>" * 9, "is a web page"),
  ("short.stl", export(wedge(), "stl")[:-7], "is truncated"),
  ("head.stl", b"made here" + bytes(50), "is truncated"),
  ("text.stl", export(wedge(), "stl_ascii")[:-30], "is truncated"),
  (
    "letters.stl",
    export(wedge(), "stl_ascii").replace(b"1", b"l"),
    "three numbers",
  ),
  ("none.stl", bytes(range(1, 81)) + bytes(4), "has no faces"),
  ("nan.stl", stl_with(np.nan), "infinite or undefined"),
  ("inf.stl", stl_with(np.inf), "infinite or undefined"),
  ("points.obj", TRIANGLE, "is a point cloud: it has 3 points"),
  ("range.obj", TRIANGLE + "f 1 2 9\n", "vertex number 8"),
  ("zero.obj", TRIANGLE + "f 0 1 2\n", "counts from 1"),
  ("flat.obj", "v 3\n" * 3 + "f 1 2 3\n", "without three coordinates"),
  ("back.obj", TRIANGLE + "f -1 -2 -9\n", "the 3 vertices before"),
  ("line.obj", TRIANGLE + "f 1 2 2\n", "no face with an area"),
  ("point.obj", "v 1 1 1\n" * 3 + "f 1 2 3\n", "no size"),
  ("points.ply", ply_binary([]), "is a point cloud: it has 8 points"),
  ("range.ply", ply_binary([[0, 1, 88]]), "vertex number 88"),
  ("negative.ply", ply_binary([[0, 1, -2]]), "vertex number -2"),
  ("short.ply", ply_binary()[:-3], "truncated or damaged"),
  ("shorttext.ply", ply_text()[:-30], "is truncated"),
  ("cutrow.ply", ply_text()[:-2], "is truncated"),
  ("head.ply", PLY_HEAD[:60], "end of its head"),
  ("short.off", off_text()[:-30], "is truncated"),
  ("cutrow.off", off_text()[:-3], "is truncated"),
  ("range.off", off_text([[0, 1, 88]]), "outside the range|number 88"),
  ("nan.off", off_text().replace("1.0", "nan"), "infinite or undefined"),
  ("other.off", "hello", "is not an OFF file"),
  ("short.glb", export(wedge(), "glb")[:-9], "is truncated"),
  ("other.glb", "hello" * 9, "is damaged"),
  ("other.gltf", '{"asset":', "is damaged"),
  ("lonely.gltf", json.dumps(DESCRIPTION), "needs the file gone.bin"),
  ("words.step", "hello", "is not a STEP file"),
  ("short.3mf", export(wedge(), "3mf")[:-9], "is damaged"),
  ("other.3mf", "hello" * 9, "is damaged"),
]


BLOCK = np.array(
  [[x, y, z] for z in (0, 30) for y in (0, 20) for x in (0, 10)], float
)
"""Corners of a block of 10 x 20 x 30."""

BLOCK_FACES = np.array(
  [
    [0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4],
    [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5],
  ]
)  # fmt: skip
"""Its twelve triangles, wound outwards."""

BLOCK_AREA = 2200.0
BLOCK_VOLUME = 6000.0


def area(raw) -> float:
  """Area of a raw mesh in square millimetres."""
  a, b, c = _corners(raw)
  return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def volume(raw) -> float:
  """Signed volume of a raw mesh in cubic millimetres."""
  a, b, c = _corners(raw)
  return float((a * np.cross(b, c)).sum() / 6)


def extent(raw) -> np.ndarray:
  """Size of a raw mesh along the axes, millimetres [3]."""
  return np.ptp(np.concatenate(_corners(raw)), axis=0)


def _corners(raw) -> list[np.ndarray]:
  vertices = raw.vertices * (raw.unit or 1)
  return [vertices[raw.faces[:, k]] for k in range(3)]


ANGLE = np.array(
  [[0, 0], [100, 0], [100, 10], [10, 10], [10, 100], [0, 100]], float
)
"""Section of an angle bar, six corners of which one turns inwards."""

ANGLE_AREA = 2 * 1900 + 400 * 20.0
ANGLE_VOLUME = 1900 * 20.0


def angle_bar() -> tuple[np.ndarray, list[list[int]]]:
  """Vertices [12, 3] and polygons of an angle bar, 20 long."""
  low = np.column_stack([ANGLE, np.zeros(6)])
  vertices = np.concatenate([low, low + np.array([0, 0, 20])])
  sides = [[i, (i + 1) % 6, 6 + (i + 1) % 6, 6 + i] for i in range(6)]
  return vertices, [[5, 4, 3, 2, 1, 0], [6, 7, 8, 9, 10, 11], *sides]
