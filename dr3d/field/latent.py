"""The table of codes as a distribution: samples and walks."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dr3d.error import FieldError


@dataclasses.dataclass(frozen=True, eq=False)
class Latents:
  """A Gaussian along the principal axes of a table.

  Attributes:
    mean: float `[Z]`.
    axes: float `[A, Z]` unit rows, A at most Z and less than O.
    deviation: float `[A]` standard deviations, descending.
  """

  mean: np.ndarray
  axes: np.ndarray
  deviation: np.ndarray

  def draw(
    self, count: int, *, truncation: float = 1.0, seed: int = 0
  ) -> np.ndarray:
    """Draws codes [0173].

    Args:
      count: of codes.
      truncation: factor of the distance from the mean: below 1 the samples are
        better and less diverse, at 0 all are the mean.
      seed: of the draw.

    Returns:
      float32 `[count, Z]`.

    Raises:
      ValueError: a number is out of range.
    """
    if count < 1 or truncation < 0:
      raise ValueError(
        "count must be at least 1 and truncation not negative, got"
        f" {count} and {truncation}."
      )
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(count, len(self.deviation))) * self.deviation
    codes = self.mean + truncation * steps @ self.axes
    return codes.astype(np.float32)


def fit_latents(codes: np.ndarray) -> Latents:
  """Fits a Gaussian to a table by its principal axes [0173].

  Args:
    codes: `[O, Z]`, O at least 2.

  Raises:
    FieldError: a single code has no spread.
  """
  if len(codes) < 2:
    raise FieldError("samples need a field of two objects or more.")
  mean = codes.mean(axis=0)
  _, values, axes = np.linalg.svd(codes - mean, full_matrices=False)
  return Latents(mean, axes, values / np.sqrt(len(codes) - 1))


def walk(codes: Sequence[np.ndarray] | np.ndarray, *, count: int) -> np.ndarray:
  """Returns codes on the straight lines through others [0059, 0127].

  Args:
    codes: `[A, Z]` to pass, A at least 2.
    count: of codes in all, at least A.

  Returns:
    float32 `[count, Z]`, the first and the last as given.
  """
  codes = np.asarray(codes)
  if len(codes) < 2 or count < len(codes):
    raise ValueError(
      f"a walk needs two codes or more and as many steps, got {len(codes)} and"
      f" {count}."
    )
  place = np.linspace(0, len(codes) - 1, count)
  first = np.minimum(np.int64(place), len(codes) - 2)
  share = (place - first)[:, None]
  result = (1 - share) * codes[first] + share * codes[first + 1]
  return result.astype(np.float32)
