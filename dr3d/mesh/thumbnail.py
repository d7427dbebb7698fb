"""A small picture of a mesh without jax: for lists, not for comparing."""

import io

import numpy as np
from PIL import Image, ImageDraw

from dr3d.mesh import Mesh

SIZE = 96  # pixels
_FINER = 2  # drawn so many times as large, for smooth edges
_MARGIN = 0.06  # of the picture
_TURN = np.array([[0.80, 0.60, 0.0], [-0.26, 0.35, 0.90], [0.54, -0.72, 0.43]])
_SUN = np.array([0.3, 0.5, 0.81])  # towards the light, in the picture's axes
_DARK, _BRIGHT = np.array([52, 64, 84]), np.array([206, 216, 230])


def draw(mesh: Mesh, *, size: int = SIZE) -> bytes:
  """Draws a mesh in its principal pose, from above one corner.

  Faces are painted from the far to the near ones, each in one shade, lit from
  both sides because scans and surfaces have no inside.

  Args:
    mesh: the model; some thousand faces at most.
    size: height and width, pixels.

  Returns:
    A PNG with a transparent background.
  """
  axes, _ = np.linalg.qr(_TURN.T)
  axes = (axes * np.sign((axes * _TURN.T).sum(axis=0))).T
  corners = (mesh.vertices @ mesh.frame.T @ axes.T)[mesh.faces]
  normal = np.cross(
    corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
  )
  normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-30)
  shade = np.abs(normal @ (_SUN / np.linalg.norm(_SUN)))[:, None]
  colors = (_DARK + shade * (_BRIGHT - _DARK)).astype(int)
  wide = size * _FINER
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
