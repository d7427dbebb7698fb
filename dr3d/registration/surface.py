"""How far two shapes are apart, whatever way they lie, as large or mirrored.

Both are brought into their principal pose at one size. What the principal axes
leave open, signs, axes of nearly equal moments, turns about an axis of
revolution, is tried out; the best try is refined by steps of the iterative
closest point method (P. Besl and N. McKay, A method for registration of 3-D
shapes, PAMI 1992). Distances are those of points of one surface, evenly spread,
to the triangles of the other.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import scipy.spatial

from dr3d.mesh import Mesh
from dr3d.mesh.surface import cross_products

_COARSE = 120  # points, for trying turns
_FINE = 600  # points, for what is measured
_NEAR = 6  # triangles, by their points, that are looked at for each point
_CLOSE = 0.15  # relative difference of moments whose axes may change places
_TURNS = 24  # about an axis whose other two have close moments
_TRIED = 3  # of the coarse tries that are refined
_STEPS = 6  # of refinement
_HOPELESS = 0.15  # distance from points to points that is not refined
_POOR = 0.06  # the same, after refinement; of one shape it is up to 0.04
_GOOD = 0.004  # a mean distance at which the mirror image is not asked for
_BETTER = 0.5  # share of the distance that makes a mirror image the better fit
_THIN = 0.05  # side, in radii, of which shorter ones are taken to be
_HIGH = 0.95  # share of the points, of the distance that is called far


@dataclasses.dataclass(frozen=True)
class Fit:
  """How well one shape covers another.

  Attributes:
    mean: distance of the surfaces, mean over both ways, in radii of the
      smallest enclosing sphere.
    far: the larger of both ways' 95th percentiles, in the same unit.
    mirrored: whether one of the shapes was mirrored.
    sides: of the boxes about both along the axes of one of them, by how much
      two sides differ, as a share of the longer one or of a twentieth of the
      radius; of the axis where that is most. `inf` where that is not measured,
      since the shapes are far apart. What is thin lies near to what is thinner.
    unmirrored: the mean where neither shape is mirrored; `inf` where the fit is
      mirrored and that was not measured.
  """

  mean: float
  far: float
  mirrored: bool
  sides: float = np.inf
  unmirrored: float = np.inf

  @property
  def plain(self) -> float:
    """The mean distance where neither shape is mirrored."""
    return self.unmirrored if self.mirrored else self.mean


@dataclasses.dataclass(frozen=True, eq=False)
class Pose:
  """How one shape is laid upon another: `p ↦ turn @ p + shift`.

  Attributes:
    turn: float64 [3, 3], from the principal pose of the one to that of the
      other; mirrored where the fit is.
    shift: float64 [3], radii of the smallest enclosing sphere.
    fit: how well it covers the other then.
  """

  turn: np.ndarray
  shift: np.ndarray
  fit: Fit


@dataclasses.dataclass(frozen=True, eq=False)
class Cloud:
  """A shape ready to be compared; see `make_cloud`.

  Attributes:
    corners: float64 [F, 3, 3], triangles in the principal pose.
    points: float64 [P, 3], evenly spread over them.
    marks: float64 [P + F, 3], the points and the middles of all triangles.
    owner: int [P + F], the triangle of each mark.
    tree: of the marks.
    moments: float64 [3], descending.
  """

  corners: np.ndarray
  points: np.ndarray
  marks: np.ndarray
  owner: np.ndarray
  tree: scipy.spatial.cKDTree
  moments: np.ndarray

  @functools.cached_property
  def asymmetry(self) -> float:
    """How far the shape lies from its own mirror image: a mean distance."""
    return find_pose(self, self, mirrored=True).fit.mean


def make_cloud(mesh: Mesh) -> Cloud:
  """Spreads points over a mesh in its principal pose."""
  frame = mesh.frame.astype(np.float64)
  corners = (mesh.vertices.astype(np.float64) @ frame.T)[mesh.faces]
  points, owner = _spread(corners, mesh)
  marks = np.concatenate([points, corners.mean(axis=1)])
  return Cloud(
    corners,
    points,
    marks,
    np.concatenate([owner, np.arange(len(corners))]),
    scipy.spatial.cKDTree(marks),
    mesh.moments.astype(np.float64),
  )


def compare(one: Cloud, two: Cloud) -> Fit:
  """Returns the best fit of two shapes at one size.

  A shape that is its own mirror image, or nearly, fits both ways; it is not
  called mirrored.

  Args:
    one: a shape; where several are compared with one, that one, of which then
      less has to be found out.
    two: another one.
  """
  plain = find_pose(one, two).fit
  if plain.mean <= _GOOD:
    return plain
  enough = min(_BETTER * plain.mean, plain.mean - _GOOD)
  # Mirrored it comes nearer by no more than it lies from its mirror image.
  if plain.mean - one.asymmetry >= enough:
    return plain
  mirror = find_pose(one, two, mirrored=True).fit
  if mirror.mean >= enough:
    return plain
  return dataclasses.replace(mirror, unmirrored=plain.mean)


def find_pose(
  one: Cloud,
  two: Cloud,
  *,
  mirrored: bool = False,
  turns: Sequence[np.ndarray] = (),
) -> Pose:
  """Returns how one shape, mirrored or not, is best laid upon another.

  Shapes that are far apart after the first steps are left at that: their
  distance is then that of the points, an upper bound.

  Args:
    one: a shape.
    two: another one.
    mirrored: whether the mirror image of one is laid upon two.
    turns: rotations [3, 3] of the principal pose of one that are tried beside
      those that the principal axes leave open.
  """
  tried = _candidates(one.moments, two.moments, mirrored=mirrored)
  if len(turns):
    tried = np.concatenate([tried, turns])
  sparse = one.points[:: max(1, len(one.points) // _COARSE)]
  error = _distances(two, np.einsum("tij,pj->tpi", tried, sparse))
  least = float(error.min())
  if least > _HOPELESS:
    fit = Fit(least, least, mirrored)
    return Pose(tried[int(error.argmin())], np.zeros(3), fit)
  moves = [
    _refine(one, two, tried[i], np.zeros(3), target=_nearest_point)
    for i in np.argsort(error, kind="stable")[:_TRIED]
  ]
  error = _distances(two, np.array([_move(sparse, *move) for move in moves]))
  least, move = float(error.min()), moves[int(error.argmin())]
  if least > _POOR:
    return Pose(*move, Fit(least, least, mirrored))
  move = _refine(one, two, *move, target=_nearest, steps=3)
  sides = _compare_sides(one, two, *move)
  return Pose(*move, Fit(*_measure(one, two, *move), mirrored, sides))


def _distances(cloud: Cloud, points: np.ndarray) -> np.ndarray:
  """Returns [T], mean distances of points [T, P, 3] to a shape's marks."""
  distance, _ = cloud.tree.query(points.reshape(-1, 3))
  return distance.reshape(len(points), -1).mean(axis=1)


