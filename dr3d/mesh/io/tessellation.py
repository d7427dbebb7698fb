"""Exact surfaces become triangles, and what got none is found.

Open CASCADE leaves a face without triangles, and says nothing, if the curves
around it do not close on its surface. So the area of each exact face is
compared with that of its triangles. A face that fails is converted to NURBS,
whose curves are made again, and cut once more.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from OCP.BRep import BRep_Builder, BRep_Tool
from OCP.BRepBuilderAPI import BRepBuilderAPI_Copy, BRepBuilderAPI_NurbsConvert
from OCP.BRepGProp import BRepGProp
from OCP.BRepMesh import BRepMesh_IncrementalMesh
from OCP.BRepTools import BRepTools
from OCP.GProp import GProp_GProps
from OCP.StlAPI import StlAPI_Writer
from OCP.TopAbs import TopAbs_FACE, TopAbs_SHELL, TopAbs_SOLID
from OCP.TopExp import TopExp_Explorer
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS, TopoDS_Compound, TopoDS_Shape

from dr3d.mesh.box import Measure
from dr3d.mesh.io import exact_size
from dr3d.mesh.io.raw import Geometry, Run
from dr3d.mesh.io.scratch import scratch_file
from dr3d.mesh.io.stl import read_stl

_DEFLECTION = 0.01  # of an edge's length: how far triangles may stray
_BEND = 0.3  # radians between two of them
# Triangles of a sphere at this bend lack 2 % of its area, so a face that
# lacks more than this was cut wrongly.
_LACK = 0.1
_NOTED = 1e-3  # share of the surface whose loss is worth a warning
_ENDLESS = 1e15  # square millimetres: a plane without a rim


@dataclasses.dataclass(frozen=True, eq=False)
class Shape:
  """A shape, cut into triangles.

  Attributes:
    body: its triangles, millimetres.
    body_count: solids, and shells of no solid.
    warnings: see `RawMesh`.
    measure: see `RawMesh`.
    runs: see `RawMesh`; empty if not each face is of a solid.
  """

  body: Geometry
  body_count: int
  warnings: tuple[str, ...]
  measure: Measure | None = None
  runs: tuple[Run, ...] = ()


def tessellate(shape: TopoDS_Shape) -> Shape:
  """Cuts a shape into triangles.

  Args:
    shape: of any kind; lines and points are left out.
  """
  nothing = np.zeros((0, 3)), np.zeros((0, 3), np.int64)
  if shape is None or shape.IsNull():
    return Shape(nothing, 0, ())
  _cut(shape)
  faces = list(_explore(shape, TopAbs_FACE))
  areas = np.array([[_exact_area(face), _cut_area(face)] for face in faces])
  areas = areas.reshape(-1, 2)
  wrong = [
    (face, exact)
    for face, (exact, cut) in zip(faces, areas, strict=True)
    if _is_wrong(exact, cut)
  ]
  mended = _mend(wrong)
  bodies = _write(shape) if faces else nothing
  if mended is not None:
    parts = [bodies, _write(mended)]
    starts = (0, len(bodies[0]))
    bodies = (
      np.concatenate([vertices for vertices, _ in parts]),
      np.concatenate([f + s for (_, f), s in zip(parts, starts, strict=True)]),
    )
  return Shape(
    bodies,
    _count_bodies(shape),
    _describe_loss(areas, wrong),
    exact_size.measure_exactly(faces, bodies[0]) if len(bodies[0]) else None,
    _list_runs(shape, len(bodies[1])),
  )


def _list_runs(shape: TopoDS_Shape, count: int) -> tuple[Run, ...]:
  """Which triangles of `_write` are of which solid.

  A solid that stands in several places is one body and its copies.

  Args:
    shape: cut into triangles.
    count: triangles that were written.

  Returns:
    Empty if triangles are of no solid, or of a face that was mended.
  """
  solids = list(_explore(shape, TopAbs_SOLID))
  known: list[TopoDS_Shape] = []
  runs = []
  for solid in solids:
    size = sum(map(_count_triangles, _explore(solid, TopAbs_FACE)))
    is_copy = any(solid.IsPartner(other) for other in known)
    runs.append((-1 if is_copy else len(known), size))
    if not is_copy:
      known.append(solid)
  return tuple(runs) if sum(size for _, size in runs) == count else ()


def _count_triangles(face: TopoDS_Shape) -> int:
  place = TopLoc_Location()
  found = BRep_Tool.Triangulation_s(TopoDS.Face(face), place)
  return 0 if found is None else found.NbTriangles()


def _cut(shape: TopoDS_Shape) -> None:
  # not in parallel: the worker that reads a file has one core
  BRepMesh_IncrementalMesh(shape, _DEFLECTION, True, _BEND, False)


def _explore(shape: TopoDS_Shape, kind, but=None) -> Iterator[TopoDS_Shape]:
  """Yields the parts of a kind, those within another kind left out."""
  explorer = TopExp_Explorer()
  if but is None:
    explorer.Init(shape, kind)
  else:
    explorer.Init(shape, kind, but)
  while explorer.More():
    yield explorer.Current()
    explorer.Next()


def _exact_area(shape: TopoDS_Shape) -> float:
  """Returns the area of a shape's surfaces."""
  facts = GProp_GProps()
  BRepGProp.SurfaceProperties_s(shape, facts)
  return abs(facts.Mass())


