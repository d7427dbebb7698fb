"""Which edges of a mesh are soft in a view: silhouettes and open boundaries.

An edge is not visible if the surface continues across it as the camera sees it.
It is a silhouette if the surface folds there: if both faces are on the same
side of the plane through the camera and the edge.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.geometry.vector import cross, dot

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
    towards: `[3]`, the direction of a camera that is infinitely far away; None
      puts the camera at the origin.

  Returns:
    bool `[I, F, 3]`.
  """
  corners = jax.lax.stop_gradient(corners)
  image_count = len(corners)
  a = tuple(jnp.transpose(corners, (3, 2, 0, 1)))
  is_point = jnp.all(jnp.stack([x == x[0] for x in a]), axis=(0, 1))
  number = jnp.maximum(opposite, 0).reshape(image_count, -1)
  flat = corners.reshape(image_count, -1, 3)
  lacking = jnp.take_along_axis(flat, number[..., None], axis=1)
  far = tuple(jnp.transpose(lacking.reshape(corners.shape), (3, 2, 0, 1)))
  is_gone = jnp.take_along_axis(is_point, number // 3, axis=1)
  is_gone = is_gone.reshape(opposite.shape) | (opposite < 0)

  end = [jnp.roll(x, -1, axis=0) for x in a]
  along = [x - y for x, y in zip(end, a, strict=True)]
  aside = [jnp.roll(x, -2, axis=0) - x for x in a]
  beyond = [x - y for x, y in zip(far, a, strict=True)]
  sight = [-x for x in a]
  # Normal of the plane through camera and edge; that of the edge's other
  # direction is the same but for its sign, to the last bit.
  plane = cross(a, end)
  if towards is not None:
    sight = [
      jnp.broadcast_to(v, x.shape) for v, x in zip(towards, a, strict=True)
    ]
    plane = cross(along, sight)
  folds = dot(plane, aside) * dot(plane, beyond) >= 0
  normal = cross(along, aside)
  hides = dot(normal, beyond) * dot(normal, sight) <= 0
  return is_gone | jnp.moveaxis(folds & hides, 0, -1)
