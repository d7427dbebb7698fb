"""How a scan differs from the clean model of its object."""

import dataclasses

import numpy as np

from dr3d.mesh import Mesh
from dr3d.mesh.surface import half_edges, open_half_edges
from dr3d.registration.coarse import make_turns
from dr3d.registration.surface import (
  Cloud,
  find_pose,
  make_cloud,
  nearest_on_surface,
)

NEAR = 0.05  # radii: what is farther is missing or extra


@dataclasses.dataclass(frozen=True)
class ScanStatistic:
  """What a scan has lost and gained, after it was registered to its model.

  Attributes:
    size: radius of the enclosing sphere over that of the model.
    missing: share of the model's points that have no point of the scan within
      `NEAR`.
    extra: the reverse.
    rough: median distance of the other points, radii; NaN if there are none.
    rim: length of all boundaries, radii.
    debris: pieces that were dropped.
    tilt: angle between the principal axes of both, degrees, the nearest of the
      24 rotations that map axes to axes.
  """

  size: float
  missing: float
  extra: float
  rough: float
  rim: float
  debris: int
  tilt: float


COLUMNS = tuple(field.name for field in dataclasses.fields(ScanStatistic))
"""Of a table; `rough` is in thousandths there."""


def measure(scan: Mesh, clean: Mesh) -> ScanStatistic:
  """Measures how a scan differs from its model."""
  one, two = make_cloud(scan), make_cloud(clean)
  pose = find_pose(one, two)
  there = find_distances(one.points @ pose.turn.T + pose.shift, two)
  back = find_distances((two.points - pose.shift) @ pose.turn, one)
  near = there[there < NEAR]
  edges = open_half_edges(scan.faces, len(scan.vertices))
  tail, head = half_edges(scan.faces)
  ends = scan.vertices[tail[edges]] - scan.vertices[head[edges]]
  trace = np.einsum("tij,ij->t", make_turns(), pose.turn).max()
  return ScanStatistic(
    size=scan.radius / clean.radius,
    missing=float((back > NEAR).mean()),
    extra=float((there > NEAR).mean()),
    rough=float(np.median(near)) if len(near) else np.nan,
    rim=float(np.linalg.norm(ends, axis=1).sum()),
    debris=scan.debris,
    tilt=float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))),
  )


def format_statistic(statistic: ScanStatistic) -> list[str]:
  """The cells of `COLUMNS`."""
  return [
    f"{statistic.size:.2f}",
    f"{statistic.missing:.2f}",
    f"{statistic.extra:.2f}",
    f"{1000 * statistic.rough:.0f}",
    f"{statistic.rim:.1f}",
    f"{statistic.debris}",
    f"{statistic.tilt:.0f}",
  ]


def find_distances(points: np.ndarray, cloud: Cloud) -> np.ndarray:
  """Distances of points from a surface."""
  return np.linalg.norm(points - nearest_on_surface(points, cloud), axis=1)
