"""PLY files that trimesh refuses, misreads or reads by halves.

Such are files with polygons of different sizes in binary form, with letters
outside ASCII in a comment, and texts that end too early.
"""

import dataclasses
import itertools
import struct

import numpy as np

from dr3d.error import MeshError

_TYPES = {
  **dict.fromkeys(("char", "int8"), "b"),
  **dict.fromkeys(("uchar", "uint8"), "B"),
  **dict.fromkeys(("short", "int16"), "h"),
  **dict.fromkeys(("ushort", "uint16"), "H"),
  **dict.fromkeys(("int", "int32"), "i"),
  **dict.fromkeys(("uint", "uint32"), "I"),
  **dict.fromkeys(("float", "float32"), "f"),
  **dict.fromkeys(("double", "float64"), "d"),
}
_POLYGON = ("vertex_indices", "vertex_index")


@dataclasses.dataclass
class _Element:
  """A table of a PLY file: rows of numbers and lists of numbers.

  Attributes:
    name: "vertex", "face", ...
    count: number of rows.
    fields: (name, type of the number, type of its length or "" if no list).
  """

  name: str
  count: int
  fields: list[tuple[str, str, str]]


def tidy_ply(data: bytes) -> bytes:
  """Returns a PLY file with a head in ASCII and a text without empty lines.

  Raises:
    MeshError: how the file is damaged, as the predicate of a sentence.
  """
  head, body = _split(data)
  head = head.decode("ascii", "replace").replace("\ufffd", "?").encode()
  kind, elements = _parse_head(head)
  if kind == "ascii":
    rows = [row for row in body.splitlines() if row.strip()]
    wanted = sum(element.count for element in elements)
    if len(rows) < wanted or not _is_whole(rows, elements):
      raise MeshError(
        f"is truncated: it has {len(rows)} rows where its head announces "
        f"{wanted}, or the last row is cut; export it again"
      )
    body = b"\n".join(rows) + b"\n"
  return head + body


def is_binary(data: bytes) -> bool:
  """Tells whether the body of a PLY file is binary."""
  return b"\nformat binary" in data[:64]


def read_polygons(data: bytes) -> tuple[np.ndarray, np.ndarray]:
  """Reads a binary file row by row, and fans out each polygon.

  Returns:
    vertices float64 [V, 3], faces int64 [F, 3].

  Raises:
    MeshError: how the file is damaged, as the predicate of a sentence.
  """
  head, body = _split(data)
  kind, elements = _parse_head(head)
  order = "<" if "little" in kind else ">"
  try:
    return _read_tables(body, order, elements)
  except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
    raise MeshError(
      "is truncated or damaged: its tables do not fit its head; export it again"
    ) from error


def _read_tables(
  body: bytes, order: str, elements: list[_Element]
) -> tuple[np.ndarray, np.ndarray]:
  """Returns vertices and faces from the body of a binary file."""
  vertices = np.zeros((0, 3))
  faces: list[tuple[int, int, int]] = []
  offset = 0
  for element in elements:
    if any(length for _, _, length in element.fields):
      offset = _read_rows(body, offset, order, element, faces)
      continue
    row = np.dtype([(name, order + kind) for name, kind, _ in element.fields])
    table = np.frombuffer(body, row, element.count, offset)
    offset += row.itemsize * element.count
    if element.name == "vertex":
      vertices = np.stack([table[axis] for axis in "xyz"], axis=1)
  return vertices.astype(np.float64), np.array(faces, np.int64).reshape(-1, 3)


def _read_rows(
  body: bytes,
  offset: int,
  order: str,
  element: _Element,
  faces: list[tuple[int, int, int]],
) -> int:
  """Adds the triangles of a table with lists; returns where it ends."""
  for _ in range(element.count):
    for name, kind, length in element.fields:
      size = 1
      if length:
        (size,) = struct.unpack_from(order + length, body, offset)
        offset += struct.calcsize(order + length)
      values = struct.unpack_from(f"{order}{size}{kind}", body, offset)
      offset += struct.calcsize(f"{order}{size}{kind}")
      if name in _POLYGON:
        faces += [(values[0], *pair) for pair in itertools.pairwise(values[1:])]
  return offset


def _split(data: bytes) -> tuple[bytes, bytes]:
  """Returns the head with its last line, and the rest."""
  mark = data.find(b"end_header")
  end = data.find(b"\n", mark) + 1
  if not data.startswith(b"ply") or mark < 0 or not end:
    raise MeshError("is no PLY file or has lost the end of its head")
  return data[:end], data[end:]


def _parse_head(head: bytes) -> tuple[str, list[_Element]]:
  """Returns the kind of the body and its tables."""
  kind, elements = "", []
  for line in head.decode().splitlines():
    match line.split():
      case ["format", kind, *_]:
        pass
      case ["element", name, count] if count.isdigit():
        elements.append(_Element(name, int(count), []))
      case ["property", "list", length, item, name] if elements:
        field = (name, _TYPES.get(item, ""), _TYPES.get(length, "?"))
        elements[-1].fields.append(field)
      case ["property", item, name] if elements:
        elements[-1].fields.append((name, _TYPES.get(item, ""), ""))
  return kind, elements


def _is_whole(rows: list[bytes], elements: list[_Element]) -> bool:
  """Tells whether the last row of a text has all the numbers it needs."""
  elements = [element for element in elements if element.count]
  if not rows or not elements:
    return True
  row = rows[sum(element.count for element in elements) - 1].split()
  for _, _, length in elements[-1].fields:
    if not row:
      return False
    size = int(float(row[0])) + 1 if length else 1
    if len(row) < size:
      return False
    row = row[size:]
  return True
