"""How far a surface lies from another one to which it is registered, in mm.

The query is moved onto the model. If both have about the same size, that is
done at true size, and a difference in size shows as a deviation. Otherwise the
query is drawn at the size of the model.

`V` vertices, `F` faces. Lengths are radii of the model's enclosing sphere until
the end.
"""

import dataclasses

import numpy as np
import scipy.spatial
import trimesh

from dr3d.mesh import Mesh
from dr3d.registration.surface import (
  Cloud,
  Pose,
  closest_on_triangles,
  find_pose,
  make_cloud,
  refine_pose,
)

# Sizes differ by less through noise, a missing part of a scan, or wear.
_SAME_SIZE = 0.1
_MAX_EDGE = 0.08  # of the triangles that carry a colour at each corner
_NEAR = 8  # small triangles that are searched for the closest point
# A mirror image is the better fit below this share of the distance without;
# a shape that is nearly its own mirror image is not mirrored. See `compare`.
_MIRROR_GAIN = 0.5
_GOOD = 0.004  # mean distance at which no mirror image is tried
_FAR_QUANTILE = 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class Deviation:
  """A query on a model, with the distance at each vertex.

  Attributes:
    vertices: float32 `[V, 3]`, of the query in the principal pose of the model,
      millimetres from the centre of the model's enclosing sphere.
    faces: int32 `[F, 3]`.
    distances: float32 `[V]`, of each vertex from the model, millimetres.
    mean: of the distances, weighted by area.
    far: below which 95 % of the area lies.
    scale: by which the query was multiplied; 1 at true size.
    mirrored: whether the query had to be mirrored.
  """

  vertices: np.ndarray
  faces: np.ndarray
  distances: np.ndarray
  mean: float
  far: float
  scale: float
  mirrored: bool


def measure_deviation(query: Mesh, model: Mesh) -> Deviation:
  """Registers a query to a model and measures how far it lies from it.

  Args:
    query: in millimetres.
    model: in millimetres.
  """
  one, two = make_cloud(query), make_cloud(model)
  pose = _find_best_pose(one, two)
  ratio = float(query.radius) / float(model.radius)
  scale = 1.0 if abs(ratio - 1) <= _SAME_SIZE else 1 / ratio
  factor = ratio * scale  # of the unit sphere
  pose = refine_pose(one, two, pose, scale=factor)
  vertices, faces = _subdivide(query)
  vertices = factor * vertices @ pose.turn.T + pose.shift
  distances = _measure(vertices, *_subdivide(model))
  corners = vertices[faces]
  area = np.linalg.norm(
    np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]),
    axis=1,
  )
  of_face = distances[faces].mean(axis=1)
  order = np.argsort(of_face)
  reached = np.cumsum(area[order]) / max(area.sum(), np.finfo(float).tiny)
  far = of_face[order][
    min(np.searchsorted(reached, _FAR_QUANTILE), len(order) - 1)
  ]
  mirrored = bool(np.linalg.det(pose.turn) < 0)
  if mirrored:
    faces = faces[:, ::-1]
  radius = float(model.radius)
  return Deviation(
    vertices=(vertices * radius).astype(np.float32),
    faces=np.ascontiguousarray(faces, np.int32),
    distances=(distances * radius).astype(np.float32),
    mean=float(np.average(of_face, weights=area)) * radius,
    far=float(far) * radius,
    scale=scale,
    mirrored=mirrored,
  )


def _find_best_pose(one: Cloud, two: Cloud) -> Pose:
  plain = find_pose(one, two)
  if plain.fit.mean <= _GOOD:
    return plain
  mirror = find_pose(one, two, mirrored=True)
  gains = mirror.fit.mean < _MIRROR_GAIN * plain.fit.mean
  return mirror if gains else plain


def _subdivide(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
  """Small triangles in the principal pose, so that a colour map has points."""
  vertices = mesh.vertices.astype(np.float64) @ mesh.frame.T.astype(np.float64)
  return trimesh.remesh.subdivide_to_size(vertices, mesh.faces, _MAX_EDGE)


def _measure(
  points: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> np.ndarray:
  """Distances `[P]` of points from small triangles."""
  corners = vertices[faces]
  tree = scipy.spatial.cKDTree(corners.mean(axis=1))
  _, near = tree.query(points, k=min(_NEAR, len(faces)))
  near = near.reshape(len(points), -1)
  found = closest_on_triangles(points[:, None, :], corners[near])
  return np.linalg.norm(found - points[:, None, :], axis=-1).min(axis=1)
