"""OBJ, OFF and text in general, as editors and other programs save them."""

import gzip
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


def read(tmp_path, name: str, data: str | bytes) -> RawMesh:
  path = tmp_path / name
  path.write_bytes(data.encode() if isinstance(data, str) else data)
  return read_raw(path)


def obj(vertices=BLOCK, faces=BLOCK_FACES) -> str:
  lines = [f"v {x} {y} {z}" for x, y, z in vertices]
  lines += ["f " + " ".join(str(i + 1) for i in face) for face in faces]
  return "\n".join(lines) + "\n"


def off(vertices=BLOCK, faces=BLOCK_FACES, head="OFF") -> str:
  lines = [head, f"{len(vertices)} {len(faces)} 0"]
  lines += [" ".join(map(str, row)) for row in vertices]
  lines += [" ".join(map(str, [len(face), *face])) for face in faces]
  return "\n".join(lines) + "\n"


OBJ_VARIANTS = {
  "indented": obj().replace("\nf", "\n  f").replace("\nv", "\n\tv"),
  "zeros": obj().replace("\n", "\0\0\n"),
  "tabs": obj().replace("f ", "f\t").replace("v ", "v \t"),
  "comments": obj().replace("\n", " # of a line\n"),
  "comments without a blank": obj().replace("\n", "#7\n"),
  "continued": obj().replace("f 1 3 2", "f 1 \\\n3 \\\n 2"),
  "old keyword": obj().replace("f ", "fo "),
  "texture": obj().replace("f 1 3 2", "f 1/1/1 3/2 2//3"),
  "colours": obj().replace("\nv 10", "\nv 10").replace("0.0\n", "0.0 1 0 0\n"),
  "weights": obj().replace("30.0\n", "30.0 1.0\n"),
  "relative": obj().replace("f 1 3 2", "f -8 -6 -7"),
  "other lines": "mtllib a.mtl\ng a b\ns off\nvn 0 0 1\nvt 0 0\n" + obj(),
  "lines and points": obj() + "l 1 2 3\np 4\nvp 1\n",
  "curves": obj() + "cstype bezier\ncurv 0 1 1 2\n",
}


@pytest.mark.parametrize("name", OBJ_VARIANTS)
def test_obj_of_any_layout_is_read_whole(tmp_path, name):
  raw = read(tmp_path, "part.obj", OBJ_VARIANTS[name])
  assert len(raw.faces) == 12
  assert area(raw) == pytest.approx(BLOCK_AREA)


def test_zeros_among_the_words_of_a_face_are_damage(tmp_path):
  # As a blank, the zero would make another face of it: 1, 3, 2.
  damaged = obj().replace("f 1 3 2", "f 1\0\0 3 2")
  line = damaged[: damaged.index("\0")].count("\n") + 1
  with pytest.raises(MeshError, match=rf"line {line} has zero bytes"):
    read(tmp_path, "part.obj", damaged)


ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
  ("name", "text"), [("part.obj", obj()), ("part.off", off())]
)
def test_text_in_any_encoding_is_read(tmp_path, encoding, name, text):
  if encoding == "utf-32" and name == "part.off":
    text = "OFF # " + text.removeprefix("OFF")
  raw = read(tmp_path, name, text.encode(encoding))
  assert area(raw) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize("name", ["bar.obj", "bar.off"])
@pytest.mark.parametrize("turned", [1, -1])
def test_polygon_with_an_inward_corner_keeps_its_area(tmp_path, name, turned):
  vertices, polygons = angle_bar()
  polygons = [polygon[::turned] for polygon in polygons]
  text = (obj if name == "bar.obj" else off)(vertices, polygons)
  raw = read(tmp_path, name, text)
  assert area(raw) == pytest.approx(ANGLE_AREA)
  assert volume(raw) == pytest.approx(turned * ANGLE_VOLUME)


def test_obj_objects_are_counted(tmp_path):
  lines = obj().splitlines()
  text = "\n".join([*lines[:8], "o a", *lines[8:14], "o b", *lines[14:]])
  assert read(tmp_path, "a.obj", text + "\no c\n").body_count == 2


@pytest.mark.parametrize(
  ("lines", "reason"),
  [
    ("surf 0 1 0 1 1 2 3 4\n", "free-form surface in line 21"),
    ("call other.obj\n", "another file"),
    ("1 2 3\n", "line 21 has numbers without a keyword"),
    ("f 1 2 x\n", "not a number"),
    ("f 1 2 99\n", "vertex number 98"),
    ("f 1 0 2\n", "vertex 0 in line 21"),
    ("f 1 -9 2\n", "vertex -9 in line 21"),
  ],
)
def test_obj_that_would_be_read_by_halves_raises(tmp_path, lines, reason):
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, "a.obj", obj() + lines)


