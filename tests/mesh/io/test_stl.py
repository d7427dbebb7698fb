"""STL: what its head or text says wrongly is found, by its length or words."""

import gzip

import numpy as np
import pytest
from support.mesh_files import BLOCK, BLOCK_AREA, BLOCK_FACES, area, volume

from dr3d.error import MeshError
from dr3d.mesh.io.reader import RawMesh, read_raw

pytestmark = pytest.mark.fast

SQUARES = [
  [0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1],
  [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3],
]  # fmt: skip


def read(tmp_path, data: bytes | str, name="part.stl") -> RawMesh:
  path = tmp_path / name
  path.write_bytes(data.encode() if isinstance(data, str) else data)
  return read_raw(path)


def binary(vertices=BLOCK, *, count=12, title=b"made here") -> bytes:
  facets = b"".join(
    bytes(12) + vertices[face].astype("<f4").tobytes() + bytes(2)
    for face in BLOCK_FACES
  )
  return title.ljust(80) + count.to_bytes(4, "little") + facets


def text(faces=BLOCK_FACES, vertices=BLOCK, name="a") -> str:
  lines = [f"solid {name}"]
  for face in faces:
    lines += ["facet normal 0 0 0", "outer loop"]
    lines += ["vertex " + " ".join(map(str, vertices[i])) for i in face]
    lines += ["endloop", "endfacet"]
  return "\n".join([*lines, f"endsolid {name}", ""])


@pytest.mark.parametrize("count", [0, 1, 5, 11])
def test_count_that_is_too_small_is_corrected_by_the_length(tmp_path, count):
  raw = read(tmp_path, binary(count=count))
  assert area(raw) == pytest.approx(BLOCK_AREA)
  assert f"announces {count} triangles" in raw.warnings[0]


@pytest.mark.parametrize("count", [13, 2**31 - 1, 2**32 - 1])
def test_count_that_is_too_large_raises(tmp_path, count):
  with pytest.raises(MeshError, match=f"the {count} triangles that its head"):
    read(tmp_path, binary(count=count))


def test_binary_files_joined_in_one_are_all_read(tmp_path):
  moved = [binary(BLOCK + np.array([50 * i, 0, 0])) for i in range(3)]
  raw = read(tmp_path, b"".join(moved))
  assert raw.body_count == 3
  assert area(raw) == pytest.approx(3 * BLOCK_AREA)


def test_text_file_joined_to_a_binary_one_is_read(tmp_path):
  raw = read(tmp_path, binary() + text(vertices=BLOCK + 50).encode())
  assert area(raw) == pytest.approx(2 * BLOCK_AREA)


def test_bytes_that_are_no_facets_after_the_last_raise(tmp_path):
  noise = np.random.default_rng(0).bytes(333)
  with pytest.raises(MeshError, match="333 more bytes after the 12 triangles"):
    read(tmp_path, binary() + noise)


@pytest.mark.parametrize(
  "trailer", [b"appended", bytes(500), b"a comment of the exporter " * 9]
)
def test_padding_or_comment_after_the_last_facet_is_ignored(tmp_path, trailer):
  assert len(read(tmp_path, binary() + trailer).faces) == 12


def test_facets_with_four_corners_are_split(tmp_path):
  raw = read(tmp_path, text(SQUARES))
  assert area(raw) == pytest.approx(BLOCK_AREA)
  mixed = read(tmp_path, text([*SQUARES[1:], [0, 1, 3], [0, 3, 2]]))
  assert area(mixed) == pytest.approx(BLOCK_AREA)


def test_facet_with_an_inward_corner_keeps_its_area(tmp_path):
  dart = np.array([[0, 0, 0], [10, -5, 0], [3, 0, 0], [10, 5, 0]], float)
  raw = read(tmp_path, text([[0, 1, 2, 3]], dart))
  assert area(raw) == pytest.approx(15)


def test_facet_with_two_corners_raises(tmp_path):
  with pytest.raises(MeshError, match="a facet has 2 corners"):
    read(tmp_path, text([*BLOCK_FACES, [0, 1]]))


VARIANTS = {
  "mark": b"\xef\xbb\xbf" + text().encode(),
  "utf-16": text().encode("utf-16"),
  "zeros behind": text().encode() + bytes(5000),
  "zeros before": bytes(84) + text().encode(),
  "zeros in lines": text().replace("\n", "\0\0\n").encode(),
  "capitals": text().upper().encode(),
  "tabs": text().replace(" ", "\t").encode(),
  "old mac": text().replace("\n", "\r").encode(),
  "windows": text().replace("\n", "\r\n").encode(),
  "one line": text().replace("\n", " ").encode(),
  "no name": text(name="").encode(),
  "name of words": text(name="endfacet vertex 1 2 3").encode(),
  "blanks before": b"\n\n  " + text().encode(),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_text_of_any_layout_is_read_whole(tmp_path, name):
  raw = read(tmp_path, VARIANTS[name])
  assert len(raw.faces) == 12
  assert area(raw) == pytest.approx(BLOCK_AREA)
  assert volume(raw) == pytest.approx(6000)


def test_zero_bytes_among_numbers_are_damage(tmp_path):
  damaged = text().replace("vertex ", "vertex \0", 1).encode()
  with pytest.raises(MeshError, match="zero bytes among its words"):
    read(tmp_path, damaged)


@pytest.mark.parametrize("name", ["part.stl", "part.stl.gz"])
@pytest.mark.parametrize("data", [binary(), text().encode()])
def test_gzip_is_unpacked(tmp_path, name, data):
  raw = read(tmp_path, gzip.compress(data), name)
  assert area(raw) == pytest.approx(BLOCK_AREA)


@pytest.mark.parametrize(
  ("data", "reason"),
  [
    (text().replace("endfacet", "endfacit", 1), "one outer loop"),
    (text().replace("vertex 0.0", "vertex O.O"), "corner without three"),
    (text().replace("endsolid a", ""), "its last solid has no end"),
    (text().rsplit("endloop", 1)[0] + "endsolid", "a facet has no end"),
    (b"glTF" + binary(), "holds glTF, not STL"),
    (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG picture"),
  ],
)
def test_what_is_no_stl_raises_the_reason(tmp_path, data, reason):
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, data)
