"""OBJ files: Wavefront Technologies, Advanced Visualizer, appendix B1 (1991).

The format has no unit and does not show where it was cut between two lines.
"""

import pathlib

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.polygon import triangulate
from dr3d.mesh.io.raw import RawMesh, join_bodies, points_only
from dr3d.mesh.io.text import decode_text

_FREE_FORM = ("curv", "curv2", "surf")
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
  text = decode_text(data).replace("\\\n", " ")  # a line goes on in the next
  vertices: list[list[str]] = []
  polygons: list[list[int]] = []
  names, name = set(), ""
  free_form = 0
  for number, line in enumerate(text.split("\n"), 1):
    words = line.partition("#")[0].split()
    if not words:
      continue
    keyword = words[0]
    if keyword == "v":
      if len(words) < 4:
        raise MeshError(
          f"has a vertex without three coordinates in line {number}; export "
          "it again"
        )
      vertices.append(words[1:4])
    elif keyword in ("f", "fo"):  # fo: the same in files before version 3
      polygons.append(_read_face(words[1:], len(vertices), number))
      names.add(name)
    elif keyword == "o":
      name = " ".join(words[1:])
    elif keyword in _FREE_FORM:
      free_form += 1
    elif keyword in _INCLUDES:
      raise MeshError(
        f"takes parts of itself from another file (line {number}: {keyword}); "
        "export it as one file"
      )
  if free_form:
    raise MeshError(
      f"has {free_form} free-form curves and surfaces, which cannot be read; "
      "export it as polygons"
    )
  points = np.array(vertices, np.float64).reshape(-1, 3)
  if not polygons and len(points):
    raise points_only(len(points))
  return join_bodies(
    [(points, triangulate(points, polygons))], body_count=max(len(names), 1)
  )


def _read_face(words: list[str], count: int, line: int) -> list[int]:
  """Returns the corners of a face, counted from 0.

  Args:
    words: vertex/texture/normal of each corner; counted from 1, or back from
      the line if negative.
    count: vertices before the line.
    line: its number, for messages.
  """
  try:
    numbers = [int(word.split("/", 1)[0]) for word in words]
  except ValueError:
    raise MeshError(
      f"is damaged: the face in line {line} has a corner that is no number; "
      "export it again"
    ) from None
  for number in numbers:
    if number == 0:
      raise MeshError(
        f"has a face with vertex 0 in line {line}, where OBJ counts from 1; "
        "export it again"
      )
    if number < -count:
      raise MeshError(
        f"has a face with vertex {number} in line {line} where only {count} "
        "came before; export it again"
      )
  return [n - 1 if n > 0 else count + n for n in numbers]