def free_numbers(separator: str) -> str:
  words = off().split()
  return words[0] + "\n" + separator.join(words[1:])


WITH_COLOUR = [[*row, 0.5, 0.5, 0.5, 1] for row in BLOCK.tolist()]
WITH_NORMAL = [[*row, 0, 0, 1] for row in BLOCK.tolist()]
WITH_TEXTURE = [[*row, 0.1, 0.9] for row in BLOCK.tolist()]
COLOURED_FACES = off().replace("3 0 2 1", "3 0 2 1 255 0 0")

OFF_VARIANTS = {
  "one number a line": free_numbers("\n"),
  "all on one line": free_numbers(" "),
  "all behind the word": "OFF " + " ".join(off().split()[1:]),
  "no count of edges": off().replace("8 12 0", "8 12"),
  "counts behind the word": off().replace("OFF\n", "OFF"),
  "comments": off().replace("\n", " # here\n\n"),
  "blank lines": off().replace("\n", "\n\n"),
  "windows": off().replace("\n", "\r\n"),
  "old mac": off().replace("\n", "\r"),
  "colour of a face": COLOURED_FACES,
  "vertex colours": off(WITH_COLOUR, head="COFF"),
  "vertex normals": off(WITH_NORMAL, head="NOFF"),
  "texture": off(WITH_TEXTURE, head="STOFF"),
  "colours of three": off([r[:6] for r in WITH_COLOUR], head="COFF"),
  "colours in a plain file": off(WITH_COLOUR),
  "free numbers with normals": "NOFF\n"
  + "\n".join(off(WITH_NORMAL, head="NOFF").split()[1:]),
}


@pytest.mark.parametrize("name", OFF_VARIANTS)
def test_off_of_any_layout_is_read_whole(tmp_path, name):
  raw = read(tmp_path, "part.off", OFF_VARIANTS[name])
  assert len(raw.faces) == 12
  assert area(raw) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize("corners", [5, 6, 9])
def test_off_pyramid_over_a_polygon_is_read(tmp_path, corners):
  angle = np.arange(corners) * 2 * np.pi / corners
  base = np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
  faces = [list(range(corners))[::-1]]
  faces += [[i, (i + 1) % corners, corners] for i in range(corners)]
  raw = read(tmp_path, "p.off", off([*base.tolist(), [0.0, 0.0, 3.0]], faces))
  base_area = corners / 2 * np.sin(2 * np.pi / corners)
  assert volume(raw) == pytest.approx(base_area)  # a third of area times 3


def test_binary_off_is_read(tmp_path):
  data = b"OFF BINARY\n" + struct.pack(">3i", 8, 12, 0)
  data += BLOCK.astype(">f4").tobytes()
  for i, face in enumerate(BLOCK_FACES):
    data += struct.pack(">4i", 3, *face)
    data += struct.pack(">i", 0) if i % 2 else struct.pack(">i3f", 3, 1, 0, 0)
  assert area(read(tmp_path, "b.off", data)) == pytest.approx(BLOCK_AREA)
  with pytest.raises(MeshError, match="truncated"):
    read(tmp_path, "b.off", data[:-9])


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    (off() + "3 0 1 2\n", "more lines than"),
    (free_numbers(" ") + " 3 0 1 2", "more numbers than"),
    (off()[:-8], "truncated"),
    (off().replace("OFF", "4OFF"), "other than three coordinates"),
    (off(faces=[]), "is a point cloud"),
    (off().replace("8 12 0", "8 -12 0"), "negative"),
  ],
)
def test_off_whose_counts_are_wrong_raises(tmp_path, text, reason):
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, "a.off", text)


@pytest.mark.parametrize("name", ["part.obj", "part.obj.gz", "PART.OBJ.GZ"])
def test_gzip_is_unpacked_under_any_name(tmp_path, name):
  raw = read(tmp_path, name, gzip.compress(obj().encode()))
  assert area(raw) == pytest.approx(BLOCK_AREA)


def test_truncated_or_damaged_gzip_raises(tmp_path):
  packed = gzip.compress(obj().encode() * 9)
  with pytest.raises(MeshError, match="gzip and truncated"):
    read(tmp_path, "a.obj.gz", packed[:-20])
  with pytest.raises(MeshError, match="gzip and damaged"):
    read(tmp_path, "a.obj.gz", packed[:30] + b"\xff" * 30 + packed[60:])


def test_gzip_beyond_the_bound_raises(tmp_path, monkeypatch):
  monkeypatch.setattr("dr3d.mesh.io.text.UNPACKED_LIMIT", 1000)
  with pytest.raises(MeshError, match="would unpack to more than"):
    read(tmp_path, "a.obj.gz", gzip.compress(bytes(1001)))
