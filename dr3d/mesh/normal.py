"""Corner normals: smooth on smooth surfaces, sharp across creases.

A corner is a pair (face, vertex). Two corners at a vertex are linked if their
faces share an edge at that vertex, have the same winding and bend by less than
the crease angle. A connected set of corners, a fan, has one normal. Links exist
only around one vertex, so a chain of fillets elsewhere cannot smooth a sharp
edge here.
"""

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from dr3d.mesh.surface import (
  corner_angles,
  cross_products,
  edge_keys,
  half_edges,
  normalize,
)

CREASE = 40.0
"""Degrees between the normals of two faces, from which their edge is sharp."""


def corner_normals(
  vertices: np.ndarray, faces: np.ndarray, *, crease: float = CREASE
) -> np.ndarray:
  """Returns the unit normal of every corner.

  The normal is the mean of the face normals in the corner's fan. The angles at
  the vertex are the weights, so the result does not depend on the
  triangulation.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3], each with an area.
    crease: degrees; edges that bend by this or more are sharp.

  Returns:
    float64 [F, 3, 3], each within 90° of the normal of its face.

  References:
    G. Thürmer and C. Wüthrich, Computing vertex normals from polygonal
    facets, Journal of Graphics Tools 3 (1998): the angle weights.
  """
  flat = normalize(cross_products(vertices, faces))
  first, second = _links(faces, len(vertices), flat, np.cos(np.radians(crease)))
  count = 3 * len(faces)
  graph = scipy.sparse.coo_array(
    (np.ones(len(first), np.int8), (first, second)), shape=(count, count)
  )
  _, fan = scipy.sparse.csgraph.connected_components(graph, directed=False)
  weighted = corner_angles(vertices, faces)[:, :, None] * flat[:, None, :]
  total = [np.bincount(fan, weighted[:, :, k].reshape(-1)) for k in range(3)]
  smooth = normalize(np.stack(total, axis=1))[fan].reshape(-1, 3, 3)
  # A fan that folds over can average to a normal that points inwards.
  turned = np.einsum("fki,fi->fk", smooth, flat) <= 0
  return np.where(turned[:, :, None], flat[:, None, :], smooth)


def _links(
  faces: np.ndarray, vertex_count: int, flat: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
  """Returns pairs of corner numbers that share one normal."""
  keys = edge_keys(faces, vertex_count)
  order = np.argsort(keys, kind="stable")
  keys = keys[order]
  start = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
  twice = start[np.diff(start, append=len(keys)) == 2]
  one, two = order[twice], order[twice + 1]
  tail, head = half_edges(faces)
  bend = (flat[one // 3] * flat[two // 3]).sum(axis=1)
  smooth = (tail[one] == head[two]) & (bend > threshold)
  one, two = one[smooth], two[smooth]
  return (
    np.concatenate([one, _next_corner(one)]),
    np.concatenate([_next_corner(two), two]),
  )


def _next_corner(corner: np.ndarray) -> np.ndarray:
  """Returns the corner at the other end of the half-edge."""
  return corner - corner % 3 + (corner + 1) % 3
