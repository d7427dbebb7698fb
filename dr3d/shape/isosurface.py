"""Surfaces of a function by marching cubes, sampled near the surface only."""

from collections.abc import Callable

import numpy as np
import scipy.ndimage

from dr3d.error import Dr3dError, MeshError

# Of the grid that is sampled completely. Parts thinner than two of its steps
# that touch nothing else can be missed.
BASE = 32

Field = Callable[[np.ndarray], np.ndarray]
"""Points float32 [P, 3] to values [P], positive inside."""


def sample_dense(field: Field, *, resolution: int) -> np.ndarray:
  """Returns the values at the centres of all voxels, float32 [R, R, R]."""
  grid = np.ones((resolution,) * 3, bool)
  values = field(_place(np.argwhere(grid), resolution))
  return values.reshape(grid.shape).astype(np.float32)


def sample_refined(
  field: Field, *, resolution: int, base: int = BASE
) -> np.ndarray:
  """Returns values as `sample_dense`, exact only near the surface.

  Samples a coarse grid, then one of twice the resolution wherever the 3³ cells
  around hold both signs, and so on. If fine samples show surface that the
  coarse ones did not, the search spreads along it. Elsewhere a value is that of
  a coarse sample of the same sign, so marching cubes finds the same surface.

  Args:
    field: the function.
    resolution: R, a power of 2 times `base`, or less than `base`.
    base: resolution of the first grid.

  Raises:
    ValueError: the resolution is not a power of 2 times `base`.
  """
  if resolution <= base:
    return sample_dense(field, resolution=resolution)
  stride, rest = divmod(resolution, base)
  if rest or stride & (stride - 1):
    raise ValueError(
      f"resolution must be {base} times a power of 2, not {resolution}."
    )
  index = stride * np.argwhere(np.ones((base,) * 3, bool))
  values = field(_place(index, resolution)).reshape((base,) * 3)
  values = values.astype(np.float32)
  while stride > 1:
    stride //= 2
    values = _refine(field, values, stride, resolution)
  return values


def find_surface(
  values: np.ndarray, *, level: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the surface by marching cubes (Lewiner), closed at the border.

  Args:
    values: float [R, R, R] at the centres of voxels, greater inside.
    level: value of the surface.

  Returns:
    Vertices float64 [V, 3] in the cube [-1, 1]³ and faces int64 [F, 3], whose
    normals point outwards.

  Raises:
    MeshError: no value is above the level, so there is no surface.
    Dr3dError: scikit-image is missing.
  """
  try:
    from skimage.measure import marching_cubes
  except ImportError as error:
    raise Dr3dError(
      "surfaces of shapes need scikit-image: pip install 'dr3d[shape]'."
    ) from error
  if not values.max() > level:
    raise MeshError("the shape is empty: no point of the grid is inside.")
  # A value outside all around, so that what leaves the grid is closed.
  low = min(float(values.min()), 2 * level - float(values.max()))
  padded = np.pad(values, 1, constant_values=low)
  vertices, faces, _, _ = marching_cubes(
    padded, level, gradient_direction="ascent"
  )
  position = (vertices.astype(np.float64) - 0.5) / len(values) * 2 - 1
  return position, faces.astype(np.int64)


def _refine(
  field: Field, coarse: np.ndarray, stride: int, resolution: int
) -> np.ndarray:
  """Returns values at twice the resolution, sampled near the surface."""
  values = _double(coarse)
  known = np.zeros(values.shape, bool)
  known[::2, ::2, ::2] = True
  while True:
    missing = _double(_find_mixed(values > 0)) & ~known
    if not missing.any():
      return values
    index = stride * np.argwhere(missing)
    values[missing] = field(_place(index, resolution))
    known |= missing


def _find_mixed(inside: np.ndarray) -> np.ndarray:
  """Whether the 3³ cells around a cell of 2³ samples hold both signs."""
  n = len(inside) // 2
  cells = inside.reshape(n, 2, n, 2, n, 2)
  some, every = cells.any((1, 3, 5)), cells.all((1, 3, 5))
  some = scipy.ndimage.maximum_filter(some, 3, mode="nearest")
  every = scipy.ndimage.minimum_filter(every, 3, mode="nearest")
  return some & ~every


def _double(values: np.ndarray) -> np.ndarray:
  return values.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def _place(index: np.ndarray, resolution: int) -> np.ndarray:
  return ((index + 0.5) / resolution * 2 - 1).astype(np.float32)
