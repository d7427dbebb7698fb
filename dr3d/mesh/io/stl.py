"""STL files, text and binary.

Source: 3D Systems, StereoLithography Interface Specification (1989). The
format has no unit, and nothing in it tells text from binary for certain.
"""

import pathlib
import re
from collections.abc import Iterator

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.polygon import split_corners
from dr3d.mesh.io.raw import Geometry, RawMesh, join_bodies
from dr3d.mesh.io.text import drop_padding, recode_text

_FACET = np.dtype(
  [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("_", "<u2")]
)
_HEAD = 84  # bytes before the first facet: 80 of title, 4 of the count
_WIDEST = 1e9  # no part is wider in any unit; random bytes nearly always are
# The name of a solid may contain the words that are searched for.
_TITLE = re.compile(rb"[ \t]*(end)?solid\b[^\n]*?(?=\bfacet\s+normal\s|\n|\Z)")
_END = re.compile(rb"endfacet", re.IGNORECASE)
_PART = 4 << 20  # bytes of a text that are taken at a time
_CORNER = re.compile(rb"vertex\s+(\S+\s+\S+\s+\S+)")


def read_stl(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads an STL file.

  The size decides what is binary, not the title: many binary files begin
  with the word "solid", and a text is as long as its bytes 80 to 83 say with
  odds of one in four thousand million.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: how the file is damaged, as the predicate of a sentence.
  """
  del path
  if not _fits(data):
    data = recode_text(data)
  bodies: list[Geometry] = []
  warnings: list[str] = []
  rest = data
  while rest:
    if _is_text(rest):
      bodies.append(_read_text(rest))
      break
    facets, rest = _read_binary(rest, bool(bodies), warnings)
    bodies.append(facets)
  return join_bodies(bodies, warnings=warnings)


def is_stl(head: bytes) -> bool:
  """Tells whether a file begins as a text STL file does."""
  return head.lstrip(b"\xef\xbb\xbf \t\r\n\0")[:5].lower() == b"solid"


def _fits(data: bytes) -> bool:
  """Tells whether a file is as long as a binary one with its count."""
  return len(data) >= _HEAD and len(data) == _size(_count(data))


def _count(data: bytes) -> int:
  return int.from_bytes(data[_HEAD - 4 : _HEAD], "little")


def _size(count: int) -> int:
  return _HEAD + _FACET.itemsize * count


def _is_text(data: bytes) -> bool:
  if _fits(data):
    return False
  if is_stl(data[:4096]) and re.search(rb"\bfacet\b", data[:65536], re.I):
    return True
  return b"\0" not in data[:4096]


def _read_binary(
  data: bytes, follows: bool, warnings: list[str]
) -> tuple[Geometry, bytes]:
  """Returns the facets of a binary file, and a whole STL file behind them.

  Args:
    data: from the first byte of the title.
    follows: whether another binary file stands before this one.
    warnings: extended.
  """
  count, size = _count(data), _size(_count(data))
  present = (len(data) - _HEAD) // _FACET.itemsize
  if len(data) < max(size, _HEAD):
    raise MeshError(
      f"is truncated: it has {len(data)} bytes where the {count} triangles "
      f"that its head announces need {size}; export it again"
    )
  rest = data[size:]
  if not rest or _is_stl_file(rest):
    return _to_geometry(data, count), rest
  if len(rest) % _FACET.itemsize == 0 and _are_facets(rest):
    # The head was written first, to a pipe, and the count was not known yet.
    if not follows:
      warnings.append(
        f"announces {count} triangles in its head where {present} follow, "
        "which were read"
      )
    return _to_geometry(data, present), b""
  if len(rest) < _FACET.itemsize or _is_comment(rest):
    return _to_geometry(data, count), b""  # what some exporters append
  raise MeshError(
    f"has {len(rest)} more bytes after the {count} triangles that its head "
    "announces; export it again"
  )


def _is_stl_file(data: bytes) -> bool:
  """Tells whether bytes are one or more whole STL files."""
  while len(data) >= _HEAD and len(data) > _size(_count(data)):
    if not _count(data):
      break
    data = data[_size(_count(data)) :]
  if _fits(data):
    return _count(data) > 0
  return is_stl(data[:200]) and b"endfacet" in data.lower()


def _are_facets(data: bytes) -> bool:
  """Tells whether bytes are plausible as facets: finite, of some size."""
  corners = np.frombuffer(data, _FACET)["corners"]
  if not np.isfinite(corners).all() or np.abs(corners).max() > _WIDEST:
    return False
  # Zeros are padding, and text as floats has no facet of equal corners.
  return bool((corners != 0).any())


def _is_comment(data: bytes) -> bool:
  """Tells whether bytes are padding or text, which are no facets."""
  data = data.strip(b"\0 \t\r\n")
  return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in data)


def _to_geometry(data: bytes, count: int) -> Geometry:
  corners = np.frombuffer(data, _FACET, count, _HEAD)["corners"]
  vertices = corners.reshape(-1, 3).astype(np.float64)
  return vertices, np.arange(len(vertices)).reshape(-1, 3)


def _read_text(data: bytes) -> Geometry:
  """Returns the facets of a text file; one with more corners is split."""
  if b"\0" in data:
    text = data.strip(b"\0 \t\r\n").decode("latin-1")
    data = drop_padding(text).encode("latin-1")
  if not is_stl(data[:4096]):
    raise MeshError("is not an STL file, neither text nor binary")
  if b"endsolid" not in data.rstrip()[-4096:].lower():
    raise MeshError("is truncated: its last solid has no end; export it again")
  data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
  parts = [_read_facets(part) for part in _split_text(data)]
  vertices = np.concatenate([part[0] for part in parts]).reshape(-1, 3)
  sizes = np.concatenate([part[1] for part in parts])
  if (sizes == 3).all():
    return vertices, np.arange(len(vertices)).reshape(-1, 3)
  _check_loops(_drop_titles(data.lower()))
  return vertices, split_corners(vertices, np.arange(len(vertices)), sizes)


def _split_text(data: bytes) -> Iterator[bytes]:
  """Yields whole facets, some megabytes at a time, in small letters.

  The words of a text take several times its memory.
  """
  start = 0
  while start < len(data):
    end = len(data)
    if start + _PART < end:
      match = _END.search(data, start + _PART)
      end = match.end() if match else end
    yield _drop_titles(data[start:end].lower())
    start = end


def _read_facets(data: bytes) -> tuple[np.ndarray, np.ndarray]:
  """Returns the numbers of all corners, and the corners of each facet."""
  lines = _CORNER.findall(data)
  try:
    numbers = np.fromstring(b" ".join(lines), np.float64, sep=" ")
  except ValueError:
    numbers = np.zeros(0)  # a word that is not a number
  sizes = _facet_sizes(data)
  if len(numbers) != 3 * len(lines) or sizes.sum() != len(lines):
    raise MeshError(
      "is damaged: a facet has a corner without three numbers; export it again"
    )
  if (sizes < 3).any():
    raise MeshError(
      f"is damaged: a facet has {sizes.min()} corners, not three; "
      "export it again"
    )
  return numbers, sizes


def _check_loops(data: bytes) -> None:
  """Refuses a text in which the end of one facet is lost in the next."""
  for facet in data.split(b"endfacet")[:-1]:
    if facet.count(b"loop") != 2 or facet.count(b"facet") != 1:
      raise MeshError(
        "is damaged: a facet does not have one outer loop; export it again"
      )


def _drop_titles(data: bytes) -> bytes:
  """Returns a text in small letters without its lines of solid, endsolid."""
  parts, start = [], 0
  while (found := data.find(b"solid", start)) >= 0:
    begin = max(data.rfind(b"\n", start, found) + 1, start)
    title = _TITLE.match(data, begin)
    end = title.end() if title else found + len(b"solid")
    parts.append(data[start : begin if title else end])
    start = end
  return b"".join([*parts, data[start:]])


def _facet_sizes(data: bytes) -> np.ndarray:
  """Returns the number of corners of each facet of a text, int64 [facets]."""
  *facets, rest = data.split(b"endfacet")
  if b"vertex" in rest:
    raise MeshError("is truncated: a facet has no end; export it again")
  return np.array([facet.count(b"vertex") for facet in facets], np.int64)
