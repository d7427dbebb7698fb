"""A small preview image of a mesh, drawn without jax.

For lists in the page and in reports. The images that are compared come from
`dr3d.render`.
"""

import io

import numpy as np
from PIL import Image, ImageDraw

from dr3d.mesh.mesh import Mesh

SIZE = 96  # pixels
_SUPERSAMPLING = 2  # the box filter of this factor smooths the edges
_MARGIN = 0.06  # of the image width
# Rows: right, up and towards the viewer, above one corner of the principal
# pose. Rounded, so `draw` makes them orthonormal.
_CAMERA_AXES = np.array(
  [[0.80, 0.60, 0.0], [-0.26, 0.35, 0.90], [0.54, -0.72, 0.43]]
)
_LIGHT = np.array([0.3, 0.5, 0.81])  # towards the light, in camera axes
_DARK, _BRIGHT = (
  np.array([52, 64, 84]),
  np.array([206, 216, 230]),
)  # sRGB, 8 bit


def draw(mesh: Mesh, *, size: int = SIZE) -> bytes:
  """Draws a mesh in its principal pose, seen from above one corner.

  Painter's algorithm: flat-shaded faces from the farthest to the nearest. Both
  sides of a face are lit, because scans and open surfaces have no inside.

  Args:
    mesh: the model, of a few thousand faces at most.
    size: height and width, pixels.

  Returns:
    A PNG with a transparent background.
  """
  # QR can flip the axes; the signs restore their directions.
  axes, _ = np.linalg.qr(_CAMERA_AXES.T)
  axes = (axes * np.sign((axes * _CAMERA_AXES.T).sum(axis=0))).T
  corners = (mesh.vertices @ mesh.frame.T @ axes.T)[mesh.faces]
  normal = np.cross(
    corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
  )
  normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-30)
  shade = np.abs(normal @ (_LIGHT / np.linalg.norm(_LIGHT)))[:, None]
  colors = (_DARK + shade * (_BRIGHT - _DARK)).astype(int)
  wide = size * _SUPERSAMPLING
  flat = corners[:, :, :2].reshape(-1, 2)
  low, high = flat.min(axis=0), flat.max(axis=0)
  scale = wide * (1 - 2 * _MARGIN) / (high - low).max().clip(1e-9)
  points = (corners[:, :, :2] - (low + high) / 2) * scale
  points = points * (1, -1) + wide / 2
  picture = Image.new("RGBA", (wide, wide))
  pen = ImageDraw.Draw(picture)
  for face in np.argsort(corners[:, :, 2].mean(axis=1), kind="stable"):
    color = tuple(colors[face])
    pen.polygon([tuple(p) for p in points[face]], fill=color, outline=color)
  file = io.BytesIO()
  picture.resize((size, size), Image.Resampling.BOX).save(file, "PNG")
  return file.getvalue()
