"""Voxels to points with values, of which most are near the surface.

References:
  IM-NET, appendix B: sampling of points.
"""

import numpy as np
import scipy.ndimage

EDGE_WINDOW = 7  # voxels; a voxel is an edge if its 7³ neighbours differ
BUDGETS = {16: 16**3, 32: 2 * 16**3, 64: 32**3, 128: 4 * 32**3}
"""Points of a shape by the resolution of its voxels."""


def find_edges(voxels: np.ndarray) -> np.ndarray:
  """Returns bool [R, R, R]: whether a voxel's 7³ neighbours are not all equal.

  Neighbours outside of the grid do not count.
  """
  size = EDGE_WINDOW
  low = scipy.ndimage.minimum_filter(voxels, size, mode="nearest")
  high = scipy.ndimage.maximum_filter(voxels, size, mode="nearest")
  return low != high


def sample_voxels(
  voxels: np.ndarray, *, rng: np.random.Generator, budget: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Chooses voxels to learn from, edges first.

  All edges are taken if they fit. Otherwise one of each block of 2³ with an
  edge is taken, a full one if there is one. If those do not fit either, the
  voxels are chosen at random. What room is left is filled with others at
  random.

  Args:
    voxels: bool [R, R, R].
    rng: makes the random choices.
    budget: P; that of `BUDGETS` if None.

  Returns:
    Indices uint8 [P, 3] and values bool [P], without repetitions.

  Raises:
    ValueError: the resolution has no budget, or the budget is more than R³.
  """
  resolution = len(voxels)
  if budget is None:
    if resolution not in BUDGETS:
      raise ValueError(
        f"{resolution} voxels have no budget; give one, or one of"
        f" {tuple(BUDGETS)} voxels."
      )
    budget = BUDGETS[resolution]
  if budget > voxels.size:
    raise ValueError(f"{voxels.size} voxels are fewer than {budget} points.")
  chosen = np.flatnonzero(find_edges(voxels))
  if len(chosen) > budget:
    chosen = _thin(voxels, chosen)
  if len(chosen) > budget:
    chosen = chosen[:0]
  rest = np.setdiff1d(np.arange(voxels.size), chosen, assume_unique=True)
  more = rng.choice(rest, budget - len(chosen), replace=False)
  chosen = np.concatenate([chosen, more])
  index = np.stack(np.unravel_index(chosen, voxels.shape), axis=-1)
  return index.astype(np.uint8), voxels.reshape(-1)[chosen]


def place_points(index: np.ndarray, *, resolution: int) -> np.ndarray:
  """Returns the centres, float32 [..., 3], of voxels by their indices."""
  return (index.astype(np.float32) + 0.5) * np.float32(2 / resolution) - 1


def _thin(voxels: np.ndarray, edges: np.ndarray) -> np.ndarray:
  """Returns one edge of each block of 2³, a full one if there is one."""
  x, y, z = np.unravel_index(edges, voxels.shape)
  half = (len(voxels) + 1) // 2
  block = ((x // 2) * half + y // 2) * half + z // 2
  order = np.lexsort((~voxels.reshape(-1)[edges], block))  # full first
  block = block[order]
  first = np.append(True, block[1:] != block[:-1])
  return edges[order][first]
