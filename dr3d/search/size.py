"""True size as part of an answer: which models have the size of the query.

Shapes are compared at one size: in radii of the smallest enclosing sphere. The
radius itself is the size, so the two tell different things of a model. Of
models that look alike, as the flanges of one series, the size tells which one
it is.

A size takes part as far as its unit is known. The unit is stated if the file
names it, as STEP and 3MF files do, or if somebody gave it: for the file, or for
the database. Otherwise it is assumed, as for STL files, and the size counts
less. Not in the patent.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from dr3d.mesh.unit import UNITS

SizeMode = Literal["ignore", "prefer", "match"]
SIZE_MODES: tuple[SizeMode, ...] = get_args(SizeMode)
"""`ignore`: shape only; `prefer`: of models of about one shape, those of the
query's size come first; `match`: models of other sizes are not searched."""

Extent = tuple[float, float, float]

SPREAD = 0.03
"""Logarithm of the ratio of two sizes at which the preference is 0.61 of that
of equal sizes: a scan measures its size to some percent."""

# Cosines by which a model of the query's size is preferred, without and with a
# label: to all models, and moreover to those of the family of the best shape.
# Chosen on generated families (flanges, washers, nuts, tubes, angles), of whose
# simulated scans these find the very part in all cases, instead of in 58 %. If
# the part is missing, the first model has the right label as often as without.
_STATED = 0.05, 0.2
_ASSUMED = 0.02, 0.1
# Cosines by which an unlabelled model may score less than the best one and be
# taken for its family, 0.61 of the preference.
_FAMILY_SPREAD = 0.1

_DIGITS = 6  # of lengths in an answer: more than any scanner measures
_FACTORS = (25.4, 10.0, 100.0, 1000.0, 304.8)
_FACTOR_TOLERANCE = 0.05  # of a ratio, as a share of the factor
_PLAUSIBLE = 1.5  # a ratio of sizes that no wrong unit explains
_FAR = 0.02  # radii: a surface farther away is of another shape
_NEARLY = 1.5  # as far as the nearest one: about as likely to be the model


@dataclasses.dataclass(frozen=True)
class QuerySize:
  """The true size of a query, as it was read.

  Attributes:
    mode: how it took part in the ranking.
    unit: of the file; see `query.Query`.
    unit_stated: whether the file or the user states it.
    extent: along the principal axes, millimetres.
    box: as drawn: along the axes x, y and z of the file, millimetres.
    smallest_box: sides of the smallest box in any pose, descending.
  """

  mode: SizeMode
  unit: str
  unit_stated: bool
  extent: Extent
  box: Extent | None = None
  smallest_box: Extent | None = None


@dataclasses.dataclass(frozen=True)
class UnitQuestion:
  """A doubt whether the unit of the query is right.

  Attributes:
    factor: by which the query seems to be too small; below 1: too large.
    unit: that the file may be in; empty if no unit explains the factor.
    model: of the query's shape, whose size says so.
  """

  factor: float
  unit: str
  model: str


@dataclasses.dataclass(frozen=True, eq=False)
class SizeRating:
  """How nearly the models of a gallery have the size of a query.

  Only candidates are rated, as a gallery may hold millions.

  Attributes:
    sizes: of the models.
    radius: of the query, millimetres.
    is_stated: whether its unit is.
  """

  sizes: "Sizes"
  radius: float
  is_stated: bool

  def nearness(self, models: np.ndarray) -> np.ndarray:
    """How nearly models have the size: [C], 0 to 1; see `compare_sizes`."""
    return compare_sizes(self.radius, self.sizes.radius[models])

  def score(
    self, models: np.ndarray, labels: np.ndarray, shape: np.ndarray
  ) -> np.ndarray:
    """What the size adds to the scores of candidates.

    It counts most within the family of the model of the best shape: the models
    of its label, or if it has none, those that score nearly as high.

    Args:
      models: int [C], the candidates.
      labels: str [C] of these, empty if one has none.
      shape: [C], their scores.

    Returns:
      [C], at least 0.
    """
    if not len(models):
      return np.zeros(0)
    best = shape.argmax()
    if labels[best]:
      family = (labels == labels[best]).astype(np.float64)
    else:
      family = np.exp(-(((shape[best] - shape) / _FAMILY_SPREAD) ** 2) / 2)
    is_stated = self.sizes.is_stated[models] & self.is_stated
    weights = np.where(
      is_stated[:, None], np.array(_STATED), np.array(_ASSUMED)
    )
    return self.nearness(models) * (weights[:, 0] + weights[:, 1] * family)


@dataclasses.dataclass(frozen=True, eq=False)
class Sizes:
  """Sizes of the models of a gallery.

  Attributes:
    radius: [B], of the enclosing spheres, millimetres.
    is_stated: bool [B], whether their units are stated.
  """

  radius: np.ndarray
  is_stated: np.ndarray

  def rate(self, radius: float, *, is_stated: bool) -> SizeRating:
    """Rates the models against a query.

    Args:
      radius: of the query, millimetres.
      is_stated: whether its unit is.
    """
    return SizeRating(self, radius, is_stated)


def compare_sizes(one: npt.ArrayLike, two: npt.ArrayLike) -> np.ndarray:
  """How nearly sizes are equal: 1 if they are, 0.61 at 3 %, 0.004 at 10 %.

  Args:
    one: lengths above 0, of any shape.
    two: likewise.
  """
  ratio = np.log(np.asarray(one, np.float64) / np.asarray(two, np.float64))
  return np.exp(-((ratio / SPREAD) ** 2) / 2)


def find_unit_question(
  ratios: Mapping[str, float], distances: Mapping[str, float], unit: float
) -> UnitQuestion | None:
  """Asks whether the unit of a query is right.

  Args:
    ratios: sizes of models divided by that of the query, by name.
    distances: of the surfaces of registered models at one size, in radii.
    unit: of the query, millimetres.

  Returns:
    The question if models have the shape of the query, none of them about its
    size, and one is 10, 25.4, 100, 304.8 or 1000 times as large or as small.
  """
  limit = min(_NEARLY * min(distances.values(), default=math.inf), _FAR)
  near = sorted(
    (distance, name)
    for name, distance in distances.items()
    if distance <= limit and name in ratios
  )
  logs = {name: math.log(ratios[name]) for _, name in near}
  if any(abs(log) < math.log(_PLAUSIBLE) for log in logs.values()):
    return None
  found = [
    (abs(logs[name] - math.log(factor)), factor, name)
    for _, name in near
    for size in _FACTORS
    for factor in (size, 1 / size)
  ]
  gap, factor, name = min(found, default=(math.inf, 1.0, ""))
  if gap > math.log1p(_FACTOR_TOLERANCE):
    return None
  return UnitQuestion(round_length(factor), find_unit(unit * factor), name)


def find_unit(length: float) -> str:
  """The unit of a length in millimetres; empty if there is none."""
  for name, value in UNITS.items():
    if math.isclose(value, length, rel_tol=1e-6):
      return name
  return ""


def round_length(length: float) -> float:
  """Rounds a length to six significant digits."""
  return float(f"{length:.{_DIGITS}g}")


def round_extent(sides: Sequence[float] | np.ndarray | None) -> Extent | None:
  """Rounds three sides; None stays None."""
  if sides is None:
    return None
  a, b, c = (round_length(float(side)) for side in sides)
  return a, b, c
