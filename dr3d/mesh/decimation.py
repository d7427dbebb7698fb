"""Simplification by edge collapse, many at once, down to a number of faces.

Source: M. Garland and P. Heckbert, Surface simplification using quadric error
metrics (SIGGRAPH 1997). Each vertex carries the weighted planes of its faces
as one quadric, and an edge costs what its best point errs from the planes of
both ends. Two departures. Rims of open surfaces carry planes across their
edges with the weight of the edge squared, as the paper proposes and common
libraries leave out: the lid of an open box would cost nothing and vanish.
And instead of a queue, each round collapses all edges that are the cheapest
at both of their ends, so that a round is a few array operations.

A quadric is kept as the 10 numbers of the upper triangle of its symmetric
4×4 matrix, over homogeneous points (x, y, z, 1).
"""

import threading

import numpy as np

from dr3d.mesh.repair import drop_rubble
from dr3d.mesh.surface import (
  MIX,
  compact,
  cross,
  cross_products,
  edge_keys,
  half_edges,
  normalize,
  open_half_edges,
  unique_rows,
)

_ROW, _COLUMN = np.triu_indices(4)
_SHARE = 0.2  # of the edges, the cheapest, may collapse in one round
_FOLD = 0.2  # cosine by which a face may turn in one round
_SLIVER = 1e-8  # squared sine of an angle; flatter, and rounding turns normals
_FREE = 0.5  # share of the edges; with fewer left, the blocked get a chance
_STUCK = 0.02  # share of the edges; when fewer collapsed, folds are allowed
_SPREAD = 0.5  # by how much costs are blurred: equal ones would form chains
_SHORT = 1e-9  # of an edge squared: of edges that cost nothing, short ones
_LARGE = 40_000  # faces, from which the compiled collapse does the coarse part
_COMPILED = threading.Lock()  # its state is global


