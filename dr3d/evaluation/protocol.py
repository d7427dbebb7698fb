"""How queries are changed before a search; the gallery is not changed."""

import dataclasses
import hashlib
from typing import Literal, get_args

import numpy as np

from dr3d.data.scan import random_rotation, simulate_scan
from dr3d.mesh import Mesh, build_mesh
from dr3d.mesh.io.color import Paint

Rotation = Literal["none", "z", "so3"]
ROTATIONS: tuple[Rotation, ...] = get_args(Rotation)


@dataclasses.dataclass(frozen=True)
class Protocol:
  """How queries are changed.

  Attributes:
    rotation: `"none"`; `"z"`: by a random angle about the z axis of the file;
      `"so3"`: by a random rotation, all equally likely.
    scan: whether a scan is simulated: noise, holes, a coarse mesh.
    seed: of the random rotations and scans.
  """

  rotation: Rotation = "none"
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
  paint: Paint | None = None,
) -> Mesh:
  """Makes a query of a model, as the protocol says.

  The result depends only on the mesh, the protocol and the name, so it is the
  same in every selection of queries.

  Args:
    vertices: float [V, 3], in any unit.
    faces: int [F, 3].
    name: of the model.
    protocol: how it is changed.
    face_budget: largest number of faces; None keeps all.
    paint: gives corners of the model their colours; None for none.

  Raises:
    MeshError: the arrays are not a usable mesh.
  """
  digest = hashlib.sha256(f"{protocol.seed}/{name}".encode()).digest()
  rng = np.random.default_rng(list(digest))
  turn = np.eye(3)
  if protocol.rotation != "none":
    turn = _draw_rotation(rng, protocol.rotation)
    vertices = vertices @ turn.T
  if protocol.scan:
    vertices, faces = simulate_scan(vertices, faces, rng=rng)
  return build_mesh(
    vertices,
    faces,
    face_budget,
    "the mesh",
    paint=None if paint is None else lambda corners: paint(corners @ turn),
  )


def _draw_rotation(rng: np.random.Generator, kind: Rotation) -> np.ndarray:
  if kind == "so3":
    return random_rotation(rng)
  angle = rng.uniform(0, 2 * np.pi)
  c, s = np.cos(angle), np.sin(angle)
  return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
