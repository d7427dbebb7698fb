"""Edges, areas and angles of triangle surfaces.

Half-edge 3 f + k of face f goes from its corner k to its corner k + 1. Corner
and half-edge have the same index.
"""

import numpy as np

from dr3d.runtime.hashing import MIX


def cross_products(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
  """Returns float64 [F, 3], along the normals, twice the areas in length."""
  corner = np.asarray(vertices, np.float64)[faces[:, 0]]
  return cross(vertices[faces[:, 1]] - corner, vertices[faces[:, 2]] - corner)


def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
  """Returns u × v for rows [n, 3]; several times faster than np.cross."""
  product = np.empty_like(u)
  product[:, 0] = u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1]
  product[:, 1] = u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2]
  product[:, 2] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
  return product


def normalize(vectors: np.ndarray) -> np.ndarray:
  """Returns vectors [..., n] scaled to unit length; zero stays zero."""
  length = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))
  return vectors / np.where(length > 0, length, 1.0)


def corner_angles(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
  """Returns the angles at the corners of the triangles, radians [F, 3]."""
  corners = np.asarray(vertices, np.float64)[faces]
  sides = [corners[:, (k + 1) % 3] - corners[:, k] for k in range(3)]
  double_area = np.linalg.norm(cross(sides[0], sides[1]), axis=1)
  cosines = [-(sides[k] * sides[k - 1]).sum(axis=1) for k in range(3)]
  return np.arctan2(double_area[:, None], np.stack(cosines, axis=1))


def half_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the first and the last vertex of each half-edge, each [3 F]."""
  return faces.reshape(-1), faces[:, [1, 2, 0]].reshape(-1)


def edge_keys(faces: np.ndarray, vertex_count: int) -> np.ndarray:
  """Returns int64 [3 F]; the half-edges of one edge have equal keys."""
  tail, head = half_edges(faces)
  low, high = np.minimum(tail, head), np.maximum(tail, head)
  return low.astype(np.int64) * vertex_count + high


def open_half_edges(faces: np.ndarray, vertex_count: int) -> np.ndarray:
  """Returns the indices of the boundary half-edges: those without a twin."""
  keys = edge_keys(faces, vertex_count)
  order = np.argsort(keys)
  keys = keys[order]
  begins = np.concatenate([[True], keys[1:] != keys[:-1], [True]])
  return order[begins[1:] & begins[:-1]]


def unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Finds equal rows of 64-bit integers, or of floats by their bits.

  Returns:
    first: index of the first occurrence of each distinct row, ascending.
    label: for every row the index of its distinct row in `first`.
  """
  rows = np.ascontiguousarray(rows).view(np.uint64)
  code = np.zeros(len(rows), np.uint64)
  for column in rows.T:
    code = (code ^ column) * MIX  # the overflow wraps, as in a hash
    code ^= code >> np.uint64(29)
  _, first, label = np.unique(code, return_index=True, return_inverse=True)
  if not np.array_equal(rows[first[label]], rows):  # a collision of hashes
    _, first, label = np.unique(
      rows, axis=0, return_index=True, return_inverse=True
    )
    label = label.reshape(-1)
  order = np.argsort(first)
  rank = np.empty_like(order)
  rank[order] = np.arange(len(order))
  return first[order], rank[label]


def compact(
  vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Drops unused vertices; the others keep their order."""
  used = np.zeros(len(vertices), bool)
  used[faces] = True
  return vertices[used], (np.cumsum(used) - 1)[faces]
