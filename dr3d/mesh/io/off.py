"""OFF files: Geomview manual, "OFF Files"; the Princeton Shape Benchmark's.

The format has no unit. Numbers are separated by blanks or line ends, but the
colour of a face, of 0 to 4 numbers, ends with its line.
"""

import pathlib
import re
import struct

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.polygon import split_polygons, triangulate
from dr3d.mesh.io.raw import (
  ROW_LIMIT,
  Geometry,
  RawMesh,
  join_bodies,
  points_only,
)
from dr3d.mesh.io.text import decode_text

_HEAD = re.compile(r"\s*(ST)?(C)?(N)?(4)?(n)?OFF")
_BINARY = re.compile(rb"[^\n]*\bBINARY[^\n]*\n")
_COLOUR = 4  # numbers of a colour, at most


def read_off(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads an OFF file; normals, colours and texture are left out.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: how the file is damaged, as the predicate of a sentence.
  """
  del path
  binary = _BINARY.match(data)
  if binary and is_off(data):
    body = _read_binary(data[binary.end() :], _parse_head(binary[0].decode()))
  else:
    text = re.sub(r"#.*", "", decode_text(data))
    body = _read_text(text)
  if not len(body[1]) and len(body[0]):
    raise points_only(len(body[0]))
  return join_bodies([body])


def is_off(head: bytes) -> bool:
  """Tells whether a file begins as an OFF file does."""
  text = head[:64].removeprefix(b"\xef\xbb\xbf").decode("latin-1")
  return bool(_HEAD.match(text))


def _parse_head(text: str) -> tuple[int, int]:
  """Returns the length of the head, and the numbers of a vertex.

  The latter are negative if there are more than three coordinates.
  """
  match = _HEAD.match(text)
  if match is None:
    raise MeshError('is not an OFF file: it does not begin with "OFF"')
  texture, colour, normal, fourth, dimension = match.groups()
  if fourth or dimension:
    raise MeshError(
      "has vertices of other than three coordinates (4OFF or nOFF), which "
      "cannot be read; export it as OFF"
    )
  size = 3 + 3 * bool(normal) + _COLOUR * bool(colour) + 2 * bool(texture)
  return match.end(), size


def _read_text(text: str) -> Geometry:
  end, size = _parse_head(text)
  text = text[end:].lstrip()
  first, _, rest = text.partition("\n")
  head = first.split()
  if len(head) == 2:  # the number of edges is left out
    vertex_count, face_count = map(int, head)
    if len(text.split()) == 3 + size * vertex_count + 4 * face_count:
      rest = rest.split(None, 1)[1]  # or stands in a line of its own
  else:
    head = text.split(None, 3)
    vertex_count, face_count, _ = map(int, head[:3])
    rest = head[3] if len(head) > 3 else ""
  if max(vertex_count, face_count) > min(ROW_LIMIT, len(text)):
    raise _truncated(f"{vertex_count} vertices and {face_count} faces")
  if min(vertex_count, face_count) < 0:
    raise MeshError("is damaged: its head has a negative count")
  words = rest.split()
  if len(words) == 3 * vertex_count + 4 * face_count and size == 3:
    body = _read_triangles(words, vertex_count)
    if body is not None:
      return body
  body = _read_lines(rest, size, vertex_count, face_count)
  return body or _read_words(words, size, vertex_count, face_count)


def _read_triangles(words: list[str], vertex_count: int) -> Geometry | None:
  """Reads what most files hold: bare vertices and triangles."""
  split = 3 * vertex_count
  faces = np.array(words[split:]).reshape(-1, 4)
  if not (faces[:, 0] == "3").all():
    return None
  vertices = np.array(words[:split], np.float64).reshape(-1, 3)
  return vertices, faces[:, 1:].astype(np.int64)


def _read_lines(
  text: str, size: int, vertex_count: int, face_count: int
) -> Geometry | None:
  """Reads one vertex or face a line; None if the lines are not so."""
  rows = [row for row in map(str.split, text.split("\n")) if row]
  if len(rows) < vertex_count + face_count:
    return None
  points, rest = rows[:vertex_count], rows[vertex_count:]
  # A colour has three or four numbers, whatever the head says.
  if any(not 3 <= len(row) <= size + _COLOUR for row in points):
    return None
  polygons = []
  for row in rest[:face_count]:
    count = int(row[0]) if row[0].isdigit() else -1
    if not 0 <= count < len(row) <= 1 + count + _COLOUR:
      return None
    polygons.append([int(word) for word in row[1 : count + 1]])
  if len(rest) > face_count:
    raise MeshError(
      f"has {len(rest) - face_count} more lines than the {vertex_count} "
      f"vertices and {face_count} faces that its head announces; export it "
      "again"
    )
  vertices = np.array([row[:3] for row in points], np.float64).reshape(-1, 3)
  return vertices, triangulate(vertices, polygons)


def _read_words(
  words: list[str], size: int, vertex_count: int, face_count: int
) -> Geometry:
  """Reads numbers in a row, whatever line they are in, faces without colour."""
  split = size * vertex_count
  table = np.array(words[:split], np.float64)
  if len(table) < split:
    raise _truncated(f"{vertex_count} vertices")
  vertices = table.reshape(-1, size)[:, :3]
  polygons, at = [], split
  for _ in range(face_count):
    count = int(words[at]) if at < len(words) else 0
    polygon = [int(word) for word in words[at + 1 : at + 1 + count]]
    if at >= len(words) or len(polygon) < count or count < 0:
      raise _truncated(f"{vertex_count} vertices and {face_count} faces")
    polygons.append(polygon)
    at += 1 + count
  if at < len(words):
    raise MeshError(
      f"has {len(words) - at} more numbers than the {face_count} faces that "
      "its head announces; export it again"
    )
  return vertices, triangulate(vertices, polygons)


def _read_binary(data: bytes, head: tuple[int, int]) -> Geometry:
  """Reads big-endian 32-bit numbers: counts, vertices, faces with colours."""
  _, size = head
  try:
    vertex_count, face_count, _ = struct.unpack_from(">3i", data)
    vertices = np.frombuffer(data, ">f4", size * vertex_count, 12)
    at = 12 + 4 * size * vertex_count
    polygons = []
    for _ in range(face_count):
      (count,) = struct.unpack_from(">i", data, at)
      polygons.append(struct.unpack_from(f">{count}i", data, at + 4))
      at += 4 + 4 * count
      (colours,) = struct.unpack_from(">i", data, at)
      at += 4 + 4 * colours
  except (struct.error, ValueError) as error:
    raise _truncated("its tables") from error
  points = vertices.reshape(-1, size)[:, :3].astype(np.float64)
  width = max(map(len, polygons), default=0)
  if polygons and all(len(polygon) == width >= 3 for polygon in polygons):
    return points, split_polygons(points, np.array(polygons, np.int64))
  return points, triangulate(points, polygons)


def _truncated(announced: str) -> MeshError:
  return MeshError(
    f"is truncated: it ends before all that its head announces ({announced}); "
    "export it again"
  )
