"""Objects to recover: a bracket, and parts of the shipped catalogue."""

import pathlib
import tempfile
from typing import Any

import trimesh

from dr3d.data.sample import unpack
from dr3d.mesh import Mesh, load_mesh, make_mesh


def make_bracket() -> Mesh:
  """Makes a bracket without symmetry, so that its pose is unique."""
  bodies: list[trimesh.Trimesh] = []
  for extents, position in (
    ((2.0, 1.2, 0.25), (0.0, 0.0, 0.0)),  # base
    ((0.25, 1.2, 1.2), (-0.87, 0.0, 0.6)),  # wall at one end
    ((0.5, 0.25, 0.7), (-0.6, -0.4, 0.4)),  # rib on one side
  ):
    body = trimesh.creation.box(extents=extents)
    bodies.append(body.apply_translation(position))
  boss = trimesh.creation.cylinder(radius=0.28, height=0.6, sections=20)
  bodies.append(boss.apply_translation((0.55, 0.22, 0.4)))
  whole: Any = trimesh.util.concatenate(bodies)
  return make_mesh(whole.vertices, whole.faces)


def load_sample(label: str, *, face_budget: int) -> Mesh:
  """Loads the first part of a class of the shipped catalogue.

  Args:
    label: such as `"hex_head_screw"`.
    face_budget: most faces, after simplification.

  Raises:
    ValueError: the catalogue has no such class.
  """
  with tempfile.TemporaryDirectory() as folder:
    files = sorted((unpack(pathlib.Path(folder)) / label).glob("*.stl"))
    if not files:
      raise ValueError(f"the shipped catalogue has no class {label!r}.")
    return load_mesh(files[0], face_budget=face_budget)
