"""Which edges of a mesh are soft in a view: silhouettes and open boundaries.

An edge between two faces of which the camera sees the same sheet go on is no
edge of the picture. It becomes one where the surface folds: where both faces
lie on the same side of the plane through the camera and the edge.
"""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def opposite_corners(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
  """Finds the far corner of each face's three neighbours.

  Vertices in the same place count as one. An edge that is not shared by just
  two faces has no neighbour.

  Args:
    vertices: `[V, 3]`.
    faces: `[F, 3]` int.

  Returns:
    int32 `[F, 3]`: for edge k, from corner k to k + 1, the number `3 g + j` of
    the corner j of the neighbour g that the edge lacks; -1 without neighbour.
  """
  opposite = np.full(faces.size, -1, np.int32)
  if not faces.size:
    return opposite.reshape(-1, 3)
  _, place = np.unique(vertices, axis=0, return_inverse=True)
  start = place.reshape(-1)[faces]
  end = np.roll(start, -1, axis=1)
  low, high = np.minimum(start, end).ravel(), np.maximum(start, end).ravel()
  order = np.lexsort((high, low))
  is_new = np.ones(faces.size, bool)
  is_new[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
  first = np.flatnonzero(is_new)
  first = first[np.diff(np.append(first, faces.size)) == 2]
  one, two = order[first], order[first + 1]
  opposite[one] = two // 3 * 3 + (two + 2) % 3
  opposite[two] = one // 3 * 3 + (one + 2) % 3
  return opposite.reshape(-1, 3)


def soft_edges(
  corners: Array, opposite: Array, *, towards: Array | None = None
) -> Array:
  """Marks the edges at which the surface ends or folds, seen by a camera.

  Of the two faces at a fold only the one in front bears the mark. A neighbour
  whose corners coincide counts as none.

  Args:
    corners: `[I, F, 3, 3]` corner, xyz.
    opposite: `[I, F, 3]` int32, see `opposite_corners`.
    towards: `[3]`, the direction of a camera that is infinitely far away; where
      None, the camera is at the origin.

  Returns:
    bool `[I, F, 3]`.
  """
  corners = jax.lax.stop_gradient(corners)
  pictures, faces = corners.shape[:2]
  number = jnp.maximum(opposite, 0).reshape(pictures, -1)
  flat = corners.reshape(pictures, -1, 3)
  far = jnp.take_along_axis(flat, number[..., None], axis=1)
  far = far.reshape(pictures, faces, 3, 3)
  is_point = jnp.all(corners == corners[..., :1, :], axis=(-2, -1))
  is_gone = jnp.take_along_axis(is_point, number // 3, axis=1)
  is_gone = is_gone.reshape(pictures, faces, 3) | (opposite < 0)

  a = corners
  b, c = jnp.roll(a, -1, axis=2), jnp.roll(a, -2, axis=2)
  # Normal of the plane through camera and edge; that of the edge's other
  # direction is the same but for its sign, to the last bit.
  sight = jnp.cross(a, b) if towards is None else jnp.cross(b - a, towards)
  folds = _dot(sight, c - a) * _dot(sight, far - a) >= 0
  normal = jnp.cross(b - a, c - a)
  seen = _dot(normal, -a if towards is None else towards)
  hides = _dot(normal, far - a) * seen <= 0
  return is_gone | (folds & hides)


def _dot(a, b):
  return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]
