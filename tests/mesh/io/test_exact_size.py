"""Exact surfaces keep their size, however coarse their triangles are."""

import math

import numpy as np
import pytest
from support import brep_files

from dr3d.mesh import load_mesh

pytest.importorskip("OCP")
pytestmark = pytest.mark.fast

DIAMETER, LENGTH = 20.0, 80.0


def make_rod(turned):
  from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
  from OCP.BRepPrimAPI import BRepPrimAPI_MakeCylinder
  from OCP.gp import gp_Ax1, gp_Dir, gp_Pnt, gp_Trsf

  rod = BRepPrimAPI_MakeCylinder(DIAMETER / 2, LENGTH).Shape()
  if not turned:
    return rod
  move = gp_Trsf()
  move.SetRotation(gp_Ax1(gp_Pnt(0, 0, 0), gp_Dir(1, 2, 3)), 0.7)
  return BRepBuilderAPI_Transform(rod, move, True).Shape()


@pytest.mark.parametrize("turned", [False, True])
def test_rod_keeps_its_diameter_to_a_thousandth(tmp_path, turned):
  brep_files.write_step(make_rod(turned), tmp_path / "rod.step")
  mesh = load_mesh(tmp_path / "rod.step")
  expected = (LENGTH, DIAMETER, DIAMETER)
  np.testing.assert_allclose(mesh.smallest_box, expected, rtol=1e-3)
  np.testing.assert_allclose(mesh.extent, expected, rtol=1e-3)
  # The triangles alone are thinner, so that this tests what it says.
  assert mesh.extent[1] > 0.999 * DIAMETER
  drawn = mesh.box
  if not turned:
    np.testing.assert_allclose(drawn, expected[::-1], rtol=1e-3)
    return
  axis = mesh.frame[0].astype(float)  # along the rod
  by_formula = [LENGTH * abs(a) + DIAMETER * math.sqrt(1 - a * a) for a in axis]
  np.testing.assert_allclose(drawn, by_formula, rtol=1e-3)


def test_sphere_keeps_its_diameter_to_a_thousandth(tmp_path):
  from OCP.BRepPrimAPI import BRepPrimAPI_MakeSphere

  brep_files.write_step(
    BRepPrimAPI_MakeSphere(25.0).Shape(), tmp_path / "ball.step"
  )
  mesh = load_mesh(tmp_path / "ball.step")
  np.testing.assert_allclose(mesh.box, [50, 50, 50], rtol=1e-3)
  np.testing.assert_allclose(mesh.smallest_box, [50, 50, 50], rtol=1e-3)
