"""Takes a file apart into its bodies, each of which can be a model of its own.

A body is a solid of STEP, an object of 3MF, a mesh of glTF and so on. Where a
format lists none, as STL and PLY, it is a connected piece of the surface; a
void inside of a solid belongs to the solid.

References:
  WO 2021/178001 [0013], parts of an assembly.
"""

import pathlib
import struct

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.format import READERS, prepare_reader
from dr3d.mesh.io.raw import Geometry, RawMesh
from dr3d.mesh.io.reader import read_raw
from dr3d.mesh.repair import clean_geometry, label_pieces
from dr3d.mesh.surface import compact, cross_products
from dr3d.mesh.unit import UNITS

BODY_LIMIT = 1000
"""Bodies of one file: more are pieces of a scan, not parts of a machine."""

PRELOAD = READERS
"""Modules that `split_file` imports when it needs them; see `worker`."""

_FACES_MIN = 4  # a tetrahedron; fewer triangles enclose nothing
_SAME = 1e-5  # difference of two copies, of the size of a body
_STL_ROW = np.dtype(
  [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
)


def prepare(*, path: pathlib.Path) -> None:
  """Imports what `split_file` needs for a file; see `worker`."""
  prepare_reader(path)


def split_bodies(raw: RawMesh) -> list[Geometry]:
  """Returns the bodies of a file, equal ones once.

  Args:
    raw: the content of a file.

  Returns:
    The bodies in the order of the file; none if the file is a single one.

  Raises:
    MeshError: there are more than `BODY_LIMIT`, or the arrays are not a mesh.
      The message is a predicate.
  """
  runs = [number for number, size in raw.runs if size]
  if len(runs) > 1:
    numbers = np.repeat(*np.array(raw.runs, np.int64).T)
    vertices, faces = raw.vertices, raw.faces
  else:
    vertices, faces = clean_geometry(raw.vertices, raw.faces)
    numbers = _join_voids(vertices, faces, label_pieces(faces, len(vertices)))
  count = len(np.unique(numbers[numbers >= 0]))
  if count > BODY_LIMIT:
    raise MeshError(
      f"has {count} bodies, more than the {BODY_LIMIT} that can be indexed by "
      "themselves"
    )
  found = [
    compact(vertices, faces[numbers == number])
    for number in np.unique(numbers[numbers >= 0])
  ]
  found = [body for body in found if len(body[1]) >= _FACES_MIN]
  is_whole = len(found) == 1 and (numbers >= 0).all()
  return [] if is_whole else _drop_copies(found)


def split_file(path: pathlib.Path) -> list[bytes]:
  """Returns the bodies of a file as binary STL, in millimetres.

  For a call in a child process. A file that does not state its unit keeps it.

  Args:
    path: a file with an extension of `reader.FORMATS`.

  Raises:
    MeshError: the file cannot be read.
  """
  raw = read_raw(path)
  length = raw.unit or UNITS["mm"]
  try:
    return [write_stl(v * length, f) for v, f in split_bodies(raw)]
  except MeshError as error:
    text = str(error)
    if text.startswith("has "):  # else it names the mesh itself
      text = f"{path} {text}."
    raise MeshError(text) from error


def write_stl(vertices: np.ndarray, faces: np.ndarray) -> bytes:
  """Writes binary STL, float32."""
  rows = np.zeros(len(faces), _STL_ROW)
  rows["corners"] = vertices[faces]
  return bytes(80) + struct.pack("<I", len(faces)) + rows.tobytes()


def _join_voids(
  vertices: np.ndarray, faces: np.ndarray, piece: np.ndarray
) -> np.ndarray:
  """Gives the surface of a void the number of the body around it.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3].
    piece: int [F], see `repair.label_pieces`.

  Returns:
    int [F].
  """
  corners = vertices[faces] - vertices.mean(axis=0)
  cross = cross_products(vertices, faces)
  volume = np.bincount(piece, (corners[:, 0] * cross).sum(axis=1) / 6)
  count = len(volume)
  if count == 1 or (volume >= 0).all():
    return piece
  low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
  np.minimum.at(low, piece, vertices[faces].min(axis=1))
  np.maximum.at(high, piece, vertices[faces].max(axis=1))
  target = np.arange(count)
  for i in np.flatnonzero(volume < 0):
    around = (low <= low[i]).all(axis=1) & (high >= high[i]).all(axis=1)
    around &= (volume > 0) & (volume >= -volume[i])
    if around.any():
      choices = np.flatnonzero(around)
      target[i] = choices[volume[choices].argmin()]
  return target[piece]


def _drop_copies(bodies: list[Geometry]) -> list[Geometry]:
  """Returns the bodies that are no moved copy of one before them.

  Copies that are turned as well count as other bodies; a search finds them to
  be duplicates.
  """
  kept: list[Geometry] = []
  for vertices, faces in bodies:
    centred = vertices - vertices.mean(axis=0)
    bound = _SAME * np.abs(centred).max()
    if not any(
      np.array_equal(faces, other)
      and np.abs(centred - (points - points.mean(axis=0))).max() <= bound
      for points, other in kept
    ):
      kept.append((vertices, faces))
  return kept
