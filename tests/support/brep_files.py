"""STEP, IGES and BREP files, written by Open CASCADE."""

import pathlib
from typing import Any

from dr3d.runtime.output import suppress_output


def solid(*, hole: float = 0.0) -> Any:
  """A block of 10 x 20 x 30, with a round hole along z."""
  from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut
  from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox, BRepPrimAPI_MakeCylinder
  from OCP.gp import gp_Ax2, gp_Dir, gp_Pnt

  block = BRepPrimAPI_MakeBox(10.0, 20.0, 30.0).Shape()
  if not hole:
    return block
  axes = gp_Ax2(gp_Pnt(5, 10, -1), gp_Dir(0, 0, 1))
  tool = BRepPrimAPI_MakeCylinder(axes, hole, 40.0).Shape()
  return BRepAlgoAPI_Cut(block, tool).Shape()


def assembly(shape: Any, places: list[tuple[float, float, float]]) -> Any:
  """One shape at several places."""
  from OCP.BRep import BRep_Builder
  from OCP.gp import gp_Trsf, gp_Vec
  from OCP.TopLoc import TopLoc_Location
  from OCP.TopoDS import TopoDS_Compound

  builder, compound = BRep_Builder(), TopoDS_Compound()
  builder.MakeCompound(compound)
  for place in places:
    move = gp_Trsf()
    move.SetTranslation(gp_Vec(*place))
    builder.Add(compound, shape.Moved(TopLoc_Location(move)))
  return compound


def write_step(shape: Any, path: pathlib.Path, unit: str = "MM") -> bytes:
  from OCP.Interface import Interface_Static
  from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

  with suppress_output(1):
    writer = STEPControl_Writer()
    Interface_Static.SetCVal_s("write.step.unit", unit)
    writer.Transfer(shape, STEPControl_AsIs)
    writer.Write(str(path))
    Interface_Static.SetCVal_s("write.step.unit", "MM")
  return path.read_bytes()


def write_iges(shape: Any, path: pathlib.Path, unit: str = "MM") -> bytes:
  from OCP.IGESControl import IGESControl_Controller, IGESControl_Writer

  with suppress_output(1):
    IGESControl_Controller.Init_s()
    writer = IGESControl_Writer(unit, 0)
    writer.AddShape(shape)
    writer.ComputeModel()
    writer.Write(str(path))
  return path.read_bytes()


def write_brep(shape: Any, path: pathlib.Path) -> bytes:
  from OCP.BRepTools import BRepTools

  BRepTools.Write_s(shape, str(path))
  return path.read_bytes()
