"""STL files, text and binary.

They are read here, since trimesh trips over names in the text and over a
trailer behind the facets, and passes over what it cannot read.
"""

import re

import numpy as np

from dr3d.error import MeshError

_FACET = np.dtype(
  [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("_", "<u2")]
)
_HEAD = 84  # bytes before the first facet of a binary file
_CORNER = re.compile(rb"^[ \t]*vertex[ \t]+(.*)$", re.IGNORECASE | re.MULTILINE)


def read_stl(data: bytes) -> tuple[np.ndarray, np.ndarray]:
  """Returns vertices float64 [3 F, 3] and faces int64 [F, 3] of an STL file.

  The size decides what is binary, never the head: many binary files begin
  with the word "solid", and a text is as long as its bytes 80 to 83 say with
  odds of one in four thousand million.

  Raises:
    MeshError: how the file is damaged, as the predicate of a sentence.
  """
  count = int.from_bytes(data[80:_HEAD], "little")
  size = _HEAD + _FACET.itemsize * count
  if len(data) != size and b"\0" not in data[:4096]:
    corners = _read_text(data)
  elif len(data) < max(size, _HEAD):
    raise MeshError(
      f"is truncated: it has {len(data)} bytes where {count} triangles need "
      f"{size}; export it again"
    )
  else:  # what some exporters append is passed over
    corners = np.frombuffer(data, _FACET, count, _HEAD)["corners"]
  vertices = corners.reshape(-1, 3).astype(np.float64)
  return vertices, np.arange(len(vertices)).reshape(-1, 3)


def _read_text(data: bytes) -> np.ndarray:
  """Returns the corners of all facets of a text file, [3 F, 3]."""
  if data.lstrip()[:5].lower() != b"solid":
    raise MeshError("is no STL file, neither text nor binary")
  if b"endsolid" not in data[-4096:].lower():
    raise MeshError("is truncated: its last solid has no end; export it again")
  data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
  lines = _CORNER.findall(data)
  numbers = np.fromstring(b" ".join(lines), np.float64, sep=" ")
  if len(numbers) != 3 * len(lines) or len(lines) % 3:
    raise MeshError(
      "is damaged: a facet has not three corners of three numbers"
    )
  return numbers
