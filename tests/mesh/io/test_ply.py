"""PLY: every table of faces, of every type, in every order of bytes."""

import struct

import numpy as np
import pytest
from support.mesh_files import (
  ANGLE_AREA,
  ANGLE_VOLUME,
  BLOCK,
  BLOCK_AREA,
  BLOCK_FACES,
  angle_bar,
  area,
  volume,
)

from dr3d.error import MeshError
from dr3d.mesh.io.reader import RawMesh, read_raw

pytestmark = pytest.mark.fast

CODES = {
  "char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i",
  "uint": "I", "float": "f", "double": "d", "int8": "b", "uint8": "B",
  "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "float32": "f",
  "float64": "d",
}  # fmt: skip
STRIP = [0, 2, 1, 3, -1, 5, 7, 4, 6, -1, 1, 5, 0, 4, -1, 2, 6, 3, 7, -1,
         0, 4, 2, 6, -1, 3, 7, 1, 5]  # fmt: skip


def read(tmp_path, data: bytes | str) -> RawMesh:
  path = tmp_path / "part.ply"
  path.write_bytes(data.encode() if isinstance(data, str) else data)
  return read_raw(path)


def ply(
  tables: list[tuple[str, list]],
  *,
  vertices=BLOCK,
  order="",
  number="float",
  length="uchar",
  index="int",
  field="vertex_indices",
  end="\n",
) -> bytes:
  """A file; the body is text if `order` is empty."""
  kinds = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}
  lines = ["ply", f"format {kinds[order]} 1.0", "comment made here"]
  lines += [f"element vertex {len(vertices)}"]
  lines += [f"property {number} {axis}" for axis in "xyz"]
  for name, rows in tables:
    lines += [f"element {name} {len(rows)}"]
    lines += [f"property list {length} {index} {field}"]
  head = end.join([*lines, "end_header", ""]).encode()
  rows = [row for _, table in tables for row in table]
  if not order:
    texts = [" ".join(map(str, row)) for row in np.asarray(vertices).tolist()]
    texts += [" ".join(map(str, [len(row), *row])) for row in rows]
    return head + (end.join(texts) + end).encode()
  body = np.asarray(vertices).astype(order + CODES[number]).tobytes()
  for row in rows:
    body += struct.pack(order + CODES[length], len(row))
    body += struct.pack(f"{order}{len(row)}{CODES[index]}", *row)
  return head + body


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_head_with_any_line_end_is_read(tmp_path, order, end):
  raw = read(tmp_path, ply([("face", BLOCK_FACES)], order=order, end=end))
  assert len(raw.faces) == 12
  assert area(raw) == pytest.approx(BLOCK_AREA)


def test_body_that_begins_with_a_line_feed_is_whole(tmp_path):
  vertices = BLOCK.copy()
  vertices[0, 0] = struct.unpack("<f", b"\n\0\0\0")[0]  # next to zero
  for end in ("\n", "\r", "\r\n"):
    data = ply([("face", BLOCK_FACES)], vertices=vertices, order="<", end=end)
    assert area(read(tmp_path, data)) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("index", ["uchar", "short", "uint", "int32", "float"])
@pytest.mark.parametrize("length", ["uchar", "int", "uint16"])
@pytest.mark.parametrize("number", ["double", "float32"])
def test_numbers_of_any_type_are_read(tmp_path, order, index, length, number):
  data = ply(
    [("face", BLOCK_FACES.tolist())],
    order=order,
    index=index,
    length=length,
    number=number,
  )
  assert area(read(tmp_path, data)) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize(
  "field", ["vertex_indices", "vertex_index", "indices", "anything"]
)
@pytest.mark.parametrize("name", ["face", "faces", "polygon"])
def test_list_of_any_name_is_read(tmp_path, field, name):
  raw = read(tmp_path, ply([(name, BLOCK_FACES)], field=field))
  assert area(raw) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_strips_beside_faces_are_read(tmp_path, order):
  tables = [("face", BLOCK_FACES[:1]), ("tristrips", [STRIP])]
  raw = read(tmp_path, ply(tables, order=order, length="int"))
  assert len(raw.faces) == 13
  alone = read(tmp_path, ply(tables[1:], order=order, length="int"))
  assert area(alone) == pytest.approx(BLOCK_AREA)
  assert volume(alone) == pytest.approx(6000)


def test_fans_are_read(tmp_path):
  fans = [[0, 2, 3, 1], [4, 5, 7, 6]]
  assert area(read(tmp_path, ply([("trifans", fans)]))) == pytest.approx(400)


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_polygon_with_an_inward_corner_keeps_its_area(tmp_path, order):
  vertices, polygons = angle_bar()
  raw = read(
    tmp_path, ply([("face", polygons)], vertices=vertices, order=order)
  )
  assert area(raw) == pytest.approx(ANGLE_AREA)
  assert volume(raw) == pytest.approx(ANGLE_VOLUME)


def test_tables_in_another_order_and_with_other_lists_are_read(tmp_path):
  head = (
    "ply\nformat ascii 1.0\nelement face 2\n"
    "property list uchar float texcoord\n"
    "property list uchar int vertex_indices\nproperty uchar red\n"
    "element edge 1\nproperty int vertex1\nproperty int vertex2\n"
    "element vertex 4\nproperty float nx\nproperty float x\nproperty float y\n"
    "property float z\nend_header\n"
  )
  body = "2 .5 .5 3 0 1 2 9\n0 3 0 2 3 9\n0 1\n"
  body += "7 0 0 0\n7 2 0 0\n7 2 2 0\n7 0 2 0\n"
  assert area(read(tmp_path, head + body)) == pytest.approx(4)


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("tables", [[], [("face", [])]])
def test_points_alone_are_refused_with_what_to_do(tmp_path, order, tables):
  with pytest.raises(MeshError, match=r"point cloud: it has 8 points.*mesh of"):
    read(tmp_path, ply(tables, order=order))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_with_a_mark_is_read(tmp_path, encoding):
  data = ply([("face", BLOCK_FACES)]).decode().encode(encoding)
  assert area(read(tmp_path, data)) == pytest.approx(BLOCK_AREA)


GOOD = ply([("face", BLOCK_FACES)])
BINARY = ply([("face", BLOCK_FACES)], order="<")


@pytest.mark.parametrize(
  ("data", "reason"),
  [
    (GOOD + GOOD, "is not a number|more numbers"),
    (GOOD + b"3 0 1 2\n", "more numbers than its head"),
    (BINARY + BINARY, "more numbers than its head"),
    (BINARY[:-1], "truncated"),
    (GOOD[:-4], "truncated"),
    (GOOD.replace(b"float x", b"real x"), "type 'real'"),
    (GOOD.replace(b"float x", b"float u"), "without three coordinates"),
    (GOOD.replace(b"ascii", b"binary"), "format 'binary'"),
    (GOOD.replace(b"3 0 2 1", b"3 0 2 1.5"), "not an integer"),
    (GOOD.replace(b"3 0 2 1", b"3 0 2 x"), "not a number"),
    (GOOD.replace(b"3 0 2 1", b"9999999 0 2 1"), "truncated"),
    (GOOD.replace(b"face 12", b"face 999999999999"), "more than allowed"),
    (
      GOOD.replace(b"list uchar int vertex_indices", b"int vertex1"),
      "without a list|truncated",
    ),
  ],
)
def test_damaged_file_raises_the_reason(tmp_path, data, reason):
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, data)
