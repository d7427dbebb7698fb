"""Distance of a rendered sphere's contour from the true contour.

`H W` pixels, `R` rays from the centre of an image; distances in pixels.
"""

import dataclasses

import jax
import numpy as np
import trimesh
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull

from dr3d.camera.pose import project_points
from dr3d.camera.view import make_views, sphere_views
from dr3d.mesh import make_mesh
from dr3d.render.triangle import RenderConfig, fit_budget, render, stack_meshes

RAYS = 720
STEP = 0.02  # pixels along a ray
INNER = 3  # pixels from the contour, beyond the softness of its edge


@dataclasses.dataclass(frozen=True)
class Contour:
  """Contour of a sphere of F faces; distances are `[R]`, pixels.

  Attributes:
    drawn: to the outermost point where alpha is one half.
    outline: to the outline of the polyhedron.
    circle: radius of the outline of the sphere through the corners.
    equal: radius of the outline of a sphere of the polyhedron's volume.
    seam: least alpha farther than `INNER` pixels inside of the contour.
  """

  drawn: np.ndarray
  outline: np.ndarray
  circle: float
  equal: float
  seam: float


def measure_contour(
  cuts: int,
  *,
  coverage: str,
  size: int,
  view: int = 0,
  distance: float | None = None,
  fov: float | None = None,
) -> Contour:
  """Renders a sphere with its corners at radius 1.

  Args:
    cuts: subdivisions of an icosahedron, each of a face into four.
    coverage: see `RenderConfig`.
    size: height and width of the image, pixels.
    view: index of one of twelve viewpoints around it.
    distance: of the camera, radii; that of `make_views` if None.
    fov: vertical field of view, radians; that of `make_views` if None.
  """
  ball = trimesh.creation.icosphere(subdivisions=cuts)
  config = RenderConfig(size=size, framing="sphere", coverage=coverage)
  views = make_views(sphere_views(12)[view : view + 1])
  if distance is not None:
    views = dataclasses.replace(views, distance=0 * views.distance + distance)
  if fov is not None:
    views = dataclasses.replace(views, fov=0 * views.fov + fov)
  triangles = stack_meshes(
    [make_mesh(ball.vertices, ball.faces)],
    face_count=len(ball.faces),
    coverage=coverage,
  )
  # The mesh already fills the unit sphere, so make_mesh changes only digits.
  budget = fit_budget(triangles, views, config=config)
  draw = jax.jit(
    lambda triangles, views: render(
      triangles, views, budget=budget, **dataclasses.asdict(config)
    )[0]
  )
  alpha = np.asarray(draw(triangles, views))[0, 0, ..., 3]
  angle = np.arange(RAYS) * (2 * np.pi / RAYS)
  rays = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
  corners = np.asarray(triangles.corners).reshape(-1, 3)
  pixels = np.asarray(project_points(corners, views, size=size)[0][0])
  focal = size / 2 / np.tan(float(views.fov[0]) / 2)
  away = float(views.distance[0])
  equal = (ball.volume / (4 / 3 * np.pi)) ** (1 / 3)
  drawn = _last_half(alpha, rays)
  y, x = np.mgrid[:size, :size] + 0.5 - size / 2
  return Contour(
    drawn=drawn,
    outline=_to_outline(pixels - size / 2, rays),
    circle=focal / np.sqrt(away**2 - 1),
    equal=focal * equal / np.sqrt(away**2 - equal**2),
    seam=float(alpha[np.hypot(x, y) < drawn.min() - INNER].min()),
  )


def _last_half(alpha: np.ndarray, rays: np.ndarray) -> np.ndarray:
  """Distance along each ray to the outermost alpha of one half."""
  along = np.arange(0, len(alpha) / 2 - 1, STEP)
  middle = (len(alpha) - 1) / 2
  place = middle + rays[:, ::-1, None] * along
  values = map_coordinates(alpha, np.moveaxis(place, 1, 0), order=1)
  last = values.shape[1] - 1 - np.argmax(values[:, ::-1] >= 0.5, axis=1)
  return along[last]


def _to_outline(points: np.ndarray, rays: np.ndarray) -> np.ndarray:
  """Distance along each ray to the convex outline of points around 0."""
  corners = points[ConvexHull(points).vertices]
  side = np.roll(corners, -1, axis=0) - corners
  normal = np.stack([side[:, 1], -side[:, 0]], axis=-1)
  rise = rays @ normal.T
  way = np.sum(normal * corners, axis=-1) / np.where(rise > 0, rise, np.nan)
  return np.nanmin(way, axis=1)
