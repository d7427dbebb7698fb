"""From codes and cameras to pixels, with the networks."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.pose import to_quaternion
from dr3d.camera.view import Views, rotation_matrix
from dr3d.nn.radiance import Background, Foreground, NetworkConfig
from dr3d.render.volume import (
  Composite,
  Rays,
  composite,
  list_pixels,
  make_rays,
  place_samples,
)

Array = jax.Array

RAYS_AT_ONCE = 4096  # of one call, which bounds its memory


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Drawn:
  """What rays show of a field.

  Attributes:
    color: `[..., 3]` with the background.
    alpha: `[...]` of the foreground.
    depth: `[...]` mean distance from the camera.
    weights: `[..., S]` of the samples.
    gap: `[..., S]` length of each sample, 0 for a ray beside the sphere.
  """

  color: Array
  alpha: Array
  depth: Array
  weights: Array
  gap: Array


def init_networks(config: NetworkConfig, key: Array) -> dict[str, Any]:
  """Returns random weights of the foreground and the background."""
  one, two = jax.random.split(key)
  points, codes = jnp.zeros((1, 1, 3)), jnp.zeros((1, config.latent))
  weights = {"foreground": Foreground(config).init(one, points, codes)}
  if config.background:
    weights["background"] = Background(config).init(two, points, codes)
  return weights


def draw_rays(
  weights: dict[str, Any],
  codes: Array,
  rays: Rays,
  *,
  config: NetworkConfig,
  samples: int,
  key: Array | None = None,
  background: Array | None = None,
) -> Drawn:
  """Draws rays through fields.

  Args:
    weights: of the networks.
    codes: `[O, Z]`.
    rays: `[O, R]` rays, R of each object.
    config: sizes.
    samples: S.
    key: draws a random place for each sample in its share; None for the middle.
    background: `[3]` colour if there is no background model; None for white.
  """
  shape = (*rays.origin.shape[:-1], samples)
  jitter = None if key is None else jax.random.uniform(key, shape)
  distance, gap = place_samples(rays, count=samples, jitter=jitter)
  points = rays.origin[..., None, :]
  points = points + distance[..., None] * rays.direction[..., None, :]
  O, R = shape[:2]
  found: Any = Foreground(config).apply(
    weights["foreground"], points.reshape(O, R * samples, 3), codes
  )
  density, color = found
  drawn: Composite = composite(
    density.reshape(shape), color.reshape(*shape, 3), distance, gap
  )
  if config.background:
    behind: Any = Background(config).apply(
      weights["background"], rays.direction, codes
    )
  else:
    behind = jnp.ones(3) if background is None else background
  return Drawn(
    color=drawn.color + (1 - drawn.alpha[..., None]) * behind,
    alpha=drawn.alpha,
    depth=drawn.depth,
    weights=drawn.weights,
    gap=gap,
  )


def move_views(views: Views, pose: Array) -> Views:
  """Returns views moved by what was learned of their cameras.

  Args:
    views: N views.
    pose: `[N, 3]` azimuth about the object's z axis and elevation, radians,
      and the logarithm of the scale of the image.
  """
  azimuth, elevation, scale = jnp.moveaxis(pose, -1, 0)
  matrix = rotation_matrix(views.quaternion)
  matrix = _turn(elevation, 0) @ matrix @ _turn(azimuth, 2)
  half = jnp.arctan(jnp.tan(views.fov / 2) * jnp.exp(-scale))
  return dataclasses.replace(
    views, quaternion=to_quaternion(matrix), fov=2 * half
  )


def _turn(angle: Array, axis: int) -> Array:
  """`[N, 3, 3]` rotations about a coordinate axis."""
  c, s = jnp.cos(angle), jnp.sin(angle)
  one, none = jnp.ones_like(c), jnp.zeros_like(c)
  rows = {
    0: [[one, none, none], [none, c, -s], [none, s, c]],
    2: [[c, -s, none], [s, c, none], [none, none, one]],
  }[axis]
  return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


@functools.partial(jax.jit, static_argnames=("config", "samples"))
def _draw_chunk(weights, codes, rays, config, samples):
  drawn = draw_rays(weights, codes, rays, config=config, samples=samples)
  return drawn.color, drawn.alpha, drawn.depth


def draw_images(
  weights: dict[str, Any],
  codes: Array | np.ndarray,
  views: Views,
  *,
  config: NetworkConfig,
  size: int,
  samples: int = 64,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws one image for each code and view.

  Args:
    weights: of the networks.
    codes: `[N, Z]`, one for each view.
    views: N views.
    config: sizes.
    size: height and width, pixels.
    samples: S.

  Returns:
    float32 `[N, H, W, 3]` colour with the background, `[N, H, W]` alpha, and
    `[N, H, W]` mean distance from the camera.
  """
  rays = jax.jit(make_rays, static_argnames="size")(
    views, list_pixels(size), size=size
  )
  count = size * size
  chunk = min(count, RAYS_AT_ONCE)
  result = [np.zeros((views.count, count, n), np.float32) for n in (3, 1, 1)]
  for n in range(views.count):
    for start in range(0, count, chunk):
      # The last chunk overlaps the one before, so that all have one size.
      first = min(start, count - chunk)
      part = jax.tree.map(
        lambda v, n=n, first=first: v[n : n + 1, first : first + chunk], rays
      )
      drawn = _draw_chunk(
        weights, jnp.asarray(codes)[n : n + 1], part, config, samples
      )
      for array, value in zip(result, drawn, strict=True):
        array[n, first : first + chunk] = np.asarray(value).reshape(chunk, -1)
  color, alpha, depth = result
  shape = (views.count, size, size)
  return color.reshape(*shape, 3), alpha.reshape(shape), depth.reshape(shape)
