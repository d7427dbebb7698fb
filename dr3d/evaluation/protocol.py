"""What is done to a query before it is asked. The gallery stays as it is."""

import dataclasses
import hashlib

import numpy as np

from dr3d.data.scan import random_rotation, simulate_scan
from dr3d.mesh import Mesh, make_mesh

ROTATIONS = ("none", "z", "so3")


@dataclasses.dataclass(frozen=True)
class Protocol:
  """How queries are changed.

  Attributes:
    rotation: `"none"`; `"z"`: by a random angle about the z axis of the file;
      `"so3"`: by a random rotation, all equally likely.
    scan: whether a scan is imitated: noise, holes, a coarse mesh.
    seed: another one turns and scans otherwise.
  """

  rotation: str = "none"
  scan: bool = False
  seed: int = 0

  def __post_init__(self):
    if self.rotation not in ROTATIONS:
      raise ValueError(
        f"rotation must be one of {ROTATIONS}, got {self.rotation!r}."
      )

  @property
  def changes(self) -> bool:
    """Whether a query differs from its file."""
    return self.rotation != "none" or self.scan

  def __str__(self) -> str:
    turned = {
      "none": "in their original pose",
      "z": "rotated at random about z",
      "so3": "rotated at random (SO(3))",
    }[self.rotation]
    scanned = "as simulated scans, " if self.scan else ""
    return scanned + turned


def make_query(
  vertices: np.ndarray,
  faces: np.ndarray,
  *,
  name: str,
  protocol: Protocol,
  face_budget: int | None,
) -> Mesh:
  """Does to a model what the protocol says.

  The result hangs on the mesh, the protocol and the name alone, whatever else
  is asked.

  Args:
    vertices: float [V, 3], in any unit.
    faces: int [F, 3].
    name: of the model.
    protocol: what is done.
    face_budget: at most so many faces.

  Raises:
    MeshError: the arrays are no mesh.
  """
  digest = hashlib.sha256(f"{protocol.seed}/{name}".encode()).digest()
  rng = np.random.default_rng(list(digest))
  if protocol.rotation != "none":
    vertices = vertices @ _draw_rotation(rng, protocol.rotation).T
  if protocol.scan:
    vertices, faces = simulate_scan(vertices, faces, rng=rng)
  return make_mesh(vertices, faces, face_budget=face_budget)


def _draw_rotation(rng: np.random.Generator, kind: str) -> np.ndarray:
  if kind == "so3":
    return random_rotation(rng)
  angle = rng.uniform(0, 2 * np.pi)
  c, s = np.cos(angle), np.sin(angle)
  return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
