"""How near the surfaces of models come to a query, as part of their score.

Vectors tell which models look like the query. Registration tells which of
several similar models it is. So the most similar models are registered to the
query, and a near surface raises a model's score, its label's margin and its
label's rejection score.

The constants were chosen on held-out parts, generated families and standard
parts, none of them of an evaluation: there the very part of a scan comes first
nearly as often as by distance alone, and the first model has the right label as
often as by similarity alone. They suit the vectors of the default pipeline; see
`DEFAULT_WEIGHT` for others. Not in the patent.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dr3d.registration.relation import FAR, NEAR
from dr3d.search.candidate import DECIMALS

if TYPE_CHECKING:
  from dr3d.registration.surface import Fit

COMPARED_COUNT = 48
"""Candidates whose points are compared with those of a query: 1.3 ms each."""

DEFAULT_WEIGHT = 1.0
"""How much surfaces count in a ranking beside vectors of the default pipeline.

The more the vectors of another pipeline know, the less surfaces can add: what
they add to its scores is multiplied by a weight of its own, which it keeps
beside its configuration. The evidence for a label is the same for all.
"""

_WEIGHT = 0.3  # of the logarithm, in cosines
_NOISE = 0.001  # radii: surfaces nearer than that are equally near
# What ranks models of which none is near: cosines for each e-fold of a
# distance, and distances below which differences tell nothing.
_SAMPLE_WEIGHT, _SAMPLE_NOISE = 0.8, 0.0
_TRIMMED_WEIGHT, _TRIMMED_NOISE = 0.4, 0.01
_SIDE_TOLERANCE = 0.02  # share by which the sides of one shape may differ


def is_same(fit: "Fit") -> bool:
  """Whether two shapes are one at any size, mirrored if the fit is."""
  return fit.mean <= NEAR and fit.far <= FAR and fit.sides <= _SIDE_TOLERANCE


def score_distance(distance: npt.ArrayLike) -> np.ndarray:
  """The geometric score of surfaces at a distance.

  Args:
    distance: mean, in radii of the smallest enclosing sphere, of any shape.

  Returns:
    `0.3 log(1 + (0.005 / (d + 0.001))²)`, of that shape, to be added to a
    cosine: 0.98 at no distance, 0.16 at `NEAR`, 0.02 at 0.02.
  """
  rounded = np.round(np.asarray(distance, np.float64), DECIMALS)
  return _WEIGHT * np.log1p((NEAR / (rounded + _NOISE)) ** 2)


def find_distance(geometric: npt.ArrayLike) -> np.ndarray:
  """The distance that a geometric score stands for; see `score_distance`.

  Args:
    geometric: of any shape.

  Returns:
    Radii, of that shape; `inf` for a score of 0.
  """
  with np.errstate(divide="ignore"):
    ratio = NEAR / np.sqrt(np.expm1(np.asarray(geometric) / _WEIGHT))
  return np.round(ratio - _NOISE, DECIMALS)


def rank_samples(distance: npt.ArrayLike) -> np.ndarray:
  """What compared points add to the scores that rank models.

  A scan differs from its model by more than `score_distance` bears. What counts
  then is how much nearer one model comes than others do.

  Args:
    distance: [C], see `coarse.compare_samples`; NaN for models that were not
      compared.

  Returns:
    `0.8 log(D / d)`, [C], D being the largest distance; 0 for models that were
    not compared.
  """
  return _rank_distances(distance, _SAMPLE_WEIGHT, _SAMPLE_NOISE)


def rank_surfaces(distance: npt.ArrayLike) -> np.ndarray:
  """What registered surfaces add to the scores that rank models.

  Args:
    distance: [C], see `robust.measure_trimmed`; NaN for models that were not
      registered.

  Returns:
    `0.4 log((D + 0.01) / (d + 0.01))`, [C], likewise.
  """
  return _rank_distances(distance, _TRIMMED_WEIGHT, _TRIMMED_NOISE)


def _rank_distances(
  distance: npt.ArrayLike, weight: float, noise: float
) -> np.ndarray:
  distance = np.round(np.asarray(distance, np.float64), DECIMALS)
  known = np.isfinite(distance)
  if not known.any():
    return np.zeros(distance.shape)
  near = np.where(known, distance, 1.0) + noise
  ratio = near.max(where=known, initial=0.0) / near.clip(_NOISE)
  return np.where(known, weight * np.log(ratio.clip(1.0)), 0.0)


def add_geometric_score(score: np.ndarray, geometric: np.ndarray) -> np.ndarray:
  """What ranks models: their score plus their geometric score.

  Args:
    score: [C] of models.
    geometric: [C], 0 or more; 0 for models that were not registered.
  """
  return np.round(score + geometric, DECIMALS)


def compare_labels(
  geometric: np.ndarray, labels: np.ndarray, label: str
) -> float:
  """How much nearer a label's best model comes than that of any other label.

  Args:
    geometric: [C] of models.
    labels: str [C] of these.
    label: one of these.

  Returns:
    A difference of geometric scores, below 0 if another label comes nearer.
  """
  own = geometric[labels == label].max(initial=0.0)
  others = geometric[labels != label].max(initial=0.0)
  return round(float(own - others), DECIMALS)
