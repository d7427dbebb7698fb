"""Raw triangles to a welded surface without degenerate faces."""

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

# In units of half the widest side of the bounding box. Above the resolution of
# float32 in the unit sphere (6e-8), so that rounding does not undo the result.
_WELD_DISTANCE = 1e-6  # boundary vertices closer than this become one
_MIN_FACE_HEIGHT = 1e-6  # lower triangles count as faces without area
# Debris of a scan: shares of the area, and distance in radii of the main body.
# Of 2 180 clean models none has a part like that; legs and lamps touch or hold
# more area.
_MAIN_SHARE = 0.95
_DEBRIS_SHARE = 0.01
_DEBRIS_DISTANCE = 0.05
# Half the widest side, file units. A smaller one makes products of lengths
# underflow in float64.
_MIN_HALF_SIZE = 1e-100


def clean_geometry(
  vertices: np.ndarray, faces: np.ndarray, *, name: str = "the mesh"
) -> tuple[np.ndarray, np.ndarray]:
  """Checks the arrays, welds vertices and drops degenerate faces.

  Merges vertices at equal positions, and vertices of boundary edges that lie
  within a millionth of the size of each other. Drops faces without area, all
  but the first of faces with the same three vertices, and unused vertices. The
  rest keeps its order, positions and winding.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3].
    name: of the mesh in error messages.

  Returns:
    vertices float64 [V', 3] and faces int64 [F', 3], F' > 0.

  Raises:
    MeshError: the arrays are not a mesh; the message says why.
  """
  vertices, faces = compact(*_check_arrays(vertices, faces, name))
  wrong = int((~np.isfinite(vertices)).any(axis=1).sum())
  if wrong:
    raise MeshError(
      f"{name} has {wrong} vertices with infinite or undefined coordinates; "
      "export it again."
    )
  low, high = vertices.min(axis=0), vertices.max(axis=0)
  half = (high / 2 - low / 2).max()  # high - low could overflow
  if not half > _MIN_HALF_SIZE:
    raise MeshError(f"{name} has no size: all its points are in one place.")
  scaled = vertices / half - (low / 2 + high / 2) / half
  faces = _weld(scaled, faces)
  faces = drop_degenerate_faces(scaled, faces)
  if not len(faces):
    raise MeshError(f"{name} has no face with an area.")
  return compact(vertices, faces)


def drop_debris(
  vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
  """Drops small open pieces that float beside the main body of a scan.

  A single such piece moves the enclosing sphere, so that the object is seen
  small and off centre. A piece is dropped if it has a boundary, at most a
  hundredth of the area, and lies apart from the main body, which has nearly all
  of the area. A mesh of several bodies keeps them all.

  Args:
    vertices: float64 [V, 3], welded.
    faces: int64 [F, 3].

  Returns:
    vertices, faces, and how many pieces were dropped.
  """
  piece = label_pieces(faces, len(vertices))
  if not piece.any():
    return vertices, faces, 0
  area = np.linalg.norm(cross_products(vertices, faces), axis=1)
  share = np.bincount(piece, area) / area.sum()
  main = int(share.argmax())
  if share[main] < _MAIN_SHARE:
    return vertices, faces, 0
  is_open = np.zeros(len(share), bool)
  is_open[piece[open_half_edges(faces, len(vertices)) // 3]] = True
  small = is_open & (share <= _DEBRIS_SHARE)
  if not small.any():
    return vertices, faces, 0
  body = vertices[np.unique(faces[piece == main])]
  middle = (body.min(axis=0) + body.max(axis=0)) / 2
  radius = np.linalg.norm(body - middle, axis=1).max()
  tree = scipy.spatial.cKDTree(body)
  for index in np.flatnonzero(small):
    points = vertices[np.unique(faces[piece == index])]
    distance, _ = tree.query(points)
    apart = distance.min() > _DEBRIS_DISTANCE * radius
    small[index] = (
      apart and np.linalg.norm(points - middle, axis=1).max() > radius
    )
  kept = ~small[piece]
  return *compact(vertices, faces[kept]), int(small.sum())


def label_pieces(faces: np.ndarray, vertex_count: int) -> np.ndarray:
  """Returns the number of the connected piece of each face, int [F]."""
  # Two edges connect the three vertices of a face.
  tail, head = faces[:, :2].reshape(-1), faces[:, 1:].reshape(-1)
  graph = scipy.sparse.coo_array(
    (np.ones(len(tail), np.int8), (tail, head)), (vertex_count, vertex_count)
  )
  count, label = scipy.sparse.csgraph.connected_components(
    graph, directed=False
  )
  if count == 1:
    return np.zeros(len(faces), np.intp)
  _, piece = np.unique(label[faces[:, 0]], return_inverse=True)
  return piece


def drop_degenerate_faces(
  vertices: np.ndarray, faces: np.ndarray
) -> np.ndarray:
  """Returns the faces with an area, without duplicates.

  Args:
    vertices: float [V, 3], scaled to about the unit sphere.
    faces: int64 [F, 3].
  """
  corners = vertices[faces]
  longest = np.zeros(len(faces))
  for k in range(3):
    side = corners[:, k] - corners[:, k - 1]
    longest = np.maximum(longest, np.sqrt((side * side).sum(axis=1)))
  double_area = np.linalg.norm(cross_products(vertices, faces), axis=1)
  faces = faces[double_area > _MIN_FACE_HEIGHT * longest]
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
  """Returns the faces with each group of close vertices replaced by one."""
  first, label = unique_rows(
    vertices + 0.0
  )  # rows are compared by bits: -0 becomes 0
  faces = first[label][faces]
  tail, head = half_edges(faces)
  rim = open_half_edges(faces, len(vertices))
  rim = np.unique(np.concatenate([tail[rim], head[rim]]))
  if not len(rim):
    return faces
  # One vertex for each cell of the tolerance. Thousands of vertices at nearly
  # one position would otherwise give millions of close pairs.
  first, cell = unique_rows(
    np.floor(vertices[rim] / _WELD_DISTANCE).astype(np.int64)
  )
  tree = scipy.spatial.cKDTree(vertices[rim[first]])
  pairs = tree.query_pairs(_WELD_DISTANCE, output_type="ndarray")
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