def _move(
  points: np.ndarray, turn: np.ndarray, shift: np.ndarray
) -> np.ndarray:
  return points @ turn.T + shift


def _candidates(
  one: np.ndarray, two: np.ndarray, *, mirrored: bool
) -> np.ndarray:
  """Returns turns [T, 3, 3] that may bring one principal pose to the other."""
  turns = []
  for order in itertools.permutations(range(3)):
    apart = np.abs(one[list(order)] - two) > _CLOSE * np.maximum(one, two)[0]
    if order != (0, 1, 2) and apart.any():
      continue
    for signs in itertools.product((1, -1), repeat=3):
      turn = np.zeros((3, 3))
      turn[range(3), order] = signs
      if (np.linalg.det(turn) < 0) == mirrored:
        turns.append(turn)
  result = list(turns)
  for i, j in ((0, 1), (1, 2), (0, 2)):
    if abs(two[i] - two[j]) <= _CLOSE * two[i]:
      for angle in np.arange(1, _TURNS) * (2 * np.pi / _TURNS):
        spin = np.eye(3)
        spin[[i, j], [i, j]] = np.cos(angle)
        spin[i, j], spin[j, i] = -np.sin(angle), np.sin(angle)
        result += [spin @ turn for turn in turns]
  return np.array(result)


