"""Simplification to a face budget by parallel edge collapses.

Source: M. Garland and P. Heckbert, Surface simplification using quadric error
metrics (SIGGRAPH 1997). Each vertex has one quadric, the sum of the weighted
squared distances from the planes of its faces. An edge costs the error of its
best point under the quadrics of both ends.

Boundary edges add a plane perpendicular to their face, as section 6 of the
paper proposes; its weight is the squared edge length instead of a large
constant. Common libraries leave these planes out; a flat open sheet then costs
nothing and vanishes.

One departure from the paper: instead of a priority queue, each round collapses
every edge that is the cheapest at both of its ends. A round is a few array
operations.

A quadric is stored as the 10 entries of the upper triangle of its symmetric
4×4 matrix, over homogeneous points (x, y, z, 1).
"""

import threading

import numpy as np

from dr3d.mesh.repair import drop_degenerate_faces
from dr3d.mesh.surface import (
  compact,
  cross,
  cross_products,
  edge_keys,
  half_edges,
  normalize,
  open_half_edges,
  unique_rows,
)
from dr3d.runtime.hashing import MIX

_ROW, _COLUMN = np.triu_indices(4)
# Share of the edges, the cheapest ones, that one round may collapse.
_MAX_ROUND_SHARE = 0.2
# Smallest cosine between the normals of a face before and after a round.
_MIN_NORMAL_COSINE = 0.2
# Smallest squared sine of a face's corner angle. On flatter faces the rounding
# error of the cross product can flip the normal.
_MIN_SQUARED_SINE = 1e-8
# Share of the edges. With fewer unblocked ones, blocked edges are tried again.
_MIN_UNBLOCKED_SHARE = 0.5
# Share of the edges. If fewer collapsed since the last retry, the next round
# may fold faces; otherwise the loop would not reach the budget.
_MIN_PROGRESS_SHARE = 0.02
# Largest relative change of a cost by its hash. On a regular grid all costs are
# equal, and ties in order of the edge numbers would leave long chains of which
# only one edge is the cheapest at both ends.
_TIE_BREAK = 0.5
# Cost of an edge for its squared length, so that edges of a flat area, which
# have no error, collapse from the shortest to the longest.
_LENGTH_COST = 1e-9
# Smallest determinant of a quadric's 3×3 part over its cubed mean diagonal. For
# smaller ones (planes nearly parallel) the optimum is not a stable point.
_MIN_DETERMINANT = 1e-4
# Largest distance of the optimum from the middle of the edge, edge lengths.
_MAX_OPTIMUM_DISTANCE = 2.0
# Faces. A larger surface is first reduced to half of this, or to four times the
# budget, by the compiled collapse, which is faster but less accurate.
_COMPILED_FACES = 40_000
# fast_simplification keeps its state in global variables.
_COMPILED_LOCK = threading.Lock()


