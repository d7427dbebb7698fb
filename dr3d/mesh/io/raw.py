"""What every reader of a mesh file returns, and the bounds that all keep."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from dr3d.error import MeshError

FACE_LIMIT = 50_000_000
"""Triangles of one file: 1.2 GB of indices, what a reader's 4 GiB can hold."""

ROW_LIMIT = 300_000_000
"""Rows that a table may announce: a table without data costs no bytes."""

UNPACKED_LIMIT = 4 << 30
"""Bytes of an unpacked archive, as many as a reader may use by default."""

Geometry = tuple[np.ndarray, np.ndarray]
"""Vertices float64 [V, 3] and faces int64 [F, 3]."""

Run = tuple[int, int]
"""Number of a body, and how many faces in a row are its; -1 for a further copy
of a body."""


@dataclasses.dataclass(frozen=True, eq=False)
class RawMesh:
  """What a file holds.

  Attributes:
    vertices: float64 [V, 3], in the unit of the file; not yet checked to be
      finite.
    faces: int64 [F, 3], indices into vertices.
    unit: millimetres of the file's unit; None if the file does not say.
    body_count: bodies with faces that the file lists.
    warnings: what is missing from the mesh or was assumed; each is the
      predicate of a sentence that begins with the name of the file.
    measure: measures the exact surface, of which the faces are chords; see
      `box.Measure`. None if the file holds triangles.
    runs: which faces are of which body, all faces in their order; empty if the
      file does not say.
  """

  vertices: np.ndarray
  faces: np.ndarray
  unit: float | None = None
  body_count: int = 1
  warnings: tuple[str, ...] = ()
  measure: Callable[[np.ndarray], np.ndarray] | None = None
  runs: tuple[Run, ...] = ()


def join_bodies(
  bodies: Iterable[Geometry],
  *,
  unit: float | None = None,
  body_count: int | None = None,
  warnings: Iterable[str] = (),
  runs: Iterable[Run] | None = None,
) -> RawMesh:
  """Stacks bodies into one mesh.

  Args:
    bodies: each with indices into its own vertices.
    unit: see `RawMesh`.
    body_count: see `RawMesh`; the number of `bodies` with faces if None.
    warnings: see `RawMesh`.
    runs: see `RawMesh`; each of `bodies` is one if None, unless it is alone.

  Raises:
    MeshError: a face names a vertex that its body lacks, or there are too
      many faces. The message is a predicate.
  """
  bodies = [body for body in bodies if len(body[1])]
  check_face_count(sum(len(faces) for _, faces in bodies))
  for vertices, faces in bodies:
    check_indices(faces, len(vertices))
  starts = np.cumsum([0, *(len(vertices) for vertices, _ in bodies)])
  if runs is None and len(bodies) > 1:
    runs = [(i, len(faces)) for i, (_, faces) in enumerate(bodies)]
  moved = [f + start for (_, f), start in zip(bodies, starts, strict=False)]
  return RawMesh(
    np.concatenate([*(v for v, _ in bodies), np.zeros((0, 3))]),
    np.concatenate([*moved, np.zeros((0, 3), np.int64)]),
    unit,
    len(bodies) if body_count is None else body_count,
    tuple(warnings),
    runs=tuple(runs or ()),
  )


def check_face_count(count: int) -> None:
  """Raises MeshError if a file has more faces than are allowed."""
  if count > FACE_LIMIT:
    raise MeshError(
      f"has more than {FACE_LIMIT} faces ({count}), too many to be read; "
      "simplify it first"
    )


def check_indices(faces: np.ndarray, vertex_count: int) -> None:
  """Raises MeshError if a face names a vertex that does not exist.

  It is checked for each body, since an index that is too large for one body
  would be a vertex of the next one after they are joined.
  """
  if not len(faces):
    return
  low, high = int(faces.min()), int(faces.max())
  if low < 0 or high >= vertex_count:
    raise MeshError(
      f"has a face with vertex number {low if low < 0 else high}, but its "
      f"vertices have the numbers 0 to {vertex_count - 1}; export it again"
    )


def points_only(count: int) -> MeshError:
  """What to say of a file of points: a surface is a guess of the user's."""
  return MeshError(
    f"is a point cloud: it has {count} points and no surface. Make a mesh of "
    "them first, for example with Screened Poisson Reconstruction in MeshLab "
    "or CloudCompare, and export that as PLY or STL"
  )
