"""A fast first registration of many models to one: 24 poses, sampled points.

Both shapes are in their principal poses at one size. The rotations that map the
three axes to themselves are tried, with the centres of the enclosing spheres
upon each other, and with the centroids. A distance is the mean over the points
of one shape of the distance to the nearest point of the other, both ways, less
the farthest ones: those of a scanned shape may be holes that were closed, those
of a model may be sides that no scanner saw.

It does not measure how near surfaces come, because points are not dense. It
tells which of many models are worth a registration by `surface`, and it is
robust where a scan differs from its model by more than similar models do.

`K` models, `P` points, `T` rotations.
"""

import functools
import itertools
from collections.abc import Sequence

import numpy as np

from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_surface
from dr3d.mesh.surface import cross_products
from dr3d.registration.sample import spread_points

POINT_COUNT = 80
"""Points of a shape. With 64 of them fewer scans found their model, with 96 as
many as with 80."""

_QUERY_SHARE = 0.9  # of the points of the query, the nearest ones, that count
_MODEL_SHARE = 0.8  # of those of a model
_CHUNK = 16  # models compared at a time: 10 MiB of distances


def sample_mesh(mesh: Mesh) -> np.ndarray:
  """Points of a mesh in its principal pose: float32 `[P, 3]`."""
  return _sample(mesh.vertices, mesh.faces, mesh.frame)


def sample_packed(data: bytes) -> np.ndarray:
  """Points of a packed mesh, as by `sample_mesh`, without its normals."""
  return _sample(*unpack_surface(data))


def compare_samples(
  query: np.ndarray, models: Sequence[np.ndarray]
) -> np.ndarray:
  """Distances of models from a query, in the better of 48 poses each.

  Args:
    query: `[P, 3]`; see `sample_mesh`.
    models: K likewise.

  Returns:
    float64 `[K]`, radii of the smallest enclosing sphere.
  """
  found = [np.zeros(0)]
  for start in range(0, len(models), _CHUNK):
    stacked = np.stack(models[start : start + _CHUNK])
    found.append(
      np.minimum(
        _compare(query, stacked),
        _compare(
          query - query.mean(axis=0),
          stacked - stacked.mean(axis=1, keepdims=True),
        ),
      )
    )
  return np.concatenate(found)


def _sample(
  vertices: np.ndarray, faces: np.ndarray, frame: np.ndarray
) -> np.ndarray:
  area = np.linalg.norm(cross_products(vertices, faces), axis=1)
  corners = (vertices @ frame.T)[faces]
  points, _ = spread_points(corners, area, POINT_COUNT)
  return points.astype(np.float32)


def _compare(query: np.ndarray, models: np.ndarray) -> np.ndarray:
  """Distances `[K]` in the best of the rotations."""
  K, P = models.shape[:2]
  turned = np.einsum("tij,pj->tpi", make_turns(), query)
  flat = models.reshape(-1, 3)
  # In place: a temporary array of this size costs as much as the product.
  square = turned.reshape(-1, 3) @ (-2 * flat.T)
  square = square.reshape(len(turned), -1, K, P)
  square += (flat**2).sum(axis=1).reshape(K, P)
  square += (query**2).sum(axis=1)[:, None, None]
  there = _mean_nearest(square.min(axis=3).transpose(0, 2, 1), _QUERY_SHARE)
  back = _mean_nearest(square.min(axis=1), _MODEL_SHARE)
  return ((there + back) / 2).min(axis=0).astype(np.float64)


def _mean_nearest(square: np.ndarray, share: float) -> np.ndarray:
  """Mean distance of the nearest share of points: `[T, K, P]` → `[T, K]`."""
  count = max(1, round(share * square.shape[2]))
  near = np.partition(square, count - 1, axis=2)[..., :count]
  return np.sqrt(near.clip(0)).mean(axis=2)


@functools.cache
def make_turns() -> np.ndarray:
  """The 24 rotations that map the axes to themselves: `[T, 3, 3]`."""
  turns = []
  for order in itertools.permutations(range(3)):
    for signs in itertools.product((1, -1), repeat=3):
      turn = np.zeros((3, 3), np.float32)
      turn[range(3), order] = signs
      if np.linalg.det(turn) > 0:
        turns.append(turn)
  return np.array(turns)
