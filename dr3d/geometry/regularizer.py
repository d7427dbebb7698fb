"""Penalties that keep a mesh smooth while its vertices are fitted.

`V` vertices, `F` faces, `E` edges. The faces are constants: what is connected
is computed from them on the host, also under `jit`. Each function returns one
value for each vertex, edge or pair of faces; a loss is their mean.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.geometry.norm import safe_norm, to_unit

Array = jax.Array


def laplacian_penalty(vertices: Array, faces: np.ndarray) -> Array:
  """Distance of each vertex from the mean of its neighbours.

  Args:
    vertices: `[V, 3]`.
    faces: int `[F, 3]`.

  Returns:
    `[V]`, in the unit of the vertices; 0 for a vertex without neighbours.

  Example:
    >>> square = jnp.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    >>> faces = np.array([[0, 1, 2], [0, 2, 3]])
    >>> print(laplacian_penalty(square, faces)[1].round(3))
    0.707

  References:
    Nealen et al., Laplacian Mesh Optimization, 2006: uniform weights.
  """
  edges = _find_edges(faces)
  both = np.concatenate([edges, edges[:, ::-1]])
  count = np.bincount(both[:, 0], minlength=len(vertices))[:, None]
  total = jnp.zeros_like(vertices).at[both[:, 0]].add(vertices[both[:, 1]])
  mean = total / np.maximum(count, 1).astype(total.dtype)
  return safe_norm(jnp.where(count > 0, mean - vertices, 0))


def edge_penalty(
  vertices: Array, faces: np.ndarray, *, target: float = 0.0
) -> Array:
  """Squared difference of the length of each edge from a target.

  Args:
    vertices: `[V, 3]`.
    faces: int `[F, 3]`.
    target: length, in the unit of the vertices.

  Returns:
    `[E]`, each edge once.

  Example:
    >>> triangle = jnp.array([[0, 0, 0], [3, 0, 0], [0, 4, 0.0]])
    >>> print(edge_penalty(triangle, np.array([[0, 1, 2]])))
    [ 9. 16. 25.]
  """
  edges = _find_edges(faces)
  span = vertices[edges[:, 1]] - vertices[edges[:, 0]]
  return jnp.square(safe_norm(span) - target)


def normal_penalty(vertices: Array, faces: np.ndarray) -> Array:
  """One minus the cosine of the angle between neighbouring faces' normals.

  It does not depend on the winding of the faces. If more than two faces share
  an edge, each is compared with the next one.

  Args:
    vertices: `[V, 3]`.
    faces: int `[F, 3]`.

  Returns:
    `[P]` for P pairs of faces with a common edge: 0 where the surface is flat,
    1 at a right angle, 2 where it is folded onto itself.

  Example:
    >>> square = jnp.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    >>> print(normal_penalty(square, np.array([[0, 1, 2], [0, 2, 3]])))
    [0.]
  """
  begin, end, one, other = (vertices[i] for i in _find_pairs(faces).T)
  edge = end - begin
  # The far corners are on opposite sides of the edge where the surface is flat.
  first = to_unit(jnp.cross(edge, one - begin))
  second = to_unit(jnp.cross(other - begin, edge))
  return 1 - jnp.sum(first * second, axis=-1)


def _half_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Sorted ends `[3 F, 2]` of the half-edges, and the corners opposite."""
  faces = np.asarray(faces)
  ends = np.concatenate([faces[:, [k, (k + 1) % 3]] for k in range(3)])
  return np.sort(ends, axis=1), np.concatenate(
    [faces[:, (k + 2) % 3] for k in range(3)]
  )


def _find_edges(faces: np.ndarray) -> np.ndarray:
  """Int `[E, 2]`, each edge once, its smaller vertex first."""
  return np.unique(_half_edges(faces)[0], axis=0)


def _find_pairs(faces: np.ndarray) -> np.ndarray:
  """Int `[P, 4]`: the ends of a shared edge and the two corners opposite."""
  ends, opposite = _half_edges(faces)
  order = np.lexsort(ends.T)
  ends, opposite = ends[order], opposite[order]
  shared = np.flatnonzero((ends[1:] == ends[:-1]).all(axis=1))
  return np.column_stack([ends[shared], opposite[shared], opposite[shared + 1]])
