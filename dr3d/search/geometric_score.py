"""How close the surfaces of models come to a query, as a part of likeness.

Vectors tell which models look like the query; which of several near-alike ones
it is, is told by laying them upon it. So the models that are most alike are
laid upon it, and what comes close gains: in what ranks it, and its label in the
lead over the others and in how near the query comes to it.

The constants were chosen on held-out parts, families of solids and standard
parts, none of them of an evaluation: there the very part of a scan comes first
nearly as often as by distance alone, and the first model has the right label as
often as by likeness alone, which distance alone tells worse.

Not in the patent.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dr3d.registration.relation import FAR, NEAR
from dr3d.search.candidate import DECIMALS

if TYPE_CHECKING:
  from dr3d.registration.surface import Fit

_WEIGHT = 0.3  # in cosines
_LEAST = 0.001  # radii: nearer than so tells no more
_SIDES = 0.02  # share by which sides of one shape may differ


def is_same(fit: "Fit") -> bool:
  """Whether two shapes are one, of whatever size, mirrored where the fit is."""
  return fit.mean <= NEAR and fit.far <= FAR and fit.sides <= _SIDES


def score_distance(distance: npt.ArrayLike) -> np.ndarray:
  """How close surfaces are that lie so far apart.

  Args:
    distance: mean, in radii of the smallest enclosing sphere, of any shape.

  Returns:
    `0.3 log(1 + (0.005 / (d + 0.001))²)`, of that shape, to be added to a
    cosine: 0.98 at no distance, 0.16 at `NEAR`, 0.02 at 0.02.
  """
  rounded = np.round(np.asarray(distance, np.float64), DECIMALS)
  return _WEIGHT * np.log1p((NEAR / (rounded + _LEAST)) ** 2)


def find_distance(closeness: npt.ArrayLike) -> np.ndarray:
  """How far apart surfaces lie that are so close; see `score_distance`.

  Args:
    closeness: of any shape.

  Returns:
    Radii, of that shape; `inf` for a closeness of 0.
  """
  with np.errstate(divide="ignore"):
    ratio = NEAR / np.sqrt(np.expm1(np.asarray(closeness) / _WEIGHT))
  return np.round(ratio - _LEAST, DECIMALS)


def add_geometric_score(score: np.ndarray, closeness: np.ndarray) -> np.ndarray:
  """What ranks models: their score, and how close they come.

  What gains nothing stays behind what was ahead of it.

  Args:
    score: [C] of models.
    closeness: [C], 0 or more; 0 for those that were not laid upon the query.
  """
  return np.round(score + closeness, DECIMALS)


def measure_support(
  closeness: np.ndarray, labels: np.ndarray, label: str
) -> float:
  """By how much a label gains in lead and in nearness.

  Args:
    closeness: [C] of models.
    labels: str [C] of these.
    label: one of these.

  Returns:
    By how much closer the closest model with the label comes than the closest
    one without; below 0 where it comes less close.
  """
  own = closeness[labels == label].max(initial=0.0)
  others = closeness[labels != label].max(initial=0.0)
  return round(float(own - others), DECIMALS)
