"""A picture of an expanded set, to look at before anything learns from it."""

import cv2
import numpy as np

from dr3d.locate.dataset import ExpandedSet, list_queries
from dr3d.locate.query import frame_cutout

COLOR = (255, 60, 60)  # of the outline of the target


def draw_sheet(data: ExpandedSet, *, count: int, columns: int) -> np.ndarray:
  """Draws scenes, each beside its query; the target is outlined.

  Args:
    data: with scenes of one size.
    count: scenes.
    columns: scenes of a row.

  Returns:
    uint8 `[rows · H, columns · (H + W), 3]`.
  """
  tiles = []
  for record in data.scenes[:count]:
    pixels, mask = data.read_scene(record)
    scene = pixels.copy()
    lines, _ = cv2.findContours(
      (mask > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(scene, lines, -1, COLOR, 1)
    query = frame_cutout(data.read_cutout(list_queries(data, record)[0].file))
    side = scene.shape[0]
    small = cv2.resize(query.image, (side, side), interpolation=cv2.INTER_AREA)
    tiles.append(
      np.concatenate([np.rint(255 * small).astype(np.uint8), scene], axis=1)
    )
  blank = np.full_like(tiles[0], 255)
  tiles += [blank] * (-len(tiles) % columns)
  rows = [
    np.concatenate(tiles[i : i + columns], axis=1)
    for i in range(0, len(tiles), columns)
  ]
  return np.concatenate(rows)
