"""The medium with only the object lit, and a heat map as a picture.

`H W` pixels.

References:
  US 2018/0260664 [0037, 0050-0051].
"""

from collections.abc import Sequence

import cv2
import numpy as np

from dr3d.locate.instance import Instance

MARGIN = 0.01  # of the longer side: pixels near the object stay lit
DIM = 0.25  # of the light of all others
COLOR = (255, 170, 0)  # of outlines and boxes
THICKNESS = 0.004  # of the longer side


def highlight(medium: np.ndarray, instances: Sequence[Instance]) -> np.ndarray:
  """Shows the pixels of, and near, all instances, and dims the others.

  Args:
    medium: uint8 `[H, W, 3]`.
    instances: that were found; none dims the whole picture.

  Returns:
    uint8 `[H, W, 3]`.
  """
  grey = medium.mean(axis=-1, keepdims=True)
  result = np.rint(DIM * (0.5 * medium + 0.5 * grey)).astype(np.uint8)
  longest = max(medium.shape[:2])
  margin = 2 * max(1, round(MARGIN * longest)) + 1
  ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin))
  width = max(1, round(THICKNESS * longest))
  for instance in instances:
    near = cv2.dilate(instance.mask.astype(np.uint8), ball)
    result[near > 0] = medium[near > 0]
  for instance in instances:
    lines, _ = cv2.findContours(
      instance.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(result, lines, -1, COLOR, width)
  return result


def draw_boxes(
  picture: np.ndarray, instances: Sequence[Instance]
) -> np.ndarray:
  """Draws the box and the score of each instance on a picture."""
  result = picture.copy()
  width = max(1, round(THICKNESS * max(picture.shape[:2])))
  size = max(0.35, max(picture.shape[:2]) / 1600)
  for instance in instances:
    x, y, w, h = instance.box
    cv2.rectangle(result, (x, y), (x + w - 1, y + h - 1), COLOR, width)
    at = (x, max(12, y - 2 * width))
    text = f"{instance.score:.2f}"
    cv2.putText(
      result,
      text,
      at,
      cv2.FONT_HERSHEY_SIMPLEX,
      size,
      COLOR,
      width,
      cv2.LINE_AA,
    )
  return result


def draw_heat(medium: np.ndarray, heat: np.ndarray) -> np.ndarray:
  """A heat map over the grey medium: uint8 `[H, W, 3]`.

  Args:
    medium: uint8 `[H, W, 3]`.
    heat: float32 `[H, W]` in [0, 1].
  """
  levels = np.rint(255 * heat).astype(np.uint8)
  colors = cv2.cvtColor(
    cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
  )
  grey = np.repeat(medium.mean(axis=-1, keepdims=True), 3, axis=-1)
  return np.rint(0.35 * grey + 0.65 * colors).clip(0, 255).astype(np.uint8)
