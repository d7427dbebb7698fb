"""Objects to look at: a bracket, and parts that travel with the package."""

import pathlib
import tempfile
from typing import Any

import trimesh

from dr3d.data.sample import unpack
from dr3d.mesh import Mesh, load_mesh, make_mesh


def make_bracket() -> Mesh:
  """A bracket that looks like itself in one pose only."""
  bodies: list[trimesh.Trimesh] = []
  for extents, place in (
    ((2.0, 1.2, 0.25), (0.0, 0.0, 0.0)),  # base
    ((0.25, 1.2, 1.2), (-0.87, 0.0, 0.6)),  # wall at one end
    ((0.5, 0.25, 0.7), (-0.6, -0.4, 0.4)),  # rib on one side
  ):
    body = trimesh.creation.box(extents=extents)
    bodies.append(body.apply_translation(place))
  boss = trimesh.creation.cylinder(radius=0.28, height=0.6, sections=20)
  bodies.append(boss.apply_translation((0.55, 0.22, 0.4)))
  whole: Any = trimesh.util.concatenate(bodies)
  return make_mesh(whole.vertices, whole.faces)


def load_sample(label: str, *, face_budget: int) -> Mesh:
  """The first of the parts of a class that travel with the package.

  Args:
    label: such as `"hex_head_screw"`.
    face_budget: simplify to at most so many faces.

  Raises:
    ValueError: there is no such class.
  """
  with tempfile.TemporaryDirectory() as folder:
    files = sorted((unpack(pathlib.Path(folder)) / label).glob("*.stl"))
    if not files:
      raise ValueError(f"there is no sample of class {label!r}.")
    return load_mesh(files[0], face_budget=face_budget)
