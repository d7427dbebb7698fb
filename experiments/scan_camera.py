"""Scans of a model by virtual depth cameras, fused to a mesh.

Cameras stand around a model on a table and measure depth: noise that grows with
depth and angle, no measurement at grazing angles or at edges, nothing from
below. The depth images are fused in two ways:

* `fuse_tsdf`: a truncated signed distance, averaged over the images (B. Curless
  and M. Levoy, A volumetric method for building complex models, SIGGRAPH 1996).
  What no camera saw stays open; single pixels become debris.
* `fuse_poisson`: the indicator function whose gradient fits the oriented points
  (M. Kazhdan, M. Bolitho, H. Hoppe, Poisson surface reconstruction, SGP 2006),
  solved by FFT on a periodic grid. It is closed, and it melts edges.

Both extract a surface by naive surface nets. The same random state gives the
same scan.

`G` cells along a side of the grid, `P` points, `H` pixels.
"""

import dataclasses
from typing import Literal

import numpy as np
import scipy.ndimage
import scipy.sparse
import scipy.sparse.csgraph

from dr3d.data.scan import random_rotation
from dr3d.geometry.sphere import enclosing_sphere
from dr3d.mesh.repair import clean_geometry
from dr3d.mesh.surface import compact, cross_products, normalize

Fusion = Literal["tsdf", "poisson"]

_SAMPLES = 120_000  # surface points that are splatted to a depth image


@dataclasses.dataclass(frozen=True)
class DepthCamera:
  """How depth is measured; lengths in metres.

  The noise is that of a structured-light camera (K. Khoshelham and S. Elberink,
  Accuracy and resolution of Kinect depth data, Sensors 2012): quadratic in
  depth. `angle_noise` and `smear` are set so that statistics of the scans are
  near those of real ones; see `results/scans.md`.

  Attributes:
    size: height and width of an image, pixels.
    field: half of the width of the image over its distance.
    distance: of the camera from the object.
    noise: standard deviation at one metre.
    angle_noise: share that is added at a tangent of 1 of the angle between
      surface normal and line of sight.
    shift: standard deviation of the error of a camera's position.
    least_cosine: of that angle; surfaces at a smaller one are not measured.
    azimuths: cameras around the object, at each of the elevations.
    elevations: degrees above the table.
    cell: side of a cell of the grid.
    truncation: of the signed distance, cells.
  """

  size: int = 200
  field: float = 0.28
  distance: float = 0.7
  noise: float = 0.0028
  angle_noise: float = 0.4
  shift: float = 0.0015
  least_cosine: float = 0.2
  azimuths: int = 8
  elevations: tuple[float, ...] = (15.0, 40.0, 65.0)
  cell: float = 0.003
  truncation: float = 3.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Image:
  """A depth image and its camera.

  Attributes:
    depth: [H, H] metres, NaN where nothing was measured.
    cosine: [H, H] of the angle of sight.
    axes: [3, 3], rows to the right, down and into the picture.
    eye: [3].
  """

  depth: np.ndarray
  cosine: np.ndarray
  axes: np.ndarray
  eye: np.ndarray


