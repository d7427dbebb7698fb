"""A file becomes a clean, normalised triangle mesh of bounded size."""

import dataclasses
import pathlib

import numpy as np

from dr3d.geometry.sphere import enclosing_sphere
from dr3d.mesh.decimation import decimate
from dr3d.mesh.frame import principal_frame
from dr3d.mesh.io.reader import read_geometry
from dr3d.mesh.normal import corner_normals
from dr3d.mesh.repair import clean_geometry

BUCKETS = (256, 1024, 4096, 16384, 65536)
"""Face counts that batches are padded to, so that jit compiles once each."""


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
  """A triangle mesh in the unit sphere.

  Attributes:
    vertices: float32 [V, 3], along the axes of the file, the smallest
      enclosing sphere moved to the origin and scaled to radius 1.
    faces: int32 [F, 3], wound as in the file.
    normals: float32 [F, 3, 3], unit normals of the corners of each face,
      smooth where the surface is, sharp across creases.
    frame: float32 [3, 3], right-handed, rows are the principal axes of the
      convex hull; vertices @ frame.T is the principal pose.
    moments: float32 [3], second moments of the hull's surface about its
      centroid along those axes (means over its area), descending; the unit
      is the square of the sphere's radius.
    radius: true radius of that sphere, in the unit of the file.
    extent: float64 [3], true size along the principal axes, in the unit of
      the file.
  """

  vertices: np.ndarray
  faces: np.ndarray
  normals: np.ndarray
  frame: np.ndarray
  moments: np.ndarray
  radius: float
  extent: np.ndarray

  @property
  def face_count(self) -> int:
    """Number of faces F."""
    return len(self.faces)


def load_mesh(
  path: str | pathlib.Path, *, face_budget: int | None = 2048
) -> Mesh:
  """Reads a mesh file and brings it to the form in which it is rendered.

  Bodies are joined with their transforms, the whole is welded, rid of rubble,
  measured, simplified and given corner normals. Frame, moments, radius and
  extent are those of the whole surface, before it was simplified.

  Args:
    path: a file whose name ends as one of `reader.FORMATS`.
    face_budget: simplify to at most so many faces; None keeps all.

  Raises:
    MeshError: the file cannot become a mesh; the message says which and why.
    ValueError: face_budget is less than 4.
  """
  _check_budget(face_budget)
  return build_mesh(*read_geometry(path), face_budget, str(path))


def make_mesh(
  vertices: np.ndarray, faces: np.ndarray, *, face_budget: int | None = None
) -> Mesh:
  """Makes a mesh from arrays, with the same care as load_mesh.

  Args:
    vertices: float [V, 3], in any unit.
    faces: int [F, 3], indices into vertices.
    face_budget: simplify to at most so many faces; None keeps all.

  Raises:
    MeshError: the arrays are no mesh; the message says why.
    ValueError: face_budget is less than 4.
  """
  _check_budget(face_budget)
  return build_mesh(vertices, faces, face_budget, "the mesh")


def bucket_size(face_count: int) -> int:
  """Returns the smallest of BUCKETS that holds so many faces."""
  for size in BUCKETS:
    if face_count <= size:
      return size
  raise ValueError(
    f"a mesh may have at most {BUCKETS[-1]} faces to be rendered, not "
    f"{face_count}; load it with a face_budget."
  )


def _check_budget(face_budget: int | None) -> None:
  if face_budget is not None and face_budget < 4:
    raise ValueError(f"face_budget must be at least 4, not {face_budget}.")


def build_mesh(
  vertices: np.ndarray, faces: np.ndarray, face_budget: int | None, name: str
) -> Mesh:
  """Cleans, normalises, measures and simplifies.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3].
    face_budget: simplify to at most so many faces; None keeps all.
    name: what the messages call the mesh.

  Raises:
    MeshError: the arrays are no mesh; the message says why.
  """
  vertices, faces = clean_geometry(vertices, faces, name=name)
  center, radius = enclosing_sphere(vertices)
  vertices = (vertices - center) / radius
  frame, moments = principal_frame(vertices, faces)
  extent = np.ptp(vertices @ frame.T, axis=0) * radius
  if face_budget is not None:
    vertices, faces = decimate(vertices, faces, face_budget=face_budget)
  vertices = vertices.astype(np.float32)
  return Mesh(
    vertices=vertices,
    faces=faces.astype(np.int32),
    normals=corner_normals(vertices, faces).astype(np.float32),
    frame=frame.astype(np.float32),
    moments=moments.astype(np.float32),
    radius=radius,
    extent=extent,
  )
