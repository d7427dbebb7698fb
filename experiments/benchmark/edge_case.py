"""Shapes that often break renderers."""

import numpy as np
import trimesh

Geometry = tuple[np.ndarray, np.ndarray]


def make_shapes(*, million: bool) -> dict[str, Geometry]:
  """Returns vertices `[V, 3]` and faces `[F, 3]` by the name of the shape."""
  ring = trimesh.creation.annulus(0.4, 0.9, 0.5, sections=48)
  bowl = trimesh.creation.icosphere(subdivisions=3)
  upper = bowl.triangles_center[:, 2] < 0.3
  faces = np.asarray(ring.faces)
  rng = np.random.default_rng(0)
  is_flipped = rng.uniform(size=(len(faces), 1)) < 0.5
  shapes = {
    "thin needle": _of(trimesh.creation.cone(0.01, 2.0, sections=24)),
    "long rod": _of(trimesh.creation.cylinder(0.04, 2.0, sections=24)),
    "flat plate": _of(trimesh.creation.box((2.0, 1.4, 0.01))),
    "open shell": (np.asarray(bowl.vertices), np.asarray(bowl.faces)[upper]),
    "flipped normals": (np.asarray(ring.vertices), faces[:, ::-1]),
    "random winding": (
      np.asarray(ring.vertices),
      np.where(is_flipped, faces[:, ::-1], faces),
    ),
  }
  if million:
    shapes["a million faces"] = _of(trimesh.creation.icosphere(subdivisions=8))
  return shapes


def _of(mesh: trimesh.Trimesh) -> Geometry:
  return np.asarray(mesh.vertices), np.asarray(mesh.faces)
