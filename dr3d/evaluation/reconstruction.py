"""Measures of a reconstructed shape against the true one.

Occupancy is compared at the centres of a grid's voxels, whose number the caller
states; a value above the threshold is inside. Surfaces are compared by points.

References:
  Z. Chen and H. Zhang, Learning implicit fields for generative shape modeling
  (CVPR 2019), section 4: the measures of single-view reconstruction.
"""

import dataclasses

import numpy as np
import scipy.spatial

THRESHOLD = 0.5  # occupancy above it is inside


@dataclasses.dataclass(frozen=True)
class OccupancyScore:
  """How well occupied voxels agree, each in [0, 1].

  Attributes:
    squared_error: mean over all voxels.
    precision: TP / (TP + FP); 1 if nothing is predicted inside.
    recall: TP / (TP + FN); 1 if nothing is inside.
    f1: harmonic mean of the two.
    iou: TP / (TP + FP + FN); 1 if nothing is inside of either.
  """

  squared_error: float
  precision: float
  recall: float
  f1: float
  iou: float


@dataclasses.dataclass(frozen=True)
class SurfaceScore:
  """How far two surfaces lie apart.

  Attributes:
    chamfer: mean squared distance to the nearest point of the other surface,
      summed over both directions, in squared units of the points.
    normal: mean of 1 - ⟨n, m⟩ of the normals of the same pairs, mean over both
      directions; for surfaces with the same orientation.
    normal_unsigned: the same with |⟨n, m⟩|, for surfaces without.
  """

  chamfer: float
  normal: float
  normal_unsigned: float


def score_occupancy(
  predicted: np.ndarray, true: np.ndarray, *, threshold: float = THRESHOLD
) -> OccupancyScore:
  """Compares occupancies of the same shape.

  Args:
    predicted: bool, or float in [0, 1].
    true: bool, or 0 and 1.
    threshold: of the predicted values.

  Raises:
    ValueError: the shapes differ.
  """
  if predicted.shape != true.shape:
    raise ValueError(
      f"occupancies must have one shape, not {predicted.shape} and"
      f" {true.shape}."
    )
  inside, solid = predicted > threshold, true > THRESHOLD
  both = int(np.count_nonzero(inside & solid))
  found, real = int(np.count_nonzero(inside)), int(np.count_nonzero(solid))
  error = np.float64(predicted) - np.float64(true)
  return OccupancyScore(
    squared_error=float(np.mean(error**2)),
    precision=_share(both, found),
    recall=_share(both, real),
    f1=_share(2 * both, found + real),
    iou=_share(both, found + real - both),
  )


def score_surface(
  points: np.ndarray,
  normals: np.ndarray,
  other_points: np.ndarray,
  other_normals: np.ndarray,
) -> SurfaceScore:
  """Compares points of two surfaces, with unit normals.

  Args:
    points: float [P, 3].
    normals: float [P, 3].
    other_points: float [Q, 3].
    other_normals: float [Q, 3].

  Raises:
    ValueError: a surface has no points.
  """
  _check_points(points, other_points)
  far, there = scipy.spatial.cKDTree(other_points).query(points)
  back, here = scipy.spatial.cKDTree(points).query(other_points)
  cosine = (normals * other_normals[there]).sum(axis=1)
  other_cosine = (other_normals * normals[here]).sum(axis=1)
  signed = [np.mean(1 - c) for c in (cosine, other_cosine)]
  unsigned = [np.mean(1 - np.abs(c)) for c in (cosine, other_cosine)]
  return SurfaceScore(
    chamfer=float(np.mean(far**2) + np.mean(back**2)),
    normal=float(np.mean(signed)),
    normal_unsigned=float(np.mean(unsigned)),
  )


def chamfer_distance(points: np.ndarray, others: np.ndarray) -> float:
  """Returns the Chamfer distance of points [P, 3] and [Q, 3], see above."""
  _check_points(points, others)
  far, _ = scipy.spatial.cKDTree(others).query(points)
  back, _ = scipy.spatial.cKDTree(points).query(others)
  return float(np.mean(far**2) + np.mean(back**2))


def light_field_distance(fields: np.ndarray, others: np.ndarray) -> np.ndarray:
  """Returns the distances of light fields of Q models and B others, [Q, B].

  The smallest over 10 × 10 light fields and 60 rotations of the summed L1
  distance. Its size depends on images, moments and weights, so compare it
  within this implementation only, see `dr3d.descriptor.lightfield`.

  Args:
    fields: float32 [Q, 10, 10, 45] from `lightfield.describe`.
    others: float32 [B, 10, 10, 45].
  """
  from dr3d.descriptor import lightfield  # imports jax

  return lightfield.compare(fields, others).min(axis=1)


def _share(part: int, whole: int) -> float:
  return part / whole if whole else 1.0


def _check_points(points: np.ndarray, others: np.ndarray) -> None:
  if not (len(points) and len(others)):
    raise ValueError("both surfaces need points to be compared.")
