"""Recovers the pose of a camera from one image, from many starts.

`T` targets, `S` starts for each; all images are views of one model.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import (
  DISTANCE_RANGE,
  make_views,
  random_views,
  rotation_matrix,
)
from dr3d.geometry.norm import to_unit
from dr3d.render.triangle import Triangles, render
from experiments.inverse.descent import (
  descend,
  draw_whole,
  image_distance,
)
from experiments.inverse.start import Starts

Array = jax.Array

GAMMA = 3e-3
FIRST_SIGMA = 0.045  # share of the image size
SIGMA = 0.7  # at the end, and of the targets, pixels
DISTANCE_SPREAD = 0.15  # of the true distances, share of the default one


def recover_poses(
  triangles: Triangles,
  key: Array,
  *,
  targets: int,
  starts: int,
  size: int,
  steps: int,
  spread: float = np.pi,
  keep_every: int = 0,
) -> Starts:
  """Renders targets in random poses, then recovers the poses.

  Args:
    triangles: one model, without symmetry.
    key: for the poses and the starts.
    targets: T.
    starts: S.
    size: height and width of an image, pixels.
    steps: of the descent.
    spread: largest rotation of a start from the truth, radians; π gives
      random starts.
    keep_every: see `descend`.
  """
  of_target, of_start, of_distance, of_rotation = jax.random.split(key, 4)
  true = make_views(random_views(of_target, count=targets))
  share = jax.random.uniform(of_distance, (targets,), minval=-1)
  true = dataclasses.replace(
    true, distance=true.distance * (1 + DISTANCE_SPREAD * share)
  )
  if spread < np.pi:
    rotation = _small_rotations(
      of_rotation, count=targets * starts, largest=spread
    )
    first = multiply(rotation, jnp.repeat(true.quaternion, starts, axis=0))
  else:
    first = random_views(of_start, count=targets * starts)

  def draw(views, sigma, budget):
    images, usage = render(
      triangles,
      views,
      size=size,
      sigma=sigma,
      gamma=GAMMA,
      budget=budget,
    )
    return images[0], usage

  images = draw_whole(draw, true, SIGMA)
  expected = jnp.repeat(images, starts, axis=0)
  base = make_views(first)

  def loss(parameters, sigma, budget):
    drawn, usage = draw(_to_views(*parameters), sigma, budget)
    return image_distance(drawn, expected), usage

  def restore(parameters):
    quaternion, log_distance = parameters
    bounds = jnp.log(jnp.array(DISTANCE_RANGE) / base.distance[0])
    return to_unit(quaternion), jnp.clip(log_distance, *bounds)

  descent = descend(
    loss,
    (base.quaternion, jnp.zeros(targets * starts)),
    sigmas=(max(FIRST_SIGMA * size, SIGMA), SIGMA),
    steps=steps,
    rate=0.05,
    restore=restore,
    keep_every=keep_every,
  )
  found = _to_views(*descent.parameters)
  best = int(descent.losses[:starts].argmin())
  path = (jnp.stack([x[i][best] for x in descent.kept]) for i in range(2))
  shown = zip(descent.kept[0], descent.parameters, path, strict=True)
  shown = _to_views(*(jnp.concatenate(x) for x in shown))
  before, after, on_path = np.split(
    draw_whole(draw, shown, SIGMA),
    [targets * starts, 2 * targets * starts],
  )

  def grid(x):
    return np.asarray(x).reshape(targets, starts, *x.shape[1:])

  truth = jnp.repeat(true.quaternion, starts, axis=0)
  ratio = found.distance / jnp.repeat(true.distance, starts)
  return Starts(
    targets=np.asarray(images),
    angles=grid(angle_between(found.quaternion, truth)),
    first_angles=grid(angle_between(first, truth)),
    errors=grid(jnp.abs(ratio - 1)),
    losses=grid(descent.losses),
    images=grid(after),
    first_images=grid(before),
    path=on_path,
  )


def _to_views(quaternion, log_distance):
  views = make_views(quaternion)
  return dataclasses.replace(
    views, distance=views.distance * jnp.exp(log_distance)
  )


def angle_between(first: Array, second: Array) -> Array:
  """Angle between rotations, `[..., 4]` unit quaternions, in degrees."""
  one, two = (rotation_matrix(q) for q in (first, second))
  # The chord is accurate for small angles; the trace is not.
  chord = jnp.sqrt(jnp.sum((one - two) ** 2, axis=(-2, -1)) / 8)
  return 2 * jnp.degrees(jnp.arcsin(jnp.minimum(chord, 1)))


def _small_rotations(key, *, count, largest):
  of_axis, of_angle = jax.random.split(key)
  axis = to_unit(jax.random.normal(of_axis, (count, 3)))
  half = jax.random.uniform(of_angle, (count, 1), maxval=largest) / 2
  return jnp.concatenate([jnp.cos(half), jnp.sin(half) * axis], axis=-1)


def multiply(p, q):
  """Hamilton's product of `[..., 4]` quaternions w, x, y, z."""
  a, u = p[..., :1], p[..., 1:]
  b, v = q[..., :1], q[..., 1:]
  return jnp.concatenate(
    [
      a * b - jnp.sum(u * v, axis=-1, keepdims=True),
      a * v + b * u + jnp.cross(u, v),
    ],
    axis=-1,
  )