def _refine(
  one: Cloud,
  two: Cloud,
  turn: np.ndarray,
  shift: np.ndarray,
  *,
  target: Callable[[np.ndarray, Cloud], np.ndarray],
  steps: int = _STEPS,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns turn and shift that bring points of one nearer to two."""
  points = one.points[:: max(1, len(one.points) // (2 * _COARSE))]
  mirror = np.linalg.det(turn) < 0
  for _ in range(steps):
    aim = target(_move(points, turn, shift), two)
    center, goal = points.mean(axis=0), aim.mean(axis=0)
    u, _, v = np.linalg.svd((aim - goal).T @ (points - center))
    flip = np.ones(3)
    if (np.linalg.det(u @ v) < 0) != mirror:
      flip[2] = -1
    turn = (u * flip) @ v
    shift = goal - turn @ center
  return turn, shift


def _nearest_point(points: np.ndarray, cloud: Cloud) -> np.ndarray:
  return cloud.marks[cloud.tree.query(points)[1]]


def _measure(
  one: Cloud, two: Cloud, turn: np.ndarray, shift: np.ndarray
) -> tuple[float, float]:
  """Returns mean and far distance of one, moved, and two, both ways."""
  there = _move(one.points, turn, shift)
  back = (two.points - shift) @ turn
  distances = [
    np.linalg.norm(points - _nearest(points, cloud), axis=1)
    for points, cloud in ((there, two), (back, one))
  ]
  return (
    float(np.mean([distance.mean() for distance in distances])),
    float(max(np.quantile(distance, _HIGH) for distance in distances)),
  )


def _compare_sides(
  one: Cloud, two: Cloud, turn: np.ndarray, shift: np.ndarray
) -> float:
  """Returns the largest relative difference of sides of one, moved, and two."""
  first, second = (
    np.ptp(corners.reshape(-1, 3), axis=0)
    for corners in (_move(one.corners, turn, shift), two.corners)
  )
  longer = np.maximum(np.maximum(first, second), _THIN)
  return float((np.abs(first - second) / longer).max())


def _nearest(points: np.ndarray, cloud: Cloud) -> np.ndarray:
  """Returns [P, 3]: the nearest points of the triangles around the nearest."""
  _, near = cloud.tree.query(points, k=min(_NEAR, len(cloud.marks)))
  near = near.reshape(len(points), -1)
  corners = cloud.corners[cloud.owner[near]]
  found = closest_on_triangles(points[:, None, :], corners)
  distance = ((found - points[:, None, :]) ** 2).sum(axis=-1)
  return found[np.arange(len(points)), distance.argmin(axis=1)]


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
  """Returns the point of each triangle that is closest to a point.

  Either the foot of the perpendicular, where it lies inside, or the nearest of
  the closest points of the three sides. All four are rated by their weights of
  two sides, of which inner products tell the distance; only the best becomes a
  point.

  Args:
    points: float [..., 3].
    corners: float [..., 3, 3].

  Returns:
    float [..., 3].
  """
  start = corners[..., 0, :]
  one, two = corners[..., 1, :] - start, corners[..., 2, :] - start
  offset = points - start
  aa, ab, bb = _dot(one, one), _dot(one, two), _dot(two, two)
  pa, pb = _dot(offset, one), _dot(offset, two)
  square = aa * bb - ab * ab
  u, v = _divide(bb * pa - ab * pb, square), _divide(aa * pb - ab * pa, square)
  inside = (square > 0) & (u >= 0) & (v >= 0) & (u + v <= 1)
  on_one = _divide(pa, aa).clip(0, 1)
  on_two = _divide(pb, bb).clip(0, 1)
  across = _divide(aa - ab - pa + pb, aa - 2 * ab + bb).clip(0, 1)
  zero = np.zeros_like(across)
  u = np.stack([u, on_one, zero, 1 - across])
  v = np.stack([v, zero, on_two, across])
  # The square of the distance, less that of the offset.
  cost = u * (u * aa + 2 * (v * ab - pa)) + v * (v * bb - 2 * pb)
  cost[0, ~inside] = np.inf
  best = cost.argmin(axis=0)[None]
  u, v = (
    np.take_along_axis(each, best, axis=0)[0, ..., None] for each in (u, v)
  )
  return start + u * one + v * two


def _dot(one: np.ndarray, two: np.ndarray) -> np.ndarray:
  return np.einsum("...i,...i", one, two)


def _divide(number: np.ndarray, by: np.ndarray) -> np.ndarray:
  return number / np.where(by > 0, by, 1)


def _spread(corners: np.ndarray, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
  """Returns points [P, 3], as many an area, and the triangles they lie on."""
  area = np.linalg.norm(cross_products(mesh.vertices, mesh.faces), axis=1)
  edges = np.cumsum(area) / area.sum()
  # A sequence of low discrepancy in place of chance: Roberts' R₃.
  step = np.arange(1, _FINE + 1)[:, None] * 0.8191725134 ** np.arange(1, 4)
  u, v, w = (step % 1).T
  owner = np.searchsorted(edges, u).clip(0, len(area) - 1)
  fold = v + w > 1
  v, w = np.where(fold, 1 - v, v)[:, None], np.where(fold, 1 - w, w)[:, None]
  a, b, c = corners[owner].transpose(1, 0, 2)
  return a + v * (b - a) + w * (c - a), owner
