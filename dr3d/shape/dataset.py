"""A file of shapes to learn from: solid voxels and points of the surface."""

import dataclasses
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import trimesh

from dr3d.error import Dr3dError, MeshError
from dr3d.mesh import Mesh
from dr3d.mesh.mesh import simplify_mesh
from dr3d.render.triangle import stack_meshes
from dr3d.runtime.atomic import atomic_file
from dr3d.shape.voxel import RESOLUTION, fill_voxels, place_mesh

SURFACE_POINTS = 2048  # of a shape, with normals
FACES = 1024  # of a shape, for its pictures


@dataclasses.dataclass(frozen=True, eq=False)
class ShapeSet:
  """B shapes in the principal pose.

  Attributes:
    voxels: bool [B, R, R, R], R = 64.
    points: float32 [B, 2048, 3] of the surfaces, evenly by area.
    normals: float32 [B, 2048, 3], by the winding of the faces.
    corners: float32 [B, F, 3, 3] of the simplified meshes in the unit sphere,
      F = 1024, padded with triangles without area.
    corner_normals: float32 [B, F, 3, 3].
    names: of the shapes.
    labels: class of each shape.
    splits: of each shape, such as `train` and `test`.
  """

  voxels: np.ndarray
  points: np.ndarray
  normals: np.ndarray
  corners: np.ndarray
  corner_normals: np.ndarray
  names: tuple[str, ...]
  labels: tuple[str, ...]
  splits: tuple[str, ...]

  def __len__(self) -> int:
    return len(self.names)

  def take(self, chosen: Sequence[int] | np.ndarray) -> "ShapeSet":
    """Returns some of the shapes, by their indices."""
    chosen = np.asarray(chosen, np.int64)

    def pick(values: tuple[str, ...]) -> tuple[str, ...]:
      return tuple(values[i] for i in chosen)

    return ShapeSet(
      self.voxels[chosen],
      self.points[chosen],
      self.normals[chosen],
      self.corners[chosen],
      self.corner_normals[chosen],
      pick(self.names),
      pick(self.labels),
      pick(self.splits),
    )

  def split(self, name: str) -> "ShapeSet":
    """Returns the shapes of a split.

    Raises:
      ValueError: there are none.
    """
    chosen = [i for i, split in enumerate(self.splits) if split == name]
    if not chosen:
      known = ", ".join(sorted(set(self.splits)))
      raise ValueError(f"no shape has the split {name!r}; there are {known}.")
    return self.take(chosen)


def sample_surface(
  vertices: np.ndarray, faces: np.ndarray, *, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns points and unit normals, float32 [P, 3] each, evenly by area."""
  surface = trimesh.Trimesh(vertices, faces, process=False)
  points, face = trimesh.sample.sample_surface(surface, count, seed=seed)
  normals = surface.face_normals[face]
  return points.astype(np.float32), normals.astype(np.float32)


def make_set(
  shapes: Iterable[tuple[str, str, str, Mesh]],
  *,
  seed: int = 0,
  skipped: Callable[[str, str], None] = lambda name, reason: None,
) -> ShapeSet:
  """Makes the set of named shapes.

  Args:
    shapes: name, label, split and mesh of each.
    seed: of the points.
    skipped: called with the name and the reason of a shape that fails.

  Raises:
    Dr3dError: no shape is left.
  """
  rows, voxels, points, normals, meshes = [], [], [], [], []
  for number, (name, label, split, mesh) in enumerate(shapes):
    vertices = place_mesh(mesh)
    try:
      solid = fill_voxels(vertices, mesh.faces)
    except MeshError as error:
      skipped(name, str(error))
      continue
    p, n = sample_surface(
      vertices, mesh.faces, count=SURFACE_POINTS, seed=seed + number
    )
    rows.append((name, label, split))
    voxels.append(solid)
    points.append(p)
    normals.append(n)
    meshes.append(simplify_mesh(mesh, FACES))
  if not rows:
    raise Dr3dError("no shape is left to learn from.")
  names, labels, splits = zip(*rows, strict=True)
  triangles = stack_meshes(meshes, face_count=FACES, pose="principal")
  return ShapeSet(
    np.stack(voxels),
    np.stack(points),
    np.stack(normals),
    np.asarray(triangles.corners),
    np.asarray(triangles.normals),
    names,
    labels,
    splits,
  )


def save_set(shapes: ShapeSet, path: pathlib.Path) -> None:
  """Writes a set as an .npz file, whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with atomic_file(path) as partial, partial.open("wb") as file:
    np.savez_compressed(
      file,
      voxels=np.packbits(shapes.voxels.reshape(len(shapes), -1), axis=1),
      points=shapes.points.astype(np.float16),
      normals=shapes.normals.astype(np.float16),
      corners=shapes.corners.astype(np.float16),
      corner_normals=shapes.corner_normals.astype(np.float16),
      rows=np.array([shapes.names, shapes.labels, shapes.splits]).T,
    )


def load_set(path: pathlib.Path) -> ShapeSet:
  """Reads what `save_set` wrote.

  Raises:
    Dr3dError: the file is missing, damaged or something else.
  """
  try:
    with np.load(path, allow_pickle=False) as file:
      voxels = np.unpackbits(file["voxels"], axis=1).astype(bool)
      rows = file["rows"]
      return ShapeSet(
        voxels.reshape(-1, *(RESOLUTION,) * 3),
        file["points"].astype(np.float32),
        file["normals"].astype(np.float32),
        file["corners"].astype(np.float32),
        file["corner_normals"].astype(np.float32),
        *(tuple(map(str, column)) for column in rows.T),
      )
  except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
    raise Dr3dError(
      f"{path} cannot be read as a set of shapes ({error}); write it again"
      " with experiments.shape_data."
    ) from error
