"""θ_G: viewpoints, cameras, lights and material, and fixed sets of viewpoints.

Conventions, see `dr3d.camera` for all of them. A quaternion `(w, x, y, z)`
rotates the object: `p ↦ R(q) p`. The camera is on the positive z axis at
`distance` from the origin and looks at the origin, x to the right and y up;
depth is `distance - z`. Lights are fixed to the camera, and a light's direction
points from the object towards the light. A view's direction points from the
object towards the camera: `R(q)ᵀ e_z`.

`N` views, `L` directional and `M` point lights of a view.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from dr3d.geometry.norm import safe_norm, to_unit

Array = jax.Array

DISTANCE_RANGE = (1.5, 10.0)  # radii of the object
# Field of view over the unit sphere's half angle: 2 would touch the sphere, the
# rest keeps soft edges inside the image.
FOV_RATIO = 2.04
FOV_RANGE = (0.15, 1.6)  # radians
OFFSET_RANGE = (-0.5, 0.5)  # radii
PRINCIPAL_RANGE = (-0.25, 0.25)  # heights of the image
INTENSITY_RANGE = (0.0, 1.5)  # of a light, per colour channel
LEAST_INTENSITY = 0.1  # of a view's lights, mean over lights and channels
AMBIENT_RANGE = (0.02, 0.6)
DIFFUSE_RANGE = (0.2, 1.0)
SPECULAR_RANGE = (0.0, 0.6)
SHININESS_RANGE = (2.0, 64.0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PointLight:
  """M lights of each of N views that have a position.

  Attributes:
    position: `[N, M, 3]` in the axes of the view, where the camera is at
      `(0, 0, distance)`; radii of the object.
    intensity: `[N, M, 3]` red, green, blue at a distance of one radius; it
      falls with the square of the distance.
  """

  position: Array
  intensity: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Light:
  """The lights of each of N views, L of them infinitely far away.

  Attributes:
    direction: `[N, L, 3]` unit vectors towards the light, camera axes.
    intensity: `[N, L, 3]` red, green, blue.
    ambient: `[N, 3]` light from everywhere.
    point: lights with a position, or None.
  """

  direction: Array
  intensity: Array
  ambient: Array
  point: PointLight | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Material:
  """What all objects are made of.

  Attributes:
    diffuse: `[3]` share of light scattered, red, green, blue; multiplied by the
      colours of a model that has its own.
    specular: `[]` strength of the highlight.
    shininess: `[]` Blinn and Phong's exponent.
  """

  diffuse: Array
  specular: Array
  shininess: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Views:
  """θ_G: all that G learns, shared by all models [0022].

  Attributes:
    quaternion: `[N, 4]` unit quaternions w, x, y, z.
    distance: `[N]` of the camera, in radii of the object.
    fov: `[N]` vertical field of view, radians.
    light: lights of the N views.
    material: material of all objects.
    offset: `[N, 2]` position of the object's origin relative to the optical
      axis, x to the right and y up, radii; None for 0.
    principal: `[N, 2]` position where the optical axis meets the image, x to
      the right and y down from its centre, in heights of the image; None for 0.
  """

  quaternion: Array
  distance: Array
  fov: Array
  light: Light
  material: Material
  offset: Array | None = None
  principal: Array | None = None

  @property
  def count(self) -> int:
    """N."""
    return self.quaternion.shape[0]


def take_views(views: Views, chosen: Array | np.ndarray) -> Views:
  """Returns some of the N views, with their cameras and lights.

  Args:
    views: N views.
    chosen: int `[V]`, indices of views.

  Returns:
    V views of the same material.
  """
  return Views(
    quaternion=views.quaternion[chosen],
    distance=views.distance[chosen],
    fov=views.fov[chosen],
    light=jax.tree.map(lambda x: x[chosen], views.light),
    material=views.material,
    offset=None if views.offset is None else views.offset[chosen],
    principal=None if views.principal is None else views.principal[chosen],
  )


def make_views(
  quaternion: Array | np.ndarray, *, distance: float = 3.0, colored: bool = True
) -> Views:
  """Returns views from viewpoints, with initial cameras and lights.

  The field of view just holds the unit sphere. Three lights, red, green and
  blue, come from three sides, so that colour shows which way a surface faces.
  The alternative is one white light beside the camera.

  Args:
    quaternion: `[N, 4]` w, x, y, z; need not be normalised.
    distance: of the camera, in radii of the object; more than 1.
    colored: three coloured lights, or a white one.

  Returns:
    Views in float32.

  Raises:
    ValueError: the shape or the distance does not fit.

  Example:
    >>> import dr3d
    >>> views = dr3d.make_views(dr3d.ring_views(4), colored=False)
    >>> views.count
    4
  """
  quaternion = jnp.asarray(quaternion, jnp.float32)
  if quaternion.ndim != 2 or quaternion.shape[1] != 4 or not len(quaternion):
    raise ValueError(f"quaternion must be [N, 4], got {quaternion.shape}.")
  if not distance > 1:
    raise ValueError(f"distance must be more than 1 radius, got {distance}.")
  n = len(quaternion)
  if colored:
    turn = np.arange(3) * (2 * np.pi / 3) + np.pi / 2
    direction = np.stack([np.cos(turn), np.sin(turn), np.full(3, 0.8)], -1)
    intensity = np.eye(3) * 0.9
  else:
    direction = np.array([[0.3, 0.5, 1.0]])
    intensity = np.full((1, 3), 0.9)
  direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)

  def each_view(x):
    x = jnp.asarray(x, jnp.float32)
    return jnp.tile(x[None], (n,) + (1,) * x.ndim)

  return Views(
    quaternion=to_unit(quaternion),
    distance=jnp.full(n, distance, jnp.float32),
    fov=jnp.full(n, FOV_RATIO * np.arcsin(1 / distance), jnp.float32),
    light=Light(
      direction=each_view(direction),
      intensity=each_view(intensity),
      ambient=each_view(np.full(3, 0.1)),
    ),
    material=Material(
      diffuse=jnp.full(3, 0.9, jnp.float32),
      specular=jnp.asarray(0.2, jnp.float32),
      shininess=jnp.asarray(16.0, jnp.float32),
    ),
  )


def rotation_matrix(quaternion: Array | np.ndarray) -> Array:
  """`[..., 4]` quaternions w, x, y, z to `[..., 3, 3]` rotation matrices.

  The quaternion is normalised first; the zero quaternion gives the identity.

  Raises:
    ValueError: the last dimension is not 4.
  """
  if quaternion.shape[-1:] != (4,):
    raise ValueError(f"quaternion must be [..., 4], got {quaternion.shape}.")
  w, x, y, z = jnp.moveaxis(to_unit(jnp.asarray(quaternion)), -1, 0)
  rows = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ]
  return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def project(views: Views) -> Views:
  """Returns the nearest views that are allowed.

  Quaternions and light directions become unit vectors. Cameras and point lights
  stay outside of the object, and intensities stay within bounds. Called after
  every step of G, so that G cannot lower its loss by hiding the object.
  """

  def clip(x, bounds):
    return jnp.clip(x, *bounds)

  def light_up(intensity):
    intensity = clip(intensity, INTENSITY_RANGE)
    mean = jnp.mean(intensity, axis=(1, 2), keepdims=True)
    return jnp.where(
      mean < LEAST_INTENSITY, intensity + LEAST_INTENSITY - mean, intensity
    )

  point = views.light.point
  if point is not None:
    # Irradiance falls with the squared distance: clip what reaches the origin.
    r = clip(safe_norm(point.position), DISTANCE_RANGE)[..., None]
    point = PointLight(
      position=to_unit(point.position) * r,
      intensity=light_up(point.intensity / r**2) * r**2,
    )
  return Views(
    quaternion=to_unit(views.quaternion),
    distance=clip(views.distance, DISTANCE_RANGE),
    fov=clip(views.fov, FOV_RANGE),
    light=Light(
      direction=to_unit(views.light.direction),
      intensity=light_up(views.light.intensity),
      ambient=clip(views.light.ambient, AMBIENT_RANGE),
      point=point,
    ),
    material=Material(
      diffuse=clip(views.material.diffuse, DIFFUSE_RANGE),
      specular=clip(views.material.specular, SPECULAR_RANGE),
      shininess=clip(views.material.shininess, SHININESS_RANGE),
    ),
    offset=_clip_some(views.offset, OFFSET_RANGE),
    principal=_clip_some(views.principal, PRINCIPAL_RANGE),
  )


def _clip_some(x: Array | None, bounds: tuple[float, float]) -> Array | None:
  return None if x is None else jnp.clip(x, *bounds)


def look_from(directions: np.ndarray) -> np.ndarray:
  """Returns quaternions of views from directions, the object's z axis up.

  Args:
    directions: `[N, 3]` from the object towards the camera.

  Returns:
    `[N, 4]` float64 unit quaternions w, x, y, z.
  """
  directions = np.asarray(directions, np.float64)
  if directions.ndim != 2 or directions.shape[1] != 3:
    raise ValueError(f"directions must be [N, 3], got {directions.shape}.")
  matrices = []
  for towards in directions:
    z = towards / np.linalg.norm(towards)
    up = np.array([0.0, 0, 1]) if abs(z[2]) < 0.99 else np.array([0.0, 1, 0])
    x = np.cross(up, z)
    x /= np.linalg.norm(x)
    # Rows are the camera's axes in the object's.
    matrices.append(np.stack([x, np.cross(z, x), z]))
  xyzw = Rotation.from_matrix(np.stack(matrices)).as_quat(canonical=True)
  return np.roll(xyzw, 1, axis=-1)


def sphere_views(count: int) -> np.ndarray:
  """`[count, 4]` quaternions of views spread over the sphere (Fibonacci).

  Example:
    >>> import dr3d
    >>> dr3d.sphere_views(6).shape
    (6, 4)
  """
  if count < 1:
    raise ValueError(f"count must be at least 1, got {count}.")
  i = np.arange(count) + 0.5
  z = 1 - 2 * i / count
  turn = np.pi * (1 + 5**0.5) * i
  r = np.sqrt(1 - z * z)
  return look_from(np.stack([r * np.cos(turn), r * np.sin(turn), z], -1))


def ring_views(count: int, *, elevation: float = np.pi / 6) -> np.ndarray:
  """`[count, 4]` quaternions of views on a ring around the z axis.

  Args:
    count: number of views.
    elevation: of the cameras above the object's xy plane, radians.

  Example:
    >>> import dr3d
    >>> dr3d.ring_views(4).shape
    (4, 4)
  """
  if count < 1:
    raise ValueError(f"count must be at least 1, got {count}.")
  turn = np.arange(count) * (2 * np.pi / count)
  ones = np.ones(count)
  xy = np.cos(elevation) * np.stack([np.cos(turn), np.sin(turn)], -1)
  return look_from(
    np.concatenate([xy, np.sin(elevation) * ones[:, None]], axis=-1)
  )


def dodecahedron_views() -> np.ndarray:
  """`[20, 4]` quaternions of views from the corners of a dodecahedron.

  Example:
    >>> import dr3d
    >>> dr3d.dodecahedron_views().shape
    (20, 4)
  """
  phi = (1 + 5**0.5) / 2
  cube = np.stack(np.meshgrid(*[[-1.0, 1]] * 3), -1).reshape(-1, 3)
  plane = np.stack(np.meshgrid([-1 / phi, 1 / phi], [-phi, phi]), -1)
  plane = np.concatenate([np.zeros((4, 1)), plane.reshape(-1, 2)], axis=-1)
  return look_from(
    np.concatenate([cube] + [np.roll(plane, k, axis=-1) for k in range(3)])
  )


def random_views(key: Array, *, count: int) -> Array:
  """`[count, 4]` quaternions, uniform over all rotations."""
  return to_unit(jax.random.normal(key, (count, 4)))


def view_directions(quaternion: Array | np.ndarray) -> Array:
  """`[..., 4]` quaternions to `[..., 3]` directions, `R(q)ᵀ e_z`."""
  return rotation_matrix(quaternion)[..., 2, :]
