"""Raw triangles become a welded surface without rubble, or one clear error."""

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.spatial

from dr3d.error import MeshError
from dr3d.mesh.surface import (
  compact,
  cross_products,
  half_edges,
  open_half_edges,
  unique_rows,
)

# Both in units of half the widest side of the bounding box, and above the
# resolution of float32 in the unit sphere, so that they hold after rounding.
_WELD = 1e-6  # rims closer than this are welded
_FLAT = 1e-6  # triangles lower than this have no area


def clean_geometry(
  vertices: np.ndarray, faces: np.ndarray, *, name: str = "the mesh"
) -> tuple[np.ndarray, np.ndarray]:
  """Checks and welds; drops faces that are flat or doubled.

  Vertices at one position become one, and so do those along open edges that
  lie within a millionth of the size of each other. Faces without area, all
  but the first of faces with the same three vertices, and vertices without a
  face are dropped. What is left keeps its order, position and winding.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3].
    name: what the messages call the mesh.

  Returns:
    vertices float64 [V', 3] and faces int64 [F', 3], F' > 0.

  Raises:
    MeshError: naming the mesh and the reason.
  """
  vertices, faces = compact(*_check_arrays(vertices, faces, name))
  wrong = int((~np.isfinite(vertices)).any(axis=1).sum())
  if wrong:
    raise MeshError(
      f"{name} has {wrong} vertices with infinite or undefined coordinates; "
      "export it again."
    )
  low, high = vertices.min(axis=0), vertices.max(axis=0)
  half = (high / 2 - low / 2).max()
  if not half > 1e-100:
    raise MeshError(f"{name} has no size: all its points are in one place.")
  scaled = vertices / half - (low / 2 + high / 2) / half
  faces = _weld(scaled, faces)
  faces = drop_rubble(scaled, faces)
  if not len(faces):
    raise MeshError(f"{name} has no face with an area.")
  return compact(vertices, faces)


def drop_rubble(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
  """Returns the faces that have an area and come first of their like.

  Args:
    vertices: float [V, 3], about as wide as the unit sphere.
    faces: int64 [F, 3].
  """
  corners = vertices[faces]
  longest = np.zeros(len(faces))
  for k in range(3):
    side = corners[:, k] - corners[:, k - 1]
    longest = np.maximum(longest, np.sqrt((side * side).sum(axis=1)))
  double_area = np.linalg.norm(cross_products(vertices, faces), axis=1)
  faces = faces[double_area > _FLAT * longest]
  first, _ = unique_rows(np.sort(faces, axis=1))
  return faces[first]


def _check_arrays(
  vertices: np.ndarray, faces: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray]:
  """Returns float64 and int64 arrays of the right shapes and range."""
  vertices, faces = np.asarray(vertices), np.asarray(faces)
  if not faces.size:
    raise MeshError(f"{name} has no faces.")
  for array, noun in ((vertices, "vertices"), (faces, "faces")):
    if array.ndim != 2 or array.shape[1] != 3:
      raise MeshError(f"{name} has {noun} of shape {array.shape}, not [n, 3].")
  if not np.issubdtype(faces.dtype, np.integer):
    raise MeshError(f"{name} has faces of type {faces.dtype}, not integers.")
  low, high = int(faces.min()), int(faces.max())
  if low < 0 or high >= len(vertices):
    raise MeshError(
      f"{name} has a face with vertex number {low if low < 0 else high}, but "
      f"its vertices have the numbers 0 to {len(vertices) - 1}."
    )
  return vertices.astype(np.float64), faces.astype(np.int64)


def _weld(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
  """Returns the faces with equal and close vertices replaced by the first."""
  first, label = unique_rows(vertices + 0.0)  # -0 and 0 are one position
  faces = first[label][faces]
  tail, head = half_edges(faces)
  rim = open_half_edges(faces, len(vertices))
  rim = np.unique(np.concatenate([tail[rim], head[rim]]))
  if not len(rim):
    return faces
  # Cells of the tolerance first: they bound the number of close pairs.
  first, cell = unique_rows(np.floor(vertices[rim] / _WELD).astype(np.int64))
  tree = scipy.spatial.cKDTree(vertices[rim[first]])
  pairs = tree.query_pairs(_WELD, output_type="ndarray")
  graph = scipy.sparse.coo_array(
    (np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])),
    shape=(len(first), len(first)),
  )
  _, group = scipy.sparse.csgraph.connected_components(graph, directed=False)
  _, leader, label = np.unique(
    group[cell], return_index=True, return_inverse=True
  )
  target = np.arange(len(vertices))
  target[rim] = rim[leader[label]]
  return target[faces]
