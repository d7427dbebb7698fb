"""Points spread evenly over a surface, the same in every run.

`P` points, `F` faces.
"""

import numpy as np

# Roberts' R₃, a low-discrepancy sequence. The base is 1/g with g⁴ = g + 1.
_BASE = 0.8191725134


def spread_points(
  corners: np.ndarray, area: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
  """Spreads points over triangles, as many for each as it has area.

  Args:
    corners: `[F, 3, 3]`.
    area: `[F]`, in any unit, not all 0.
    count: P.

  Returns:
    points `[P, 3]`, and the triangle of each, int `[P]`.
  """
  edges = np.cumsum(area) / area.sum()
  step = np.arange(1, count + 1)[:, None] * _BASE ** np.arange(1, 4)
  u, v, w = (step % 1).T
  owner = np.searchsorted(edges, u).clip(0, len(area) - 1)
  fold = v + w > 1
  v, w = np.where(fold, 1 - v, v)[:, None], np.where(fold, 1 - w, w)[:, None]
  a, b, c = corners[owner].transpose(1, 0, 2)
  return a + v * (b - a) + w * (c - a), owner
