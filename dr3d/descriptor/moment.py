"""Zernike moments of silhouettes, which describe the region inside.

Notation: I images, H rows and columns.

Source: A. Khotanzad, Y. H. Hong, Invariant image recognition by Zernike
moments (PAMI 1990).
"""

import functools
import math

import numpy as np

ORDER = 10  # as in Chen et al. (2003), see `lightfield`
COUNT = 35  # moments up to that order without the first, which is the area


def zernike_moments(images: np.ndarray) -> np.ndarray:
  """Returns the magnitudes of Zernike moments, invariant to rotation.

  The unit disc is that of the image, so position and size of a shape count.
  Both come from the model's enclosing sphere and separate long models from
  round ones. With the disc fitted to each shape, the light field descriptor
  finds fewer nearest neighbours.

  Args:
    images: bool [I, H, H].

  Returns:
    float32 [I, 35], for orders n = 1 to 10 and repetitions m = n, n - 2, ... ≥
    0, relative to the area of the disc.
  """
  size = images.shape[1]
  flat = images.reshape(len(images), -1).astype(np.float32)
  products = flat @ _basis(size)
  return np.hypot(products[:, :COUNT], products[:, COUNT:])


@functools.cache
def _basis(size: int) -> np.ndarray:
  """Returns the 35 polynomials, real then imaginary, float32 [H·H, 70]."""
  grid = (np.arange(size) + 0.5) / size * 2 - 1
  y, x = np.meshgrid(grid, grid, indexing="ij")
  radius, angle = np.hypot(x, y), np.arctan2(y, x)
  inside = radius <= 1
  real, imaginary = [], []
  for n in range(1, ORDER + 1):
    for m in range(n, -1, -2):
      polynomial = inside * _radial(radius, n=n, m=m)
      polynomial *= (n + 1) / inside.sum()
      real.append(polynomial * np.cos(m * angle))
      imaginary.append(polynomial * np.sin(m * angle))
  stacked = np.stack(real + imaginary, axis=-1)
  return stacked.reshape(size * size, -1).astype(np.float32)


def _radial(radius: np.ndarray, *, n: int, m: int) -> np.ndarray:
  """Returns Zernike's radial polynomial R_nm."""
  total = np.zeros_like(radius)
  for s in range((n - m) // 2 + 1):
    weight = (-1) ** s * math.factorial(n - s)
    weight //= (
      math.factorial(s)
      * math.factorial((n + m) // 2 - s)
      * math.factorial((n - m) // 2 - s)
    )
    total += weight * radius ** (n - 2 * s)
  return total
