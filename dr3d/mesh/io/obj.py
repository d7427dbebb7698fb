"""OBJ files: Wavefront Technologies, Advanced Visualizer, appendix B1 (1991).

The format has no unit and does not show where it was cut between two lines.
"""

import pathlib
import re

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.polygon import split_corners
from dr3d.mesh.io.raw import RawMesh, join_bodies, points_only
from dr3d.mesh.io.text import decode_text, drop_padding

_FREE_FORM = ("surf", "bzp", "bsp", "cdp")  # the last are of version 2
_INCLUDES = ("call", "csh")


def read_obj(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads an OBJ file; lines, points and materials are left out.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: how the file is damaged, as the predicate of a sentence.
  """
  del path
  # A backslash continues a line in the next.
  text = drop_padding(decode_text(data)).replace("\\\n", " ")
  if "#" in text:
    text = re.sub(r"#.*", "", text)
  vertices: list[str] = []
  faces = _Faces()
  names, name = set(), ""
  for number, line in enumerate(text.split("\n"), 1):
    words = line.split()
    if not words:
      continue
    keyword = words[0]
    if keyword == "v":
      if len(words) < 4:
        raise MeshError(
          f"has a vertex without three coordinates in line {number}; export "
          "it again"
        )
      vertices += words[1:4]
    elif keyword in ("f", "fo"):  # fo: the same in files before version 3
      faces.add(words, len(vertices) // 3, number)
      names.add(name)
    elif keyword == "o":
      name = " ".join(words[1:])
    else:
      _check_keyword(keyword, number)
  points = np.array(vertices, np.float64).reshape(-1, 3)
  if not faces.sizes and len(points):
    raise points_only(len(points))
  corners = faces.to_corners()
  triangles = split_corners(points, corners, np.array(faces.sizes, np.int64))
  return join_bodies([(points, triangles)], body_count=max(len(names), 1))


def _check_keyword(keyword: str, line: int) -> None:
  """Refuses lines without which the file would be read by halves."""
  if keyword in _FREE_FORM:
    raise MeshError(
      f"has a free-form surface in line {line}, which cannot be read; export "
      "it as polygons"
    )
  if keyword.lstrip("-+.")[:1].isdigit():
    raise MeshError(
      f"is damaged: line {line} has numbers without a keyword; export it again"
    )
  if keyword in _INCLUDES:
    raise MeshError(
      f"takes parts of itself from another file (line {line}: {keyword}); "
      "export it as one file"
    )


class _Faces:
  """The faces of a file, as words until all are there.

  Attributes:
    words: of all corners, vertex/texture/normal; vertices are counted from 1,
      or back from the line if negative.
    sizes: corners of each face.
    counts: vertices before each face.
    lines: where each face stands, for messages.
  """

  def __init__(self):
    self.words: list[str] = []
    self.sizes: list[int] = []
    self.counts: list[int] = []
    self.lines: list[int] = []

  def add(self, words: list[str], count: int, line: int) -> None:
    """Adds a face: its line as words, after so many vertices."""
    self.words += words[1:]
    self.sizes.append(len(words) - 1)
    self.counts.append(count)
    self.lines.append(line)

  def to_corners(self) -> np.ndarray:
    """Returns the corners of all faces, counted from 0, int64 [N].

    Raises:
      MeshError: a corner is not a number, or of no vertex.
    """
    text = " ".join(self.words)
    if "/" in text:
      text = re.sub(r"/\S*", "", text)
    counts = np.repeat(np.array(self.counts, np.int64), self.sizes)
    try:
      numbers = np.array(text.split(), np.int64)
      wrong = (numbers == 0) | (numbers < -counts)
    except ValueError as error:
      raise MeshError(
        f"is damaged: a face has a corner that is not a number "
        f"({str(error)[:60]}); export it again"
      ) from error
    if wrong.any():
      corner = int(wrong.argmax())
      face = int(np.searchsorted(np.cumsum(self.sizes), corner, "right"))
      raise MeshError(
        f"has a face with vertex {numbers[corner]} in line "
        f"{self.lines[face]}, where OBJ counts from 1 or back from the "
        f"{self.counts[face]} vertices before; export it again"
      )
    return np.where(numbers > 0, numbers - 1, counts + numbers)
