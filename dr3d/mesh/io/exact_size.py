"""Sizes of exact surfaces: a tessellated cylinder is thinner than the cylinder.

Open CASCADE computes the box of an exact surface, along the axes of the file.
That takes milliseconds for each face, so only the faces are asked whose
triangles come near the rim of the whole shape.
"""

import math
from collections.abc import Sequence

import numpy as np
from OCP.Bnd import Bnd_Box
from OCP.BRepBndLib import BRepBndLib
from OCP.gp import gp_Trsf
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS_Shape

from dr3d.mesh.box import Measure

# Of the size: how far a surface may lie outside of its triangles. Those of a
# sphere, 0.3 radians apart, lie 1.2 % of its diameter inside of it.
_MAX_BULGE = 0.02
_MAX_FACES = 200  # measured exactly along one frame, .01 s each


def measure_exactly(
  faces: Sequence[TopoDS_Shape], vertices: np.ndarray
) -> Measure:
  """Makes the function that measures a shape.

  Args:
    faces: of the shape, tessellated.
    vertices: of its triangles [V, 3], in the unit of the shape.

  Returns:
    See `box.Measure`. If too many faces come near the rim, and for faces that
    Open CASCADE cannot measure, it measures the triangles.
  """

  def measure(frame: np.ndarray) -> np.ndarray:
    pose = vertices @ frame.T
    low, high = pose.min(axis=0), pose.max(axis=0)
    slack = _MAX_BULGE * (high - low).max()
    move = TopLoc_Location(_rotate(frame))
    moved = [face.Moved(move) for face in faces]
    boxes = [_bound_triangles(face) for face in moved]
    rim = [
      face
      for face, box in zip(moved, boxes, strict=True)
      if box is not None
      and (np.any(box[0] < low + slack) or np.any(box[1] > high - slack))
    ]
    if len(rim) > _MAX_FACES:
      return high - low
    for face in rim:
      exact = _bound_surface(face)
      # A box far outside is that of a surface which was not trimmed.
      if exact is not None and (
        np.all(exact[0] > low - slack) and np.all(exact[1] < high + slack)
      ):
        low, high = np.minimum(low, exact[0]), np.maximum(high, exact[1])
    return high - low

  return measure


def _rotate(frame: np.ndarray) -> gp_Trsf:
  """The rotation that makes the rows of a frame the axes."""
  transform = gp_Trsf()
  rows = [(*map(float, row), 0.0) for row in frame]
  transform.SetValues(*rows[0], *rows[1], *rows[2])
  return transform


def _bound_triangles(face: TopoDS_Shape) -> np.ndarray | None:
  box = Bnd_Box()
  BRepBndLib.Add_s(face, box, True)
  return _list_corners(box)


def _bound_surface(face: TopoDS_Shape) -> np.ndarray | None:
  box = Bnd_Box()
  try:
    BRepBndLib.AddOptimal_s(face, box, False, False)
  except Exception:  # whatever Open CASCADE throws, the triangles remain
    return None
  return _list_corners(box)


def _list_corners(box: Bnd_Box) -> np.ndarray | None:
  """Lowest and highest corner [2, 3]; None if a box has none."""
  if box.IsVoid():
    return None
  corners = np.array(
    [[p.X(), p.Y(), p.Z()] for p in (box.CornerMin(), box.CornerMax())]
  )
  return corners if all(map(math.isfinite, corners.reshape(-1))) else None