def decimate(
  vertices: np.ndarray, faces: np.ndarray, *, face_budget: int
) -> tuple[np.ndarray, np.ndarray]:
  """Simplifies a surface to at most a number of faces.

  Collapses that fold the surface are used only if no others are left.

  Args:
    vertices: float64 [V, 3] in the unit ball. The result stays in it.
    faces: int64 [F, 3], welded, each with an area.
    face_budget: largest number of faces, at least 4.

  Returns:
    vertices float64 [V', 3], faces int64 [F', 3]. F' is at most face_budget,
    unless the last collapse would leave no face.
  """
  if len(faces) <= face_budget:
    return vertices, faces
  coarse = max(_COMPILED_FACES // 2, 4 * face_budget)
  if len(faces) > 2 * coarse:
    vertices, faces = _collapse_compiled(vertices, faces, coarse)
  vertices, faces = _collapse(vertices, faces, face_budget)
  # The optimum at a convex corner can lie outside the ball.
  length = np.linalg.norm(vertices, axis=1, keepdims=True)
  vertices = vertices / length.clip(1.0)
  kept = drop_degenerate_faces(vertices, faces)
  return compact(vertices, kept if len(kept) else faces)


def _collapse(
  vertices: np.ndarray, faces: np.ndarray, face_budget: int
) -> tuple[np.ndarray, np.ndarray]:
  """Runs rounds of collapses until the budget is met."""
  count = len(vertices)
  quadrics = _quadrics(vertices, faces)
  blocked = np.zeros(0, np.int64)  # edges whose collapse folds a face
  collapsed = 0  # since the blocked edges were last retried
  while len(faces) > face_budget:
    keys = np.sort(edge_keys(faces, count))
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    free = keys[~np.isin(keys, blocked)] if len(blocked) else keys
    may_fold = False
    if len(free) < _MIN_UNBLOCKED_SHARE * len(keys):
      may_fold = collapsed < _MIN_PROGRESS_SHARE * len(keys)
      free, blocked, collapsed = keys, blocked[:0], 0
    first, second = free // count, free % count
    cost, points = _costs(vertices, quadrics, first, second)
    chosen = _cheapest_apart(cost, first, second, count)
    chosen = chosen[: (len(faces) - face_budget + 1) // 2]
    while True:  # removing a fold can make the collapse beside it fold
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
    if not len(left):  # the round would remove the last face
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
  """Moves the vertices `keep` to `target` and replaces `gone` by them."""
  vertices = vertices.copy()
  vertices[keep] = target
  renamed = np.arange(len(vertices))
  renamed[gone] = keep
  return vertices, renamed[faces]


def _intact(faces: np.ndarray) -> np.ndarray:
  """Returns the faces with three different vertices, without duplicates."""
  a, b, c = faces.T
  faces = faces[(a != b) & (b != c) & (c != a)]
  a, b, c = np.sort(faces, axis=1).astype(np.uint64).T
  codes = np.sort((a * MIX + b) * MIX + c)  # the overflow wraps, as in a hash
  if (codes[1:] != codes[:-1]).all():  # nearly always; the sort is cheap
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
  """Returns bool for each collapse: a face beside it flips or degenerates."""
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
  turned = _dot(old, new) <= _MIN_NORMAL_COSINE * np.sqrt(
    _dot(old, old) * square
  )
  turned |= square <= _MIN_SQUARED_SINE * _dot(one, one) * _dot(two, two)
  hit = np.zeros(len(vertices), bool)
  hit[faces[alive][turned]] = True
  return hit[keep] | hit[gone]


def _cheapest_apart(
  cost: np.ndarray, first: np.ndarray, second: np.ndarray, count: int
) -> np.ndarray:
  """Returns the edges that are cheapest at both ends, by ascending cost."""
  # Linear hash modulo a prime: the same for every run and platform.
  blur = (first * 40503 + second * 30011) % 65521 / 65521
  cost = cost * (1 + _TIE_BREAK * blur)
  wanted = min(len(cost), max(16, int(_MAX_ROUND_SHARE * len(cost))))
  limit = np.partition(cost, wanted - 1)[wanted - 1]
  cheap = np.flatnonzero(cost <= limit)
  order = cheap[np.argsort(cost[cheap], kind="stable")[:wanted]]
  one, two = first[order], second[order]
  rank = np.arange(len(order))
  best = np.full(count, len(order))
  best[one[::-1]] = rank[::-1]  # the last assignment wins: the lowest rank
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
  """Returns the cost [E] of each edge and its target point [E, 3]."""
  total = quadrics[:, first] + quadrics[:, second]
  one, two = vertices[first].T, vertices[second].T
  square = ((one - two) ** 2).sum(axis=0)
  middle = _optimum(total, (one + two) / 2, square)
  candidates = np.stack([one, two, middle])
  errors = np.stack([_errors(total, point) for point in candidates])
  best = errors.argmin(axis=0)
  index = np.arange(len(best))
  # Rounding can make an error of zero slightly negative.
  cost = np.abs(errors[best, index]) + _LENGTH_COST * square
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
  """Returns the minimum of quadrics, [3, n].

  The middle of the edge replaces a minimum that is far away or ill-conditioned.
  """
  a, b, c, x, d, e, y, f, z, _ = quadrics
  A, B, C = d * f - e * e, c * e - b * f, b * e - c * d
  D, E, F = a * f - c * c, b * c - a * e, a * d - b * b
  determinant = a * A + b * B + c * C
  clear = determinant > _MIN_DETERMINANT * ((a + d + f) / 3) ** 3
  scale = -1 / np.where(clear, determinant, 1.0)
  point = np.stack(
    [A * x + B * y + C * z, B * x + D * y + E * z, C * x + E * y + F * z]
  )
  point *= scale
  clear &= ((point - middle) ** 2).sum(axis=0) < (
    _MAX_OPTIMUM_DISTANCE**2 * square
  )
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
  """Reduces a large surface to about `face_count` faces by a C++ library.

  fast_simplification does not protect boundary edges. A temporary triangle,
  perpendicular to the surface on each boundary edge, keeps them in place.
  """
  import fast_simplification

  rim = open_half_edges(faces, len(vertices))
  tail, head = half_edges(faces)
  tail, head = tail[rim], head[rim]
  normal = normalize(cross_products(vertices, faces[rim // 3]))
  # The apex of each temporary triangle, half a radius above the boundary.
  tips = (vertices[tail] + vertices[head]) / 2 + 0.5 * normal
  number = len(vertices) + np.arange(len(tips))
  with_guards = np.concatenate([faces, np.stack([head, tail, number], axis=1)])
  points = np.concatenate([vertices, tips])
  with _COMPILED_LOCK:
    points, triangles = fast_simplification.simplify(
      points, with_guards.astype(np.int32), target_count=face_count
    )
  is_tip = np.isin(_codes(points), _codes(tips))
  triangles = triangles[~is_tip[triangles].any(axis=1)].astype(np.int64)
  triangles = _intact(triangles)
  if not len(triangles):
    return vertices, faces
  return compact(np.asarray(points, np.float64), triangles)


def _codes(points: np.ndarray) -> np.ndarray:
  """Returns one opaque value for each row [n, 3], equal for equal rows."""
  points = np.ascontiguousarray(points, np.float64)
  return points.view(np.dtype((np.void, 24))).reshape(-1)
