"""From a code to a mesh, and to a `Renderer` at the views of a pipeline.

References:
  WO 2023/080921 [0034]: the surface is a level of the density; marching cubes
  of Lorensen and Cline, 1987, as scikit-image has them (Lewiner et al., 2003).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

from dr3d.camera.view import sphere_views, view_directions
from dr3d.error import FieldError
from dr3d.field.field import Field
from dr3d.geometry.sphere import enclosing_sphere
from dr3d.mesh import Mesh, make_mesh
from dr3d.mesh.repair import drop_debris
from dr3d.nn.radiance import Foreground
from dr3d.render.config import Pose, RenderConfig
from dr3d.render.volume import VolumeRenderer

GRID = 64  # G of meshes and volumes
LEVEL = 14.0
"""Density of the surface, inverse radii: where a layer of a twentieth of the
radius lets half of the light through."""

_SOLID = 200.0  # density inside of a volume, inverse radii
_BLUR = 1.5  # cells; without it, normals are those of the noise of the field
_FADE = 0.5  # of the level, over which a volume becomes solid

_AT_ONCE = 32_768  # points of one call, which bounds its memory
_HULL = 192  # directions in which the hull of a shape is sought


@functools.partial(jax.jit, static_argnames="network")
def _read(weights: Any, points: Any, code: Any, network: Any):
  density, _ = Foreground(network).apply(
    weights["foreground"], points[None], code[None]
  )
  # Nothing was learned beyond the sphere.
  return jnp.where(jnp.sum(points**2, -1) < 1, density[0], 0)


def read_density(
  field: Field, code: np.ndarray, points: np.ndarray
) -> np.ndarray:
  """`[P, 3]` points to the density `[P]`, inverse radii; 0 beyond the sphere.

  Args:
    field: the field.
    code: `[Z]`.
    points: in the axes of the class, radii.
  """
  padded = -(-len(points) // _AT_ONCE) * _AT_ONCE
  points = np.pad(np.float32(points), ((0, padded - len(points)), (0, 0)))
  parts = [
    np.asarray(_read(field.weights, part, code, field.config.network))
    for part in points.reshape(-1, _AT_ONCE, 3)
  ]
  return np.concatenate(parts)


def list_grid(size: int) -> np.ndarray:
  """`[G, G, G, 3]` positions from -1 to 1 along x, y and z."""
  axis = np.linspace(-1, 1, size)
  return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def extract_surface(
  field: Field, code: np.ndarray, *, grid: int = GRID, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the surface of a code by marching cubes.

  Args:
    field: the field.
    code: `[Z]`.
    grid: G, cells along each axis.
    level: density of the surface, inverse radii.

  Returns:
    float64 `[V, 3]` vertices in the axes of the class, and int `[F, 3]` faces,
    without small pieces that float beside the object.

  Raises:
    FieldError: the density does not cross the level, or scikit-image is not
      installed.
  """
  try:
    from skimage.measure import marching_cubes
  except ImportError as error:
    raise FieldError(
      "meshes of fields need an extra of dr3d: pip install 'dr3d[field]'."
    ) from error
  places = list_grid(grid).reshape(-1, 3)
  density = read_density(field, code, places)[: grid**3]
  density = density.reshape(grid, grid, grid)
  if not density.min() < level < density.max():
    raise FieldError(
      f"the field has no surface at a density of {level:g}: it lies between"
      f" {density.min():.3g} and {density.max():.3g}; train longer or name"
      " another level."
    )
  vertices, faces, _, _ = marching_cubes(
    density, level, spacing=[2 / (grid - 1)] * 3, gradient_direction="ascent"
  )
  vertices, faces, _ = drop_debris(
    np.asarray(vertices, np.float64) - 1, np.asarray(faces, np.int64)
  )
  return vertices, faces


def make_field_mesh(field: Field, code: np.ndarray, **options: Any) -> Mesh:
  """Returns the surface of a code as a mesh, whose unit is the class's radius.

  Args:
    field: the field.
    code: `[Z]`.
    options: see `extract_surface`.
  """
  return make_mesh(*extract_surface(field, code, **options))


def make_renderer(
  field: Field,
  codes: np.ndarray,
  *,
  config: RenderConfig,
  pose: Pose = "file",
  grid: int = GRID,
  level: float = LEVEL,
) -> VolumeRenderer:
  """Returns codes as volumes that a pipeline can draw.

  Each is moved and scaled into the unit sphere, as the meshes of a database
  are. Its matter is white, as theirs, so that the lights of the views show its
  shape; and it is solid above the level and nothing below it.

  Args:
    field: the field.
    codes: `[B, Z]`.
    config: of the pipeline that draws.
    pose: `"file"` keeps the axes of the class; `"principal"` takes the
      principal axes of the surface.
    grid: G.
    level: density of the surface, inverse radii.

  Raises:
    FieldError: a code has no surface.
  """
  directions = np.asarray(view_directions(sphere_views(_HULL)))
  volumes, turns, hulls = [], [], []
  for code in codes:
    vertices, faces = extract_surface(field, code, grid=grid, level=level)
    center, radius = enclosing_sphere(vertices)
    mesh = make_mesh(vertices, faces)
    density = read_density(
      field, code, list_grid(grid).reshape(-1, 3) * radius + center
    )[: grid**3]
    volumes.append(_harden(density.reshape(grid, grid, grid), level))
    turns.append(mesh.frame if pose == "principal" else np.eye(3))
    hulls.append(mesh.vertices[np.argmax(mesh.vertices @ directions.T, axis=0)])
  return VolumeRenderer(
    density=jnp.asarray(np.stack(volumes), jnp.float32),
    turn=jnp.asarray(np.stack(turns), jnp.float32),
    hull=jnp.asarray(np.stack(hulls), jnp.float32),
    config=config,
  )


def _harden(density: np.ndarray, level: float) -> np.ndarray:
  """`[G, G, G]` density of a field to that of a solid with smooth normals."""
  smooth = scipy.ndimage.gaussian_filter(density, _BLUR)
  return _SOLID * np.clip((smooth / level - 1) / _FADE + 0.5, 0, 1)
