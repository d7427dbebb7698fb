"""Imitated scans: what a person with a phone would bring instead of CAD."""

import numpy as np

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

_EDGE = 0.12  # of the radius; longer edges cannot show a hole or noise
_FACE_LIMIT = 60_000  # refinement stops here, long slivers would not end
_KEPT = 0.5  # share of the area that holes leave at least


def random_rotation(rng: np.random.Generator) -> np.ndarray:
  """Returns a rotation matrix, float64 [3, 3], drawn evenly from SO(3)."""
  w, x, y, z = normalize(rng.normal(size=4))  # even on the quaternion sphere
  return np.array(
    [
      [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
      [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
      [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
  )


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
  """Returns a mesh as a scanner would have seen it.

  The surface is refined until no edge is longer than 0.12 radii, patches are
  cut out of the side that faces the middle of each hole, every vertex moves
  along its normal, and what is left is simplified. Lengths are in radii of
  the smallest enclosing sphere. The mesh is not turned; see random_rotation.

  Args:
    vertices: float [V, 3], in any unit.
    faces: int [F, 3].
    rng: source of all randomness; the same state gives the same scan.
    noise: standard deviation of the shift along the normals, radii.
    holes: how many patches to cut out; one that would leave less than half
      of the area is skipped.
    hole_radius: radius of a patch, radii.
    faces_left: share of the refined faces that simplification leaves.

  Returns:
    vertices: float64 [V', 3], in the same unit; faces: int64 [F', 3], F' > 0.

  Raises:
    MeshError: the arrays are no mesh.
    ValueError: an amount is out of its range.
  """
  if noise < 0 or holes < 0 or hole_radius < 0 or not 0 < faces_left <= 1:
    raise ValueError(
      "noise, holes and hole_radius must not be negative and faces_left must "
      f"lie in (0, 1], not {noise}, {holes}, {hole_radius}, {faces_left}."
    )
  vertices, faces = clean_geometry(vertices, faces)
  center, radius = enclosing_sphere(vertices)
  vertices = (vertices - center) / radius
  vertices, faces = refine(vertices, faces, edge=_EDGE, face_limit=_FACE_LIMIT)
  faces = _cut_holes(vertices, faces, rng, holes, hole_radius)
  shift = rng.normal(scale=noise, size=(len(vertices), 1))
  vertices = vertices + shift * _vertex_normals(vertices, faces)
  vertices, faces = compact(vertices, faces)
  target = max(4, round(faces_left * len(faces)))
  reach = np.linalg.norm(vertices, axis=1).max()  # noise leaves the unit ball
  vertices, faces = decimate(vertices / reach, faces, face_budget=target)
  return vertices * (reach * radius) + center, faces


def refine(
  vertices: np.ndarray, faces: np.ndarray, *, edge: float, face_limit: int
) -> tuple[np.ndarray, np.ndarray]:
  """Splits long edges at their middle, on both sides, so that none is longer.

  Faces with one, two or three long edges become two, three or four; the
  surface stays closed where it was.

  Args:
    vertices: float64 [V, 3].
    faces: int64 [F, 3].
    edge: length from which an edge is split.
    face_limit: refinement stops before it would pass this number of faces.

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
  """Splits faces at the vertices middle [F, 3] of their edges, -1 for none.

  Edge k runs from corner k to corner k + 1.
  """
  marks = (middle >= 0).sum(axis=1)
  # turn each face so that a lone marked edge, or a lone unmarked one, is edge 0
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
  """Drops the faces near random points of the surface that face their way."""
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
    if area[rest].sum() >= _KEPT * area.sum():
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
