"""Meshes to solid voxels.

Conventions as in `dr3d.shape`. A voxel is full if the surface passes through it
or if the surface encloses it, so a solid grows by half a voxel at its surface.
"""

from typing import Literal

import numpy as np
import scipy.ndimage

from dr3d.error import MeshError
from dr3d.mesh import Mesh

RESOLUTION = 64  # of the finest voxels that are stored
PADDING = 2  # empty voxels of 64 at each side
SCALE = 1 - 2 * PADDING / RESOLUTION  # unit sphere to cube

# Voxels. Every point of a triangle with such edges is within .29 of a corner,
# so no step from a voxel to its neighbour passes the surface unseen.
_MAX_EDGE = 0.5
Pose = Literal["file", "principal"]


def place_mesh(mesh: Mesh, *, pose: Pose = "principal") -> np.ndarray:
  """Returns the vertices [V, 3] in the cube [-1, 1]³.

  Args:
    mesh: in the unit sphere.
    pose: `"principal"` turns it into its principal axes.
  """
  if pose not in ("file", "principal"):
    raise ValueError(f"pose must be 'file' or 'principal', not {pose!r}.")
  vertices = np.asarray(mesh.vertices, np.float64)
  if pose == "principal":
    vertices = vertices @ np.asarray(mesh.frame, np.float64).T
  return SCALE * vertices


def fill_voxels(
  vertices: np.ndarray, faces: np.ndarray, *, resolution: int = RESOLUTION
) -> np.ndarray:
  """Returns the solid voxels of a surface.

  The surface is subdivided and its voxels are marked; then every voxel that
  cannot be reached from the outside is filled, also that of a closed cavity.
  An open surface keeps a wall of one voxel. So every mesh gives voxels, and
  `is_solid` tells whether they have an inside.

  Args:
    vertices: float [V, 3] in the cube [-1, 1]³.
    faces: int [F, 3].
    resolution: R.

  Returns:
    bool [R, R, R].

  Raises:
    MeshError: a vertex is outside of the cube.
  """
  if np.abs(vertices).max() > 1:
    raise MeshError(
      "the mesh leaves the cube [-1, 1]³ of the voxels: scale it, as"
      " place_mesh does."
    )
  position = (np.asarray(vertices, np.float64) + 1) / 2 * resolution - 0.5
  points = _cover_faces(position[np.asarray(faces)].astype(np.float32))
  index = np.rint(points).astype(np.int64).clip(0, resolution - 1)
  shell = np.zeros((resolution,) * 3, bool)
  shell[tuple(index.T)] = True
  return scipy.ndimage.binary_fill_holes(shell)


def is_solid(voxels: np.ndarray) -> bool:
  """Whether voxels have an inside, besides the wall of their surface.

  False for a sheet, an open vessel and whatever is nowhere three voxels thick.
  """
  block = np.ones((3, 3, 3), bool)
  return bool(scipy.ndimage.binary_erosion(voxels, block).any())


def shrink_voxels(voxels: np.ndarray, *, resolution: int) -> np.ndarray:
  """Returns coarser voxels; one is full if any of its fine voxels is.

  Args:
    voxels: bool [..., R, R, R].
    resolution: divides R.

  Raises:
    ValueError: it does not.
  """
  blocks = _cut_blocks(voxels, resolution)
  return np.asarray(blocks.any(axis=(-5, -3, -1)))


def average_voxels(voxels: np.ndarray, *, resolution: int) -> np.ndarray:
  """Returns coarser voxels with the share of their fine ones that are full.

  Unlike `shrink_voxels` it tells where within a voxel the surface is, and a
  thin wall from a thick one.

  Args:
    voxels: bool [..., R, R, R].
    resolution: divides R.

  Returns:
    float32 [..., resolution, resolution, resolution] in [0, 1].

  Raises:
    ValueError: it does not.
  """
  return _cut_blocks(voxels, resolution).mean(axis=(-5, -3, -1), dtype="f4")


def grid_points(resolution: int) -> np.ndarray:
  """Returns the centres of all voxels, float32 [R³, 3], z fastest."""
  axis = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution * 2 - 1
  return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(
    -1, 3
  )


def _cut_blocks(voxels: np.ndarray, resolution: int) -> np.ndarray:
  """[..., R, R, R] to [..., n, k, n, k, n, k], n = resolution."""
  fine = voxels.shape[-1]
  if fine % resolution:
    raise ValueError(f"{fine} voxels cannot be shrunk to {resolution}.")
  cells = (resolution, fine // resolution) * 3
  return voxels.reshape(*voxels.shape[:-3], *cells)


def _cover_faces(corners: np.ndarray) -> np.ndarray:
  """Returns points [n, 3] of triangles [F, 3, 3], none farther than an edge.

  Bisects the longest edge until it is short. trimesh's subdivide_to_size leads
  to the same voxels but for some at its roundings, in about five times the
  time, as it looks for shared corners.
  """
  points = []
  while len(corners):
    sides = corners[:, [1, 2, 0]] - corners
    square = (sides * sides).sum(axis=-1)
    longest = square.argmax(axis=1)
    rows = np.arange(len(corners))
    done = square[rows, longest] <= _MAX_EDGE**2
    points.append(corners[done].reshape(-1, 3))
    rows, longest = rows[~done], longest[~done]
    a = corners[rows, longest]
    b = corners[rows, (longest + 1) % 3]
    c = corners[rows, (longest + 2) % 3]
    middle = (a + b) / 2
    corners = np.concatenate(
      [np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)]
    )
  return np.concatenate(points)
