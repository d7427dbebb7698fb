"""Colours of an object: how alike those of a query and of a place are.

A network of few channels follows shapes better than exact colours. So the
presence decision also compares histograms.
"""

import cv2
import numpy as np
import scipy.ndimage

LIGHTNESS_BINS, COLOUR_BINS = 5, 9
COLOUR_RANGE = 72.0  # of a and b in Lab; stronger colours count as this
SMOOTHING = 0.6  # bins


def measure_palette(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Histogram of an object's colours: L, and a and b relative to it, in Lab.

  Args:
    image: float32 `[H, W, 3]` in [0, 1].
    mask: `[H, W]`, above one half on the object.

  Returns:
    float64 `[LIGHTNESS_BINS, COLOUR_BINS, COLOUR_BINS]` with the sum 1, or 0 if
    the mask is empty.
  """
  pixels = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2LAB)
  lab = np.asarray(pixels[mask > 0.5], np.float64)
  # Shadows scale all three, so a and b relative to lightness stay.
  lab[:, 1:] = lab[:, 1:] * 50 / (lab[:, :1] + 10)
  limit = 0.999 * COLOUR_RANGE
  lab = np.clip(lab, [0, -limit, -limit], [99.9, limit, limit])
  counts, _ = np.histogramdd(
    lab,
    bins=(LIGHTNESS_BINS, COLOUR_BINS, COLOUR_BINS),
    range=((0, 100), *[(-COLOUR_RANGE, COLOUR_RANGE)] * 2),
  )
  smooth = scipy.ndimage.gaussian_filter(counts, SMOOTHING, mode="nearest")
  return smooth / max(smooth.sum(), 1e-9)


def compare_palettes(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """How alike two palettes are.

  Returns:
    `[4]`: the overlap of the histograms (Bhattacharyya's coefficient, 0 to 1);
    that of a and b alone, which shadows leave; the share of the first one that
    is colourful; and that share times the second overlap, because grey queries,
    such as those of meshes, say nothing of colour.
  """
  whole = np.sqrt(one * other).sum()
  hue, other_hue = one.sum(0), other.sum(0)
  chroma = np.sqrt(hue * other_hue).sum()
  middle = COLOUR_BINS // 2
  near = slice(middle - 1, middle + 2)
  colourful = hue.sum() - hue[near, near].sum()
  return np.array([whole, chroma, colourful, colourful * chroma])