def scan_model(
  vertices: np.ndarray,
  faces: np.ndarray,
  *,
  fusion: Fusion,
  radius: float,
  rng: np.random.Generator,
  camera: DepthCamera | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns a model as depth cameras would measure it.

  Args:
    vertices: float [V, 3], in any unit.
    faces: int [F, 3].
    fusion: how the depth images become a mesh.
    radius: true size, of the smallest enclosing sphere, metres.
    rng: of the noise and of how the model lies on the table.
    camera: of the depth images.

  Returns:
    vertices [V', 3] in the unit of the model, rotated at random; faces [F', 3].

  Raises:
    MeshError: the arrays are not a mesh.
    ValueError: no camera measured a surface.
  """
  camera = camera or DepthCamera()
  vertices, faces = clean_geometry(vertices, faces)
  center, size = enclosing_sphere(vertices)
  placed = (vertices - center) * (radius / size)
  placed = placed @ _lay_down(placed, rng).T
  placed[:, 2] -= placed[:, 2].min()  # the table is z = 0
  images = [
    _measure(placed, faces, camera, azimuth, elevation, rng)
    for elevation in camera.elevations
    for azimuth in np.arange(camera.azimuths) * (2 * np.pi / camera.azimuths)
  ]
  fuse = {"tsdf": fuse_tsdf, "poisson": fuse_poisson}[fusion]
  found, triangles = fuse(images, radius, placed[:, 2].max(), camera, rng)
  if not len(triangles):
    raise ValueError("no camera measured a surface of the model")
  turned = found @ random_rotation(rng).T
  return turned * (size / radius), triangles


def _lay_down(vertices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """A rotation that puts a face of the hull on the table, large ones first."""
  hull = scipy.spatial.ConvexHull(vertices, qhull_options="QJ")
  area = np.linalg.norm(cross_products(vertices, hull.simplices), axis=1)
  face = rng.choice(len(area), p=area / area.sum())
  down = -hull.equations[face, :3]  # the outward normal turns to -z
  side = normalize(np.cross(down, rng.normal(size=3)))
  return np.stack([side, np.cross(down, side), down])


def _measure(
  vertices: np.ndarray,
  faces: np.ndarray,
  camera: DepthCamera,
  azimuth: float,
  elevation: float,
  rng: np.random.Generator,
) -> _Image:
  """Measures depth by splatting surface points; the nearest one counts."""
  tilt = np.radians(elevation)
  middle = np.array([0, 0, vertices[:, 2].max() / 2])
  toward = np.array(
    [np.cos(tilt) * np.cos(azimuth), np.cos(tilt) * np.sin(azimuth), -0.0]
  )
  toward[2] = np.sin(tilt)
  into = -toward
  right = normalize(np.cross(into, [0.0, 0.0, 1.0]))
  axes = np.stack([right, np.cross(into, right), into])
  eye = middle + camera.distance * toward
  product = cross_products(vertices, faces)
  area = np.linalg.norm(product, axis=1)
  face = rng.choice(len(faces), _SAMPLES, p=area / area.sum())
  weight = rng.dirichlet(np.ones(3), _SAMPLES)
  point = np.einsum("pk,pki->pi", weight, vertices[faces[face]])
  normal = normalize(product)[face]
  seen = (point - eye) @ axes.T
  column, row = (
    (seen[:, k] / seen[:, 2] / camera.field + 1) * camera.size / 2
    for k in (0, 1)
  )
  column, row = column.astype(int), row.astype(int)
  inside = (np.minimum(row, column) >= 0) & (
    np.maximum(row, column) < camera.size
  )
  pixel = (row * camera.size + column)[inside]
  order = np.lexsort((seen[inside, 2], pixel))
  pixel = pixel[order]
  first = np.append(True, pixel[1:] != pixel[:-1])
  chosen = np.flatnonzero(inside)[order][first]
  depth: np.ndarray = np.full(camera.size**2, np.nan)
  cosine: np.ndarray = np.zeros(camera.size**2)
  sight = normalize(point[chosen] - eye)
  cosine[pixel[first]] = np.abs((normal[chosen] * sight).sum(axis=1))
  depth[pixel[first]] = seen[chosen, 2]
  depth = depth.reshape(camera.size, camera.size)
  cosine = cosine.reshape(camera.size, camera.size)
  # A pixel at the edge of the object mixes foreground and background.
  hole = np.isnan(depth)
  depth[
    scipy.ndimage.binary_dilation(hole) | (cosine < camera.least_cosine)
  ] = np.nan
  tangent = np.sqrt(1 / np.maximum(cosine, camera.least_cosine) ** 2 - 1)
  sigma = camera.noise * depth**2 * (1 + camera.angle_noise * tangent)
  # Neighbouring pixels share a matching window, so their noise is alike.
  noise = scipy.ndimage.gaussian_filter(rng.normal(size=depth.shape), 1.5)
  depth = depth + sigma * noise / noise.std()
  eye = eye + rng.normal(scale=camera.shift, size=3)
  return _Image(depth, cosine, axes, eye)


def _make_grid(
  radius: float, height: float, camera: DepthCamera
) -> tuple[np.ndarray, np.ndarray, float]:
  """Centres of cells [G, G, G, 3], the first one, and the side of a cell."""
  half = radius + 4 * camera.cell
  count = int(np.clip(2 * half / camera.cell, 40, 72))
  cell = 2 * half / count
  origin = np.array([-half, -half, height / 2 - half]) + cell / 2
  steps = np.indices((count, count, count)).transpose(1, 2, 3, 0)
  return origin + cell * steps, origin, cell


def fuse_tsdf(
  images: list[_Image],
  radius: float,
  height: float,
  camera: DepthCamera,
  rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Averages truncated signed distances; see the module."""
  del rng
  grid, origin, cell = _make_grid(radius, height, camera)
  cut = camera.truncation * cell
  points = grid.reshape(-1, 3)
  total, weight = np.zeros(len(points)), np.zeros(len(points))
  for image in images:
    seen = (points - image.eye) @ image.axes.T
    column, row = (
      ((seen[:, k] / seen[:, 2] / camera.field + 1) * camera.size / 2)
      .astype(int)
      .clip(0, camera.size - 1)
      for k in (0, 1)
    )
    gap = image.depth[row, column] - seen[:, 2]
    part = np.isfinite(gap) & (gap > -cut)
    share = image.cosine[row, column] * part
    total += np.where(part, np.minimum(gap, cut) * share, 0)
    weight += share
  known = weight > 0.3
  value = np.where(known, total / np.maximum(weight, 1e-9), cut)
  # The table is cut off with what is nearest to it.
  known &= points[:, 2] > cell
  shape = grid.shape[:3]
  return _extract(value.reshape(shape), known.reshape(shape), origin, cell)


def fuse_poisson(
  images: list[_Image],
  radius: float,
  height: float,
  camera: DepthCamera,
  rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Solves for an indicator function; see the module."""
  points, normals = zip(
    *(_to_points(image, camera, rng) for image in images), strict=True
  )
  points, normals = np.concatenate(points), np.concatenate(normals)
  grid, origin, cell = _make_grid(radius, height, camera)
  count = len(grid)
  place = (points - origin) / cell
  inside = ((place > 1) & (place < count - 2)).all(axis=1)
  place, normals = place[inside], normals[inside]
  field = np.zeros((3, count, count, count))
  density = np.zeros((count, count, count))
  index = tuple(np.round(place).astype(int).T)
  np.add.at(density, index, 1)
  for k in range(3):
    np.add.at(field[k], index, normals[:, k])
  field /= np.maximum(scipy.ndimage.gaussian_filter(density, 1), 0.3)
  wave = 2 * np.pi * np.fft.fftfreq(count)
  x, y, z = np.meshgrid(wave, wave, wave, indexing="ij")
  square = x * x + y * y + z * z
  square[0, 0, 0] = 1
  smooth = np.exp(-square / 2)
  source = sum(
    1j * w * np.fft.fftn(part) for w, part in zip((x, y, z), field, strict=True)
  )
  spectrum = -source * smooth / square
  spectrum[0, 0, 0] = 0
  value = np.fft.ifftn(spectrum).real
  at = scipy.ndimage.map_coordinates(value, place.T, order=1)
  known = np.ones(value.shape, bool)
  return _extract(value - np.median(at), known, origin, cell)


def _to_points(
  image: _Image, camera: DepthCamera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """Measured points and normals [P, 3], from a depth image."""
  del rng
  row, column = np.indices(image.depth.shape)
  x, y = (
    ((c + 0.5) * 2 / camera.size - 1) * camera.field for c in (column, row)
  )
  seen = np.stack([x, y, np.ones_like(x)], axis=-1) * image.depth[..., None]
  smooth = seen.copy()
  known = np.isfinite(image.depth)
  smooth[~known] = 0
  share = scipy.ndimage.gaussian_filter(known.astype(float), 1.5)
  for k in range(3):
    smooth[..., k] = scipy.ndimage.gaussian_filter(smooth[..., k], 1.5)
  smooth /= np.maximum(share, 1e-6)[..., None]
  normal = np.cross(
    np.gradient(smooth, axis=1).reshape(-1, 3),
    np.gradient(smooth, axis=0).reshape(-1, 3),
  )
  normal = normalize(normal) * np.sign(-normal[:, 2:]).clip(-1, 1)
  good = known.reshape(-1)
  points = seen.reshape(-1, 3)[good] @ image.axes + image.eye
  return points, normal[good] @ image.axes


def _extract(
  value: np.ndarray, known: np.ndarray, origin: np.ndarray, cell: float
) -> tuple[np.ndarray, np.ndarray]:
  """The zero surface by naive surface nets, where all corners are known.

  A cell with corners of both signs has a vertex at the mean of its crossings.
  Each edge between the signs joins the vertices of its four cells.
  """
  count = len(value)
  corners = np.indices((2, 2, 2)).reshape(3, -1).T
  inner = slice(0, count - 1)

  def corner(array: np.ndarray, offset: np.ndarray) -> np.ndarray:
    return array[tuple(slice(o, count - 1 + o) for o in offset)]

  good = np.ones((count - 1,) * 3, bool)
  for offset in corners:
    good &= corner(known, offset)
  total = np.zeros((count - 1, count - 1, count - 1, 3))
  number = np.zeros((count - 1,) * 3)
  for one in corners:
    for axis in range(3):
      if one[axis]:
        continue
      two = one.copy()
      two[axis] = 1
      a, b = corner(value, one), corner(value, two)
      cross = (a < 0) != (b < 0)
      part = np.where(cross, a / np.where(cross, a - b, 1), 0)
      total += cross[..., None] * one
      total[..., axis] += part
      number += cross
  good &= number > 0
  index = np.full(good.shape, -1)
  index[good] = np.arange(good.sum())
  place = np.argwhere(good) + total[good] / number[good][:, None]
  quads = []
  for axis in range(3):
    j, k = (axis + 1) % 3, (axis + 2) % 3
    low = [inner, inner, inner]
    high = [inner, inner, inner]
    high[axis] = slice(1, count)
    a, b = value[tuple(low)], value[tuple(high)]
    edge = np.argwhere((a < 0) != (b < 0))
    edge = edge[(edge[:, j] > 0) & (edge[:, k] > 0)]
    down = a[tuple(edge.T)] < 0
    ring = []
    for dj, dk in ((1, 1), (0, 1), (0, 0), (1, 0)):
      near = edge.copy()
      near[:, j] -= dj
      near[:, k] -= dk
      ring.append(index[tuple(near.T)])
    quad = np.stack(ring, axis=1)
    quad[~down] = quad[~down][:, ::-1]
    quads.append(quad[(quad >= 0).all(axis=1)])
  quad = np.concatenate(quads)
  faces = np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]])
  if not len(faces):
    return np.zeros((0, 3)), np.zeros((0, 3), int)
  return compact(origin + cell * place, faces)