def _cut_area(shape: TopoDS_Shape) -> float:
  """Returns the area of a shape's triangles."""
  total = 0.0
  for face in _explore(shape, TopAbs_FACE):
    if _has_triangles(face):  # or Open CASCADE takes the exact surface
      facts = GProp_GProps()
      BRepGProp.SurfaceProperties_s(face, facts, False, True)
      total += abs(facts.Mass())
  return total


def _is_wrong(exact: float, cut: float) -> bool:
  """Tells whether a face has too few triangles, or too large ones."""
  if not math.isfinite(exact) or exact > _ENDLESS:
    return cut == 0
  return abs(exact - cut) > _LACK * exact


def _mend(wrong: list[tuple[TopoDS_Shape, float]]) -> TopoDS_Shape | None:
  """Cuts faces once more as NURBS.

  The faces that come out right lose the triangles that they had.

  Args:
    wrong: faces and their exact areas; those that are mended are taken out.

  Returns:
    The mended faces; None if there are none.
  """
  builder, mended = BRep_Builder(), TopoDS_Compound()
  builder.MakeCompound(mended)
  found = []
  for face, exact in wrong:
    shape = _convert(face)
    if shape is not None and not _is_wrong(exact, _cut_area(shape)):
      builder.Add(mended, shape)
      found.append((face, exact))
  for entry in found:
    BRepTools.Clean_s(entry[0])
    wrong.remove(entry)
  return mended if found else None


def _convert(face: TopoDS_Shape) -> TopoDS_Shape | None:
  """Returns a face as NURBS, cut; None if Open CASCADE fails."""
  try:
    copy = BRepBuilderAPI_Copy(face).Shape()
    shape = BRepBuilderAPI_NurbsConvert(copy, True).Shape()
    BRepTools.Clean_s(shape)
    _cut(shape)
  except Exception:  # whatever Open CASCADE throws, the face stays as it is
    return None
  return shape


def _write(shape: TopoDS_Shape) -> Geometry:
  """Returns the triangles of a shape, mirrored parts turned round."""
  if not any(_has_triangles(face) for face in _explore(shape, TopAbs_FACE)):
    return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
  writer = StlAPI_Writer()
  writer.ASCIIMode = False
  with scratch_file() as path:
    writer.Write(shape, str(path))
    raw = read_stl(path.read_bytes(), path)
  return raw.vertices, raw.faces


def _has_triangles(face: TopoDS_Shape) -> bool:
  place = TopLoc_Location()
  return BRep_Tool.Triangulation_s(TopoDS.Face(face), place) is not None


def _count_bodies(shape: TopoDS_Shape) -> int:
  """Returns the number of solids, and of shells that belong to none."""
  solids = sum(1 for _ in _explore(shape, TopAbs_SOLID))
  shells = sum(1 for _ in _explore(shape, TopAbs_SHELL, TopAbs_SOLID))
  return max(solids + shells, 1)


def _describe_loss(
  areas: np.ndarray, wrong: list[tuple[TopoDS_Shape, float]]
) -> tuple[str, ...]:
  """Returns a warning if part of the surface is missing."""
  if not wrong:
    return ()
  finite = areas[:, 0][np.isfinite(areas[:, 0]) & (areas[:, 0] < _ENDLESS)]
  total = finite.sum()
  lost = sum(
    abs(exact - _cut_area(face))
    for face, exact in wrong
    if math.isfinite(exact) and exact < _ENDLESS
  )
  share = lost / total if total > 0 else 1.0
  if share < _NOTED:
    return ()
  return (
    f"has {len(wrong)} of {len(areas)} faces that could not be tessellated, "
    f"{share:.1%} of its surface; export it again, or as STL",
  )