def decimate(
  vertices: np.ndarray, faces: np.ndarray, *, face_budget: int
) -> tuple[np.ndarray, np.ndarray]:
  """Simplifies a surface to at most a number of faces.

  Collapses that would fold the surface are avoided as long as there are
  others.

  Args:
    vertices: float64 [V, 3] in the unit ball, where they stay.
    faces: int64 [F, 3], welded, none without area.
    face_budget: number of faces to reach, at least 4.

  Returns:
    vertices float64 [V', 3], faces int64 [F', 3], 0 < F' <= face_budget
    unless the last step would leave nothing.
  """
  if len(faces) <= face_budget:
    return vertices, faces
  coarse = max(_LARGE // 2, 4 * face_budget)
  if len(faces) > 2 * coarse:
    vertices, faces = _collapse_compiled(vertices, faces, coarse)
  vertices, faces = _collapse(vertices, faces, face_budget)
  length = np.linalg.norm(vertices, axis=1, keepdims=True)
  vertices = vertices / length.clip(1.0)
  kept = drop_rubble(vertices, faces)
  return compact(vertices, kept if len(kept) else faces)


def _collapse(
  vertices: np.ndarray, faces: np.ndarray, face_budget: int
) -> tuple[np.ndarray, np.ndarray]:
  """Runs rounds of collapses until the budget is met."""
  count = len(vertices)
  quadrics = _quadrics(vertices, faces)
  blocked = np.zeros(0, np.int64)  # edges whose collapse would fold a face
  collapsed = 0  # since the list of blocked edges was begun
  while len(faces) > face_budget:
    keys = np.sort(edge_keys(faces, count))
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    free = keys[~np.isin(keys, blocked)] if len(blocked) else keys
    may_fold = False
    if len(free) < _FREE * len(keys):
      may_fold = collapsed < _STUCK * len(keys)
      free, blocked, collapsed = keys, blocked[:0], 0
    first, second = free // count, free % count
    cost, points = _costs(vertices, quadrics, first, second)
    chosen = _cheapest_apart(cost, first, second, count)
    chosen = chosen[: (len(faces) - face_budget + 1) // 2]
    while True:  # without the bad ones, others may turn out bad
      keep, gone, target = first[chosen], second[chosen], points[chosen]
      result = _merge(vertices, faces, keep, gone, target)
      if may_fold:
        break
      bad = _folds(vertices, faces, *result, keep, gone)
      if not bad.any():
        break
      blocked = np.concatenate([blocked, free[chosen[bad]]])
      chosen = chosen[~bad]
    left = _intact(result[1])
    if not len(left):  # the last bodies would vanish
      break
    vertices, faces = result[0], left
    quadrics[:, keep] += quadrics[:, gone]
    collapsed += len(keep)
  return vertices, faces


def _merge(
  vertices: np.ndarray,
  faces: np.ndarray,
  keep: np.ndarray,
  gone: np.ndarray,
  target: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Moves vertices keep to target and lets faces use them for gone."""
  vertices = vertices.copy()
  vertices[keep] = target
  renamed = np.arange(len(vertices))
  renamed[gone] = keep
  return vertices, renamed[faces]


def _intact(faces: np.ndarray) -> np.ndarray:
  """Returns the faces with three different vertices, doubles dropped."""
  a, b, c = faces.T
  faces = faces[(a != b) & (b != c) & (c != a)]
  a, b, c = np.sort(faces, axis=1).astype(np.uint64).T
  codes = np.sort((a * MIX + b) * MIX + c)  # wraps, as a hash should
  if (codes[1:] != codes[:-1]).all():  # nearly always, and a sort tells
    return faces
  first, _ = unique_rows(np.sort(faces, axis=1))
  return faces[first]


def _folds(
  vertices: np.ndarray,
  faces: np.ndarray,
  new_vertices: np.ndarray,
  new_faces: np.ndarray,
  keep: np.ndarray,
  gone: np.ndarray,
) -> np.ndarray:
  """Returns for each collapse whether a face at it turns over or flattens."""
  moved = np.zeros(len(vertices), bool)
  moved[keep] = moved[gone] = True
  near = np.flatnonzero(moved[faces].any(axis=1))
  a, b, c = new_faces[near].T
  alive = near[(a != b) & (b != c) & (c != a)]
  old = cross_products(vertices, faces[alive])
  corners = new_vertices[new_faces[alive]]
  one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
  new = cross(one, two)
  square = _dot(new, new)
  turned = _dot(old, new) <= _FOLD * np.sqrt(_dot(old, old) * square)
  turned |= square <= _SLIVER * _dot(one, one) * _dot(two, two)
  hit = np.zeros(len(vertices), bool)
  hit[faces[alive][turned]] = True
  return hit[keep] | hit[gone]


def _cheapest_apart(
  cost: np.ndarray, first: np.ndarray, second: np.ndarray, count: int
) -> np.ndarray:
  """Returns edges that are the cheapest at both ends, in order of cost."""
  blur = (first * 40503 + second * 30011) % 65521 / 65521
  cost = cost * (1 + _SPREAD * blur)
  wanted = min(len(cost), max(16, int(_SHARE * len(cost))))
  limit = np.partition(cost, wanted - 1)[wanted - 1]
  cheap = np.flatnonzero(cost <= limit)
  order = cheap[np.argsort(cost[cheap], kind="stable")[:wanted]]
  one, two = first[order], second[order]
  rank = np.arange(len(order))
  best = np.full(count, len(order))
  best[one[::-1]] = rank[::-1]  # the last assignment holds: the lowest rank
  other = np.full(count, len(order))
  other[two[::-1]] = rank[::-1]
  best = np.minimum(best, other)
  return order[(best[one] == rank) & (best[two] == rank)]


def _costs(
  vertices: np.ndarray,
  quadrics: np.ndarray,
  first: np.ndarray,
  second: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the cost of each edge and the point it would collapse to."""
  total = quadrics[:, first] + quadrics[:, second]
  one, two = vertices[first].T, vertices[second].T
  square = ((one - two) ** 2).sum(axis=0)
  middle = _optimum(total, (one + two) / 2, square)
  candidates = np.stack([one, two, middle])
  errors = np.stack([_errors(total, point) for point in candidates])
  best = errors.argmin(axis=0)
  index = np.arange(len(best))
  cost = np.abs(errors[best, index]) + _SHORT * square
  return cost, candidates[best, :, index]


def _errors(quadrics: np.ndarray, point: np.ndarray) -> np.ndarray:
  """Returns the squared errors of points [3, n] from quadrics [10, n]."""
  a, b, c, x, d, e, y, f, z, rest = quadrics
  p, q, r = point
  error = p * (a * p + 2 * (b * q + c * r + x))
  error += q * (d * q + 2 * (e * r + y))
  error += r * (f * r + 2 * z)
  return error + rest


def _optimum(
  quadrics: np.ndarray, middle: np.ndarray, square: np.ndarray
) -> np.ndarray:
  """Returns where quadrics are least; the middle where that is far or vague."""
  a, b, c, x, d, e, y, f, z, _ = quadrics
  A, B, C = d * f - e * e, c * e - b * f, b * e - c * d
  D, E, F = a * f - c * c, b * c - a * e, a * d - b * b
  determinant = a * A + b * B + c * C
  clear = determinant > 1e-4 * ((a + d + f) / 3) ** 3
  scale = -1 / np.where(clear, determinant, 1.0)
  point = np.stack(
    [A * x + B * y + C * z, B * x + D * y + E * z, C * x + E * y + F * z]
  )
  point *= scale
  clear &= ((point - middle) ** 2).sum(axis=0) < 4 * square
  return np.where(clear, point, middle)


def _dot(one: np.ndarray, two: np.ndarray) -> np.ndarray:
  """Returns the dot products of rows."""
  return np.einsum("ij,ij->i", one, two)


def _plane_quadrics(
  normals: np.ndarray, points: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """Returns weighted squared distances from planes, as quadrics [n, 10]."""
  offset = -(normals * points).sum(axis=1, keepdims=True)
  plane = np.concatenate([normals, offset], axis=1)
  return plane[:, _ROW] * plane[:, _COLUMN] * weights[:, None]


def _quadrics(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
  """Returns the quadric of each vertex, [10, V]."""
  product = cross_products(vertices, faces)
  normal = normalize(product)
  area = np.linalg.norm(product, axis=1) / 2
  of_face = _plane_quadrics(normal, vertices[faces[:, 0]], area / 3)
  rim = open_half_edges(faces, len(vertices))
  tail, head = half_edges(faces)
  tail, head = tail[rim], head[rim]
  edge = vertices[head] - vertices[tail]
  across = normalize(cross(edge, normal[rim // 3]))
  of_rim = _plane_quadrics(across, vertices[tail], (edge * edge).sum(axis=1))
  owner = np.concatenate([faces.reshape(-1), tail, head])
  parts = np.concatenate([np.repeat(of_face, 3, axis=0), of_rim, of_rim])
  return np.stack(
    [np.bincount(owner, column, len(vertices)) for column in parts.T]
  )


def _collapse_compiled(
  vertices: np.ndarray, faces: np.ndarray, face_count: int
) -> tuple[np.ndarray, np.ndarray]:
  """Takes a large surface down to about a number of faces, quickly.

  fast_simplification knows no planes across rims, so a fin is put on each
  open edge and taken off again.
  """
  import fast_simplification

  rim = open_half_edges(faces, len(vertices))
  tail, head = half_edges(faces)
  tail, head = tail[rim], head[rim]
  normal = normalize(cross_products(vertices, faces[rim // 3]))
  tips = (vertices[tail] + vertices[head]) / 2 + 0.5 * normal
  number = len(vertices) + np.arange(len(tips))
  with_fins = np.concatenate([faces, np.stack([head, tail, number], axis=1)])
  points = np.concatenate([vertices, tips])
  with _COMPILED:
    points, triangles = fast_simplification.simplify(
      points, with_fins.astype(np.int32), target_count=face_count
    )
  is_tip = np.isin(_codes(points), _codes(tips))
  triangles = triangles[~is_tip[triangles].any(axis=1)].astype(np.int64)
  triangles = _intact(triangles)
  if not len(triangles):
    return vertices, faces
  return compact(np.asarray(points, np.float64), triangles)


def _codes(points: np.ndarray) -> np.ndarray:
  """Returns one opaque value for each row, equal for equal rows."""
  points = np.ascontiguousarray(points, np.float64)
  return points.view(np.dtype((np.void, 24))).reshape(-1)
