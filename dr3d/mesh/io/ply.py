"""PLY files: G. Turk, The PLY Polygon File Format (1994).

The head describes tables of any name; a table is rows of numbers and lists.
Read are the coordinates of the vertices, and the corners of faces, triangle
strips and triangle fans. The format has no unit.
"""

import dataclasses
import pathlib
import re
import struct

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.polygon import (
  split_fan,
  split_polygons,
  split_strip,
  triangulate,
)
from dr3d.mesh.io.raw import ROW_LIMIT, RawMesh, join_bodies, points_only
from dr3d.mesh.io.text import recode_text

_TYPES = {
  **dict.fromkeys(("char", "int8"), "b"),
  **dict.fromkeys(("uchar", "uint8"), "B"),
  **dict.fromkeys(("short", "int16"), "h"),
  **dict.fromkeys(("ushort", "uint16"), "H"),
  **dict.fromkeys(("int", "int32"), "i"),
  **dict.fromkeys(("uint", "uint32"), "I"),
  **dict.fromkeys(("int64", "long"), "q"),
  **dict.fromkeys(("uint64", "ulong"), "Q"),
  **dict.fromkeys(("float", "float32"), "f"),
  **dict.fromkeys(("double", "float64"), "d"),
}
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_FACES = ("face", "faces", "polygon", "polygons", "triangle", "triangles")
_STRIPS = ("tristrips", "tristrip", "triangle_strip", "triangle_strips")
_FANS = ("trifans", "trifan", "triangle_fan", "triangle_fans")
_CORNERS = ("vertex_indices", "vertex_index", "vertex_ids", "indices", "index")
_END = re.compile(rb"end_header[ \t]*(\r\n|\n|\r)")

_Column = np.ndarray | list[np.ndarray]


@dataclasses.dataclass
class _Field:
  """A number of each row of a table, or a list of them.

  Attributes:
    name: of the property.
    kind: type of the number, a code of `struct`.
    length: type of the length of a list; empty if it is a number.
  """

  name: str
  kind: str
  length: str = ""


@dataclasses.dataclass
class _Element:
  """A table: its name, the number of its rows and what each of them holds."""

  name: str
  count: int
  fields: list[_Field]


