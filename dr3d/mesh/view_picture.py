"""A picture of a mesh from any side, drawn without jax.

For pictures that a person looks at, such as the view of a match: compiling the
renderer for a few views takes longer than a person waits. The images that are
compared come from `dr3d.render`.

`F` faces, `H W` pixels.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from dr3d.mesh.mesh import Mesh

_SUPERSAMPLING = 2  # the box filter of this factor smooths the edges
_MARGIN = 0.02  # of the image width
_LIGHT = np.array([0.3, 0.5, 1.0]) / np.linalg.norm([0.3, 0.5, 1.0])
_AMBIENT, _DIFFUSE = 0.2, 0.75  # of white
_LEAST_AREA = 1e-6  # of a drawn face, pixels
_ROUNDING = 1e-9  # of a barycentric coordinate


def draw_view(
  mesh: Mesh, quaternion: np.ndarray, *, distance: float, size: int
) -> np.ndarray:
  """Draws a mesh in its principal pose from one side, in white light.

  A depth buffer, face by face. Both sides of a face are lit, because scans and
  open surfaces have no inside. The thing fills the picture.

  Args:
    mesh: the model, of a few thousand faces at most.
    quaternion: [4] of the camera, w first; see `camera.view.Views`.
    distance: of the camera, radii of the mesh; more than 1.
    size: height and width, pixels.

  Returns:
    float32 `[size, size, 4]`: grey three times, multiplied by alpha, and alpha.

  Raises:
    ValueError: the distance is not more than 1.
  """
  if not distance > 1:
    raise ValueError(f"distance must be more than 1 radius, got {distance}.")
  # Rows right, up and towards the viewer.
  rotation = Rotation.from_quat(np.roll(quaternion, -1)).as_matrix()
  turn = mesh.frame.T @ rotation.T
  position = mesh.vertices @ turn
  # Perspective; nearer is larger, and a plane stays a plane in 1 / depth.
  closeness = 1 / (distance - position[:, 2])
  flat = position[:, :2] * closeness[:, None]
  low, high = flat.min(axis=0), flat.max(axis=0)
  wide = size * _SUPERSAMPLING
  scale = wide * (1 - 2 * _MARGIN) / (high - low).max().clip(1e-9)
  points = (flat - (low + high) / 2) * scale * (1, -1) + wide / 2
  shade = np.abs(mesh.normals @ turn @ _LIGHT)
  corners = np.column_stack([points, closeness])[mesh.faces]
  image = _fill(corners, _AMBIENT + _DIFFUSE * shade, wide)
  small = image.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING, 2)
  grey, alpha = np.moveaxis(small.mean(axis=(1, 3)), -1, 0)
  return np.stack([grey, grey, grey, alpha], axis=-1).astype(np.float32)


def _fill(corners: np.ndarray, shade: np.ndarray, wide: int) -> np.ndarray:
  """Fills triangles, the nearest in front: [wide, wide, 2] shade and alpha.

  Args:
    corners: [F, 3, 3], x, y and closeness.
    shade: [F, 3] at the corners.
    wide: pixels.
  """
  image = np.zeros((wide, wide, 2))
  nearest = np.zeros((wide, wide))
  edge = corners[:, 1:, :2] - corners[:, :1, :2]
  area = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]
  low = np.ceil(corners[..., :2].min(axis=1) - 0.5).astype(int).clip(0)
  high = np.floor(corners[..., :2].max(axis=1) - 0.5).astype(int) + 1
  drawn = (np.abs(area) > _LEAST_AREA) & (high > low).all(axis=1)
  for i in np.flatnonzero(drawn):
    (left, top), (right, bottom) = low[i], np.minimum(high[i], wide)
    x = np.arange(left, right) + 0.5 - corners[i, 0, 0]
    y = np.arange(top, bottom)[:, None] + 0.5 - corners[i, 0, 1]
    (ax, ay), (bx, by) = edge[i]
    u = (x * by - y * bx) / area[i]
    v = (y * ax - x * ay) / area[i]
    first, second, third = corners[i, :, 2]
    depth = first + u * (second - first) + v * (third - first)
    window = slice(top, bottom), slice(left, right)
    # Rounding must leave no gap between neighbours.
    inside = np.minimum(np.minimum(u, v), 1 - u - v) >= -_ROUNDING
    inside &= depth > nearest[window]
    a, b, c = shade[i]
    nearest[window][inside] = depth[inside]
    image[window][inside, 0] = (a + u * (b - a) + v * (c - a))[inside]
    image[window][inside, 1] = 1
  return image
