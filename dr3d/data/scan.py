"""Simulated scans: noise, holes and few faces, as from a phone's scanner."""

import numpy as np
from scipy.spatial.transform import Rotation

from dr3d.geometry.sphere import enclosing_sphere
from dr3d.mesh.decimation import decimate
from dr3d.mesh.repair import clean_geometry
from dr3d.mesh.surface import (
  compact,
  cross_products,
  edge_keys,
  half_edges,
  normalize,
)

# Sphere radii. Holes and noise have no effect within a longer edge.
_MAX_EDGE = 0.12
# Faces. Bounds the refinement of long slivers, which need very many.
_MAX_REFINED_FACES = 60_000
# Smallest share of the area that holes may leave.
_MIN_AREA_SHARE = 0.5


def random_rotation(rng: np.random.Generator) -> np.ndarray:
  """Returns a rotation matrix, float64 [3, 3], uniform on SO(3).

  A normal vector of 4 components has a uniform direction, and SciPy normalises
  it. `Rotation.random` draws in another order, so the rotations of a seed, and
  with them published figures, would change.
  """
  w, x, y, z = rng.normal(size=4)
  return Rotation.from_quat([x, y, z, w]).as_matrix()


def simulate_scan(
  vertices: np.ndarray,
  faces: np.ndarray,
  *,
  rng: np.random.Generator,
  noise: float = 0.005,
  holes: int = 3,
  hole_radius: float = 0.15,
  faces_left: float = 0.3,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns a mesh as a scanner would measure it.

  Refines the surface until no edge is longer than 0.12 radii, cuts holes, moves
  every vertex along its normal, and simplifies. A hole removes faces on one
  side of a thin part only. Lengths are in radii of the smallest enclosing
  sphere. The mesh keeps its pose; see `random_rotation`.

  Args:
    vertices: float [V, 3], in any unit.
    faces: int [F, 3].
    rng: the same state gives the same scan.
    noise: standard deviation of the shift along the normals, sphere radii.
    holes: number of holes; a hole that would leave less than half of the area
      is skipped.
    hole_radius: sphere radii.
    faces_left: share of the refined faces that remains after simplification.

  Returns:
    vertices: float64 [V', 3], in the same unit; faces: int64 [F', 3], F' > 0.

  Raises:
    MeshError: the arrays are not a mesh.
    ValueError: an amount is out of range.

  Example:
    >>> import dr3d
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    >>> faces = np.array([[0, 1, 2], [0, 2, 3]])
    >>> vertices, faces = dr3d.simulate_scan(square, faces, rng=rng)
    >>> len(faces) > 2
    True
  """
  if noise < 0 or holes < 0 or hole_radius < 0 or not 0 < faces_left <= 1:
    raise ValueError(
      "noise, holes and hole_radius must not be negative and faces_left must "
      f"lie in (0, 1], not {noise}, {holes}, {hole_radius}, {faces_left}."
    )
  vertices, faces = clean_geometry(vertices, faces)
  center, radius = enclosing_sphere(vertices)
  vertices = (vertices - center) / radius
  vertices, faces = refine(
    vertices, faces, edge=_MAX_EDGE, face_limit=_MAX_REFINED_FACES
  )
  faces = _cut_holes(vertices, faces, rng, holes, hole_radius)
  shift = rng.normal(scale=noise, size=(len(vertices), 1))
  vertices = vertices + shift * _vertex_normals(vertices, faces)
  vertices, faces = compact(vertices, faces)
  target = max(4, round(faces_left * len(faces)))
  # The noise moves vertices out of the unit ball that `decimate` expects.
  farthest = np.linalg.norm(vertices, axis=1).max()
  vertices, faces = decimate(vertices / farthest, faces, face_budget=target)
  return vertices * (farthest * radius) + center, faces


def refine(
  vertices: np.ndarray, faces: np.ndarray, *, edge: float, face_limit: int
) -> tuple[np.ndarray, np.ndarray]:
  """Splits long edges at their midpoints until none is longer than `edge`.

  Faces with one, two or three long edges become two, three or four. Both faces
  of an edge are split, so a closed surface stays closed.

  Args:
    vertices: float64 [V, 3].
    faces: int64 [F, 3].
    edge: longer edges are split.
    face_limit: refinement stops before it exceeds this number of faces.

  Returns:
    vertices, faces.
  """
  while True:
    _, first, label = np.unique(
      edge_keys(faces, len(vertices)), return_index=True, return_inverse=True
    )
    tail, head = half_edges(faces)
    one, two = vertices[tail[first]], vertices[head[first]]
    length = np.linalg.norm(two - one, axis=1)
    split = length > max(edge, length.max() / 2)
    marks = split[label].reshape(-1, 3)
    if not split.any() or len(faces) + marks.sum() > face_limit:
      return vertices, faces
    middle = np.where(split, len(vertices) + np.cumsum(split) - 1, -1)
    vertices = np.concatenate([vertices, (one[split] + two[split]) / 2])
    faces = _split(faces, middle[label].reshape(-1, 3))


def _split(faces: np.ndarray, middle: np.ndarray) -> np.ndarray:
  """Splits faces at the midpoints [F, 3] of their edges, -1 for none.

  Edge k goes from corner k to corner k + 1.
  """
  marks = (middle >= 0).sum(axis=1)
  # Rotates the corners so that a single split edge, or a single unsplit one, is
  # edge 0: then one pattern for each count is enough.
  odd = np.where(marks[:, None] == 2, middle < 0, middle >= 0)
  order = (odd.argmax(axis=1)[:, None] + np.arange(3)) % 3
  a, b, c = np.take_along_axis(faces, order, axis=1).T
  ab, bc, ca = np.take_along_axis(middle, order, axis=1).T
  patterns = {
    0: [(a, b, c)],
    1: [(a, ab, c), (ab, b, c)],
    2: [(a, b, bc), (a, bc, ca), (ca, bc, c)],
    3: [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)],
  }
  return np.concatenate(
    [
      np.stack(triangle, axis=1)[marks == count]
      for count, triangles in patterns.items()
      for triangle in triangles
    ]
  )


def _cut_holes(
  vertices: np.ndarray,
  faces: np.ndarray,
  rng: np.random.Generator,
  holes: int,
  hole_radius: float,
) -> np.ndarray:
  """Drops faces near random surface points that have a similar normal."""
  product = cross_products(vertices, faces)
  area = np.linalg.norm(product, axis=1)
  normal = normalize(product)
  center = vertices[faces].mean(axis=1)
  kept = np.ones(len(faces), bool)
  for _ in range(holes):
    face = rng.choice(len(faces), p=area / area.sum())
    point = rng.dirichlet(np.ones(3)) @ vertices[faces[face]]
    near = np.linalg.norm(center - point, axis=1) < hole_radius
    rest = kept & ~(near & (normal @ normal[face] > 0))
    if area[rest].sum() >= _MIN_AREA_SHARE * area.sum():
      kept = rest
  return faces[kept]


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
  """Returns area-weighted unit normals [V, 3]; zero for unused vertices."""
  product = np.repeat(cross_products(vertices, faces), 3, axis=0)
  total = [
    np.bincount(faces.reshape(-1), product[:, k], minlength=len(vertices))
    for k in range(3)
  ]
  return normalize(np.stack(total, axis=1))