def read_ply(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads a PLY file.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: how the file is damaged, as the predicate of a sentence.
  """
  del path
  if not is_ply(data):
    data = recode_text(data).lstrip()
  head, body = _split(data)
  order, elements = _parse_head(head)
  reader = _BinaryReader(body, order) if order else _TextReader(body)
  vertices = np.zeros((0, 3))
  tables: list[tuple[_Element, dict[str, _Column]]] = []
  for element in elements:
    columns = reader.read(element)
    if element.name in ("vertex", "vertices"):
      vertices = _stack_vertices(columns)
    elif element.count:
      tables.append((element, columns))
  found = [_to_triangles(vertices, *table) for table in tables]
  faces = [part for part in found if part is not None]
  if reader.has_rest():
    raise MeshError("has more numbers than its head announces; export it again")
  if not faces and len(vertices):
    raise points_only(len(vertices))
  empty = np.zeros((0, 3), np.int64)
  return join_bodies([(vertices, np.concatenate(faces or [empty]))])


def is_ply(head: bytes) -> bool:
  """Tells whether a file begins as a PLY file does."""
  return head[:3] == b"ply" and head[3:4] in (b"\r", b"\n", b" ")


def _split(data: bytes) -> tuple[str, bytes]:
  """Returns the head, and what follows its last line end."""
  match = _END.search(data)
  if not is_ply(data) or match is None:
    raise MeshError("is not a PLY file or has lost the end of its head")
  end = match.end()
  # A head that ends its lines by CR may stand before a body that begins with
  # the byte LF, so its first line decides.
  if match[1] == b"\r\n" and re.match(rb"[^\r\n]*\r(?!\n)", data):
    end -= 1
  text = data[: match.start()].decode("ascii", "replace")
  return text.replace("\r\n", "\n").replace("\r", "\n"), data[end:]


def _parse_head(head: str) -> tuple[str, list[_Element]]:
  """Returns the byte order, empty for text, and the tables."""
  order, elements = "", []
  for line in head.split("\n"):
    match line.split():
      case ["format", name, *_]:
        if name not in _FORMATS:
          raise MeshError(f"has the PLY format {name!r}, which is not known")
        order = _FORMATS[name]
      case ["element", name, count] if count.isdigit():
        if int(count) > ROW_LIMIT:
          raise MeshError(
            f"announces {count} rows in one table, more than allowed"
          )
        elements.append(_Element(name.lower(), int(count), []))
      case ["property", "list", length, kind, name] if elements:
        field = _Field(name.lower(), _type_code(kind), _type_code(length))
        elements[-1].fields.append(field)
      case ["property", kind, name] if elements:
        elements[-1].fields.append(_Field(name.lower(), _type_code(kind)))
      case ["element" | "property", *_]:
        raise MeshError(f"is damaged: its head has the line {line[:60]!r}")
  return order, elements


def _type_code(name: str) -> str:
  if name not in _TYPES:
    raise MeshError(f"has numbers of the type {name!r}, which is not known")
  return _TYPES[name]


def _stack_vertices(columns: dict[str, _Column]) -> np.ndarray:
  if not all(axis in columns for axis in "xyz"):
    raise MeshError("has vertices without three coordinates; export it again")
  stacked = np.stack([np.asarray(columns[axis]) for axis in "xyz"], axis=1)
  return stacked.astype(np.float64)


def _to_triangles(
  vertices: np.ndarray, element: _Element, columns: dict[str, _Column]
) -> np.ndarray | None:
  """Returns the triangles of a table, int64 [F, 3]; None if it has no faces."""
  if element.name not in (*_FACES, *_STRIPS, *_FANS):
    return None
  column = columns[_corner_field(element)]
  if element.name in _FACES:
    if isinstance(column, np.ndarray):
      if column.shape[1] < 3:
        return np.zeros((0, 3), np.int64)
      return split_polygons(vertices, _to_integers(column))
    return triangulate(vertices, [_to_integers(row) for row in column])
  split = split_strip if element.name in _STRIPS else split_fan
  parts = [
    split(piece)
    for row in column
    for piece in _cut_at_restarts(_to_integers(row))
  ]
  return np.concatenate([*parts, np.zeros((0, 3), np.int64)])


def _corner_field(element: _Element) -> str:
  """Returns the name of the list of corners."""
  lists = [field.name for field in element.fields if field.length]
  known = [name for name in lists if name in _CORNERS]
  if known:
    return known[0]
  if len(lists) == 1:
    return lists[0]
  raise MeshError(
    f"has a table {element.name!r} without a list vertex_indices; export it "
    "again"
  )


def _to_integers(numbers: np.ndarray) -> np.ndarray:
  """Returns int64; some writers have their indices as floats."""
  integers = numbers.astype(np.int64)
  if not np.array_equal(integers, numbers):
    raise MeshError("has a face with a vertex number that is not an integer")
  return integers


def _cut_at_restarts(corners: np.ndarray) -> list[np.ndarray]:
  """Cuts a list of strips at the numbers below 0 that stand between them."""
  pieces = np.split(corners, np.nonzero(corners < 0)[0])
  pieces = [piece[piece >= 0] for piece in pieces]
  return [piece for piece in pieces if len(piece) >= 3]


class _BinaryReader:
  """Reads one table after the other from binary numbers."""

  def __init__(self, data: bytes, order: str):
    self._data = data
    self._order = order
    self._offset = 0

  def read(self, element: _Element) -> dict[str, _Column]:
    """Returns the columns: lists as [rows, size], or one by one."""
    try:
      columns = self._read_even(element)
      return self._read_rows(element) if columns is None else columns
    except (ValueError, struct.error) as error:
      raise _truncated() from error

  def has_rest(self) -> bool:
    """Tells whether something but padding follows the tables."""
    return bool(self._data[self._offset :].strip(b"\0 \t\r\n\x1a"))

  def _read_even(self, element: _Element) -> dict[str, _Column] | None:
    """Reads rows of one size at once; None if their lists differ."""
    sizes, offset = [], self._offset
    for field in element.fields:  # of the first row
      size = 1
      if field.length and element.count:
        code = self._order + field.length
        (size,) = struct.unpack_from(code, self._data, offset)
        offset += struct.calcsize(code)
      size = int(size)
      if not 0 <= size <= len(self._data):
        raise _truncated()
      sizes.append(size)
      offset += size * struct.calcsize("<" + field.kind)
    # Numbered, since a head may give two properties one name.
    parts: list[tuple] = []
    for i, (field, size) in enumerate(zip(element.fields, sizes, strict=True)):
      if field.length:
        parts.append((f"n{i}", self._order + field.length))
        parts.append((f"v{i}", self._order + field.kind, (size,)))
      else:
        parts.append((f"v{i}", self._order + field.kind))
    row = np.dtype(parts)
    if not element.count or not row.itemsize:
      return {field.name: np.zeros((0, 0)) for field in element.fields}
    if len(self._data) < self._offset + row.itemsize * element.count:
      if any(field.length for field in element.fields):
        return None
      raise _truncated()
    table = np.frombuffer(self._data, row, element.count, self._offset)
    for i, size in enumerate(sizes):
      if element.fields[i].length and not (table[f"n{i}"] == size).all():
        return None
    self._offset += row.itemsize * element.count
    return {
      field.name: table[f"v{i}"] for i, field in enumerate(element.fields)
    }

  def _read_rows(self, element: _Element) -> dict[str, _Column]:
    """Reads rows one by one."""
    columns: dict[str, list] = {field.name: [] for field in element.fields}
    data, order, offset = self._data, self._order, self._offset
    for _ in range(element.count):
      for field in element.fields:
        size = 1
        if field.length:
          (size,) = struct.unpack_from(order + field.length, data, offset)
          offset += struct.calcsize(order + field.length)
        code = order + field.kind
        values = np.frombuffer(data, code, int(size), offset)
        if size < 0 or len(values) < size:
          raise _truncated()
        offset += values.nbytes
        columns[field.name].append(values if field.length else values[0])
    self._offset = offset
    return _finish(element, columns)


class _TextReader:
  """Reads one table after the other from a text; line ends do not count."""

  def __init__(self, data: bytes):
    try:
      self._numbers = np.array(data.split(), np.float64)
    except ValueError as error:
      raise MeshError(
        "is damaged: a table has a word that is not a number; export it again"
      ) from error
    self._at = 0

  def read(self, element: _Element) -> dict[str, _Column]:
    """Returns the columns: lists as [rows, size], or one by one."""
    return self._read_even(element) or self._read_rows(element)

  def has_rest(self) -> bool:
    """Tells whether numbers follow the tables."""
    return self._at < len(self._numbers)

  def _read_even(self, element: _Element) -> dict[str, _Column] | None:
    """Reads rows of one size at once; None if their lists differ."""
    places, width = [], 0
    for field in element.fields:  # of the first row
      size = 1
      if field.length and element.count:
        if self._at + width >= len(self._numbers):
          raise _truncated()
        size = int(self._numbers[self._at + width])
        width += 1
      if not 0 <= size <= len(self._numbers):
        raise _truncated()
      places.append((width, size))
      width += size
    if not element.count or not width:
      return {field.name: np.zeros((0, 0)) for field in element.fields}
    table = self._numbers[self._at : self._at + width * element.count]
    if len(table) < width * element.count:
      if any(field.length for field in element.fields):
        return None
      raise _truncated()
    table = table.reshape(element.count, width)
    columns: dict[str, _Column] = {}
    for field, (place, size) in zip(element.fields, places, strict=True):
      if field.length and not (table[:, place - 1] == size).all():
        return None
      columns[field.name] = (
        table[:, place : place + size] if field.length else table[:, place]
      )
    self._at += width * element.count
    return columns

  def _read_rows(self, element: _Element) -> dict[str, _Column]:
    """Reads rows one by one."""
    columns: dict[str, list] = {field.name: [] for field in element.fields}
    numbers, at = self._numbers, self._at
    for _ in range(element.count):
      for field in element.fields:
        size = 1
        if field.length:
          if at >= len(numbers) or not 0 <= numbers[at] <= len(numbers):
            raise _truncated()
          size = int(numbers[at])
          at += 1
        values = numbers[at : at + size]
        if len(values) < size:
          raise _truncated()
        at += size
        columns[field.name].append(values if field.length else values[0])
    self._at = at
    return _finish(element, columns)


def _finish(element: _Element, columns: dict[str, list]) -> dict[str, _Column]:
  """Leaves lists one by one, and makes arrays of the numbers."""
  return {
    field.name: columns[field.name]
    if field.length
    else np.array(columns[field.name])
    for field in element.fields
  }


def _truncated() -> MeshError:
  return MeshError(
    "is truncated or damaged: its tables end before all rows that its head "
    "announces; export it again"
  )
