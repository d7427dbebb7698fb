"""Loads a file, or arrays, as a clean triangle mesh in the unit sphere."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from dr3d.geometry.sphere import enclosing_sphere
from dr3d.mesh.box import Measure, measure_along, smallest_box
from dr3d.mesh.decimation import decimate
from dr3d.mesh.frame import convex_hull, principal_frame
from dr3d.mesh.io.reader import read_raw
from dr3d.mesh.normal import corner_normals
from dr3d.mesh.repair import clean_geometry, drop_debris
from dr3d.runtime.notebook import format_picture

if TYPE_CHECKING:
  from dr3d.mesh.io.color import Paint

BUCKETS = (256, 1024, 4096, 16384, 65536)
"""Face counts that batches are padded to; jit compiles once for each."""

PICTURE_SIZE = 192  # height and width in a notebook, pixels


# A printed array of vertices would say nothing, so `__repr__` is its own.
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Mesh:
  """A triangle mesh in the unit sphere.

  Attributes:
    vertices: float32 [V, 3], in the axes of the file. The smallest enclosing
      sphere is centred at the origin and has radius 1.
    faces: int32 [F, 3], with the winding of the file.
    normals: float32 [F, 3, 3], unit normals at the corners of each face,
      smooth on smooth surfaces and sharp across creases.
    frame: float32 [3, 3], right-handed; the rows are the principal axes of the
      convex hull. `vertices @ frame.T` is the principal pose.
    moments: float32 [3], descending. Second moments of the hull's surface
      about its centroid along those axes, as means over the area, in units of
      the squared sphere radius.
    radius: radius of the sphere before scaling, in the unit of the file.
    extent: float64 [3], size along the principal axes before scaling, in the
      unit of the file.
    box: float64 [3], size as drawn, along the axes of the file, likewise. None
      in meshes that were stored before version 0.2.
    smallest_box: float64 [3], sides of the smallest box in any pose,
      descending, likewise.
    debris: pieces of a scan that were dropped before all of this was measured;
      see `repair.drop_debris`. Not stored in databases.
    colors: float32 [F, 3, 3], red, green and blue at the corners of each face,
      in [0, 1]; None if the file has none, or they were not asked for.
  """

  vertices: np.ndarray
  faces: np.ndarray
  normals: np.ndarray
  frame: np.ndarray
  moments: np.ndarray
  radius: float
  extent: np.ndarray
  box: np.ndarray | None = None
  smallest_box: np.ndarray | None = None
  debris: int = 0
  colors: np.ndarray | None = None

  @property
  def face_count(self) -> int:
    """Number of faces F."""
    return len(self.faces)

  def __repr__(self) -> str:
    sides = self.extent if self.box is None else self.box
    size = " x ".join(f"{side:.4g}" for side in sides)
    return f"<Mesh of {self.face_count} faces, {size}>"

  def _repr_png_(self) -> bytes:
    """A picture, for notebooks."""
    from dr3d.mesh import thumbnail  # imports this module

    return thumbnail.draw(self, size=PICTURE_SIZE)

  def _repr_html_(self) -> str:
    """The picture with the number of faces and the size, for notebooks."""
    return format_picture(self._repr_png_(), repr(self).strip("<>"))


def load_mesh(
  path: str | pathlib.Path,
  *,
  face_budget: int | None = 2048,
  appearance: bool = False,
) -> Mesh:
  """Reads a mesh file in the form that the renderer takes.

  Joins all bodies with their transforms, welds the vertices, drops degenerate
  faces, measures, simplifies and computes corner normals. Frame, moments,
  radius and extent are measured before the simplification.

  Args:
    path: a file with an extension of `reader.FORMATS`.
    face_budget: largest number of faces; None keeps all.
    appearance: whether to read the colours of the surface; see `io.color`.

  Raises:
    MeshError: the file is not a usable mesh; the message names it and the
      reason.
    ValueError: face_budget is less than 4.

  Example:
    >>> import dr3d, os, pathlib, tempfile
    >>> lines = "v 0 0 0", "v 3 0 0", "v 0 4 0", "f 1 2 3"
    >>> path = pathlib.Path(tempfile.mkdtemp(), "triangle.obj")
    >>> _ = path.write_text(os.linesep.join(lines))
    >>> round(dr3d.load_mesh(path).radius, 3)
    2.5
  """
  _check_budget(face_budget)
  raw = read_raw(path)
  paint = None
  if appearance:
    from dr3d.mesh.io.color import make_paint  # imports trimesh

    paint = make_paint(pathlib.Path(path))
  return build_mesh(
    raw.vertices,
    raw.faces,
    face_budget,
    str(path),
    measure=raw.measure,
    paint=paint,
  )


def make_mesh(
  vertices: np.ndarray, faces: np.ndarray, *, face_budget: int | None = None
) -> Mesh:
  """Makes a mesh from arrays, processed as by `load_mesh`.

  Args:
    vertices: float [V, 3], in any unit.
    faces: int [F, 3], indices into vertices.
    face_budget: largest number of faces; None keeps all.

  Raises:
    MeshError: the arrays are not a usable mesh; the message says why.
    ValueError: face_budget is less than 4.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> mesh = dr3d.make_mesh(np.eye(3), np.array([[0, 1, 2]]))
    >>> mesh.face_count
    1
  """
  _check_budget(face_budget)
  return build_mesh(vertices, faces, face_budget, "the mesh")


def simplify_mesh(mesh: Mesh, face_budget: int | None) -> Mesh:
  """Returns a mesh with fewer faces; its measures stay those of the whole.

  Args:
    mesh: any mesh.
    face_budget: largest number of faces; None keeps all.
  """
  if face_budget is None or mesh.face_count <= face_budget:
    return mesh
  vertices, faces = decimate(
    np.asarray(mesh.vertices, np.float64),
    np.asarray(mesh.faces),
    face_budget=face_budget,
  )
  vertices = vertices.astype(np.float32)
  return dataclasses.replace(
    mesh,
    vertices=vertices,
    faces=faces.astype(np.int32),
    normals=corner_normals(vertices, faces).astype(np.float32),
    colors=_repaint(mesh, vertices[faces]),
  )


def _repaint(mesh: Mesh, corners: np.ndarray) -> np.ndarray | None:
  """Colours of a mesh at the corners of a simpler one."""
  if mesh.colors is None:
    return None
  from dr3d.mesh.io.color import paint_from  # imports trimesh

  return paint_from(mesh.vertices, mesh.faces, mesh.colors)(corners)


def scale_mesh(mesh: Mesh, factor: float) -> Mesh:
  """Returns the same mesh with a true size that is some times as large."""
  return dataclasses.replace(
    mesh,
    radius=mesh.radius * factor,
    extent=mesh.extent * factor,
    box=None if mesh.box is None else mesh.box * factor,
    smallest_box=(
      None if mesh.smallest_box is None else mesh.smallest_box * factor
    ),
  )


def bucket_size(face_count: int) -> int:
  """Returns the smallest of `BUCKETS` that holds a number of faces.

  Raises:
    ValueError: face_count is more than the largest of them.
  """
  for size in BUCKETS:
    if face_count <= size:
      return size
  raise ValueError(
    f"a rendered mesh can have at most {BUCKETS[-1]} faces, not {face_count};"
    " load it with a face_budget."
  )


def _check_budget(face_budget: int | None) -> None:
  if face_budget is not None and face_budget < 4:  # faces of a tetrahedron
    raise ValueError(f"face_budget must be at least 4, not {face_budget}.")


def build_mesh(
  vertices: np.ndarray,
  faces: np.ndarray,
  face_budget: int | None,
  name: str,
  *,
  measure: Measure | None = None,
  paint: "Paint | None" = None,
) -> Mesh:
  """Cleans, scales, measures and simplifies arrays that were read.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3].
    face_budget: largest number of faces; None keeps all.
    name: of the mesh in error messages.
    measure: measures the exact surface, of which the faces are chords; the
      vertices are measured if None.
    paint: gives the corners their colours; they have none if None.

  Raises:
    MeshError: the arrays are not a usable mesh; the message says why.
  """
  vertices, faces = clean_geometry(vertices, faces, name=name)
  vertices, faces, debris = drop_debris(vertices, faces)
  center, radius = enclosing_sphere(vertices)
  vertices = (vertices - center) / radius
  # Measured before decimation, so that no value depends on the face budget.
  hull_faces = convex_hull(vertices)
  frame, moments = principal_frame(vertices, faces, hull_faces=hull_faces)
  if measure is None:
    measure = measure_along(vertices * radius)
  smallest = smallest_box(vertices, frame, hull_faces=hull_faces)
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
    extent=measure(frame),
    box=measure(np.eye(3)),
    smallest_box=np.sort(measure(smallest))[::-1],
    debris=debris,
    colors=paint and paint(vertices[faces] * radius + center),
  )
