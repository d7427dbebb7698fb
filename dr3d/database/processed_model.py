"""A model file becomes what a database keeps of it.

Runs in the processes that read files, so it imports no jax.
"""

import dataclasses
import hashlib
import pathlib

import numpy as np

from dr3d.mesh import Mesh, build_mesh, thumbnail
from dr3d.mesh.io.reader import RawMesh, read_raw
from dr3d.mesh.surface import cross
from dr3d.mesh.unit import UNITS, name_unit

ASSUMED = ", assumed"

# What the readers of some formats import when they need it; see `worker`.
PRELOAD = ("trimesh", "PIL.Image", "lxml.etree", "collada", "cascadio")

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


@dataclasses.dataclass(frozen=True, eq=False)
class ProcessedModel:
  """A model file, read.

  Attributes:
    mesh: simplified; radius and extent in millimetres where the unit is known.
    geometry: hash of the triangles at their true size, in whatever order they
      stand in the file; empty where it was not asked for.
    unit: of the file; "mm, assumed" where it does not say.
    body_count: bodies that the file lists.
    area: of the whole surface, before it was simplified, in square millimetres.
    volume: within it, cubic millimetres; see `catalogue.Model`.
    thumbnail: a small PNG; empty where none was drawn.
    preview: a GLB for a viewer; empty unless a service asked for one.
  """

  mesh: Mesh
  geometry: str = ""
  unit: str = ""
  body_count: int = 1
  area: float | None = None
  volume: float | None = None
  thumbnail: bytes = b""
  preview: bytes = b""


def read_processed_model(
  path: str | pathlib.Path, *, face_budget: int | None, unit: str = "mm"
) -> ProcessedModel:
  """Reads a model file.

  Args:
    path: a file whose name ends as one of `reader.FORMATS`.
    face_budget: simplify to at most so many faces; None keeps all.
    unit: one of `reader.UNITS`, where the file does not say.

  Raises:
    MeshError: the file cannot become a mesh; the message says which and why.
  """
  return process_mesh(read_raw(path), path, face_budget=face_budget, unit=unit)


def process_mesh(
  raw: RawMesh,
  path: str | pathlib.Path,
  *,
  face_budget: int | None,
  unit: str = "mm",
) -> ProcessedModel:
  """Makes what a database keeps of the triangles of a file.

  Args:
    raw: what the file holds.
    path: what messages call it.
    face_budget: see `read_processed_model`.
    unit: likewise.

  Raises:
    MeshError: the triangles cannot become a mesh.
  """
  length = raw.unit or UNITS[unit]
  vertices = raw.vertices * length
  mesh = build_mesh(vertices, raw.faces, face_budget, str(path))
  return ProcessedModel(
    mesh,
    hash_geometry(vertices, raw.faces),
    name_unit(raw.unit) if raw.unit else f"{unit}{ASSUMED}",
    raw.body_count,
    *_measure(vertices, raw.faces),
    thumbnail.draw(mesh),
  )


def _measure(vertices: np.ndarray, faces: np.ndarray) -> tuple[float, float]:
  """Returns area and volume; the latter about the middle of the box."""
  corners = vertices[faces]
  low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
  corners = corners - (low + high) / 2
  normal = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
  volume = (corners[:, 0] * normal).sum() / 6
  return float(np.linalg.norm(normal, axis=1).sum() / 2), float(abs(volume))


def hash_geometry(vertices: np.ndarray, faces: np.ndarray) -> str:
  """Hash of a set of oriented triangles, in float32.

  The order of vertices, of triangles, and of the corners that a triangle
  begins with do not show, so the same triangles in another file format have
  the same hash. It is a sum of 128-bit hashes of the triangles.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3].
  """
  with np.errstate(over="ignore"):
    rows = np.asarray(vertices, np.float32) + np.float32(0)  # no negative zero
    bits = rows.view(np.uint32).astype(np.uint64)
    sums = []
    for mix in _MIX:
      corner = _scramble(bits[:, 0], mix)
      for axis in (1, 2):
        corner = _scramble(corner ^ bits[:, axis], mix)
      corner = corner[faces]
      edges = [
        _scramble(corner[:, k] + mix * corner[:, (k + 1) % 3], mix)
        for k in range(3)
      ]
      sums.append(int(_scramble(edges[0] + edges[1] + edges[2], mix).sum()))
  return hashlib.sha256(repr((len(faces), sums)).encode()).hexdigest()[:32]


def _scramble(numbers: np.ndarray, mix: np.uint64) -> np.ndarray:
  """Spreads every bit of 64-bit numbers over all bits."""
  for shift in (np.uint64(32), np.uint64(29)):
    numbers = (numbers ^ (numbers >> shift)) * mix  # wraps, as a hash should
  return numbers ^ (numbers >> np.uint64(32))
