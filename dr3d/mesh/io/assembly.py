"""Bodies that a file places many times, through groups of groups.

3MF, COLLADA, AMF and glTF all describe an assembly as a directed graph: a
group places meshes and other groups, each by a transform. A mesh stands in
the assembly once for every path that leads to it, so 24 levels of two make
16.8 million of it out of a few kilobytes. The copies are counted before any
is made.
"""

import dataclasses
from collections.abc import Hashable

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.raw import Geometry, Run, check_face_count, check_indices

INSTANCE_LIMIT = 1_000_000
"""Placed bodies and groups: 128 MB of transforms, and beyond any assembly."""


@dataclasses.dataclass(eq=False)
class Assembly:
  """A graph of groups that place meshes.

  Attributes:
    meshes: the bodies of each mesh, by key; one mesh may hold several.
    groups: what a group places, by its key: pairs of a key, of a mesh or of
      another group, and the transforms [K, 4, 4] of its K places. A point is
      a column: p' = T @ [p, 1].
    runs: which faces of the last `expand` are of which mesh, see `RawMesh`; a
      mesh that is placed several times is one body and its copies.
  """

  meshes: dict[Hashable, list[Geometry]] = dataclasses.field(
    default_factory=dict
  )
  groups: dict[Hashable, list[tuple[Hashable, np.ndarray]]] = dataclasses.field(
    default_factory=dict
  )
  runs: list[Run] = dataclasses.field(default_factory=list)

  def place(
    self, group: Hashable, key: Hashable, transform: np.ndarray | None = None
  ) -> None:
    """Adds places, float [4, 4] or [K, 4, 4], of a mesh or group to a group."""
    transform = np.eye(4) if transform is None else transform
    places = np.asarray(transform, np.float64).reshape(-1, 4, 4)
    self.groups.setdefault(group, []).append((key, places))

  def expand(self, root: Hashable) -> tuple[list[Geometry], int]:
    """Returns the placed bodies, and how many there are with faces.

    Args:
      root: key of the group that holds the whole.

    Raises:
      MeshError: a group contains itself, or there are too many copies. The
        message is a predicate.
    """
    order = self._sort(root)
    self._check_counts(root, order)
    places: dict[Hashable, list[np.ndarray]] = {root: [np.eye(4)[None]]}
    result: list[Geometry] = []
    self.runs = []
    count = 0
    for number, key in enumerate(order):
      transforms = np.concatenate(places.pop(key))
      for child, inner in self.groups.get(key, ()):
        product = transforms[:, None] @ inner[None]
        places.setdefault(child, []).append(product.reshape(-1, 4, 4))
      for body in self.meshes.get(key, ()):
        result.append(copy_body(body, transforms))
        size = len(body[1])
        self.runs += [(number, size), (-1, size * (len(transforms) - 1))]
      if any(len(faces) for _, faces in self.meshes.get(key, ())):
        count += len(transforms)
    return result, count

  def _sort(self, root: Hashable) -> list[Hashable]:
    """Returns the keys below a root, each one after all that place it."""
    order: list[Hashable] = []
    open_keys, done = set(), set()
    stack: list[tuple[Hashable, bool]] = [(root, False)]
    while stack:  # no recursion: a chain may have any length
      key, leaves = stack.pop()
      if leaves:
        open_keys.discard(key)
        done.add(key)
        order.append(key)
        continue
      if key in done:
        continue
      if key in open_keys:
        raise MeshError("has a part that contains itself; export it again")
      open_keys.add(key)
      stack.append((key, True))
      for child, _ in self.groups.get(key, ()):
        if child in open_keys:
          raise MeshError("has a part that contains itself; export it again")
        if child not in done:
          stack.append((child, False))
    return order[::-1]

  def _check_counts(self, root: Hashable, order: list[Hashable]) -> None:
    """Bounds the copies and their faces, which are made only afterwards."""
    counts: dict[Hashable, int] = {root: 1}
    faces = 0
    for key in order:
      own = sum(len(faces) for _, faces in self.meshes.get(key, ()))
      faces += counts[key] * own
      for child, places in self.groups.get(key, ()):
        counts[child] = counts.get(child, 0) + counts[key] * len(places)
    check_face_count(faces)
    if sum(counts.values()) > INSTANCE_LIMIT:
      raise MeshError(
        f"places {sum(counts.values())} bodies, more than the {INSTANCE_LIMIT} "
        "that are allowed, too many to be read; simplify it first"
      )


def copy_body(body: Geometry, transforms: np.ndarray) -> Geometry:
  """Returns a body at K places as one, float [K, 4, 4].

  A transform that mirrors turns the faces round as well, so that the outside
  of a body stays outside.
  """
  vertices, faces = body
  vertices = np.asarray(vertices, np.float64)
  faces = np.asarray(faces, np.int64)
  check_indices(faces, len(vertices))
  if len(transforms) == 1 and np.array_equal(transforms[0], np.eye(4)):
    return vertices, faces
  linear, shift = transforms[:, :3, :3], transforms[:, :3, 3]
  placed = vertices[None] @ linear.transpose(0, 2, 1) + shift[:, None]
  starts = np.arange(len(transforms)) * len(vertices)
  copies = faces[None] + starts[:, None, None]
  mirrored = np.linalg.det(linear) < 0
  copies[mirrored] = copies[mirrored][:, :, ::-1]
  return placed.reshape(-1, 3), copies.reshape(-1, 3)
