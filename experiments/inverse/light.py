"""Recovers the light in an image of a known part in a known pose.

`T` targets, `S` starts for each; all images are views of one model.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import Light, make_views, random_views, take_views
from dr3d.geometry.norm import to_unit
from dr3d.render.triangle import Triangles, render
from experiments.inverse.descent import descend, draw_whole
from experiments.inverse.start import Starts

Array = jax.Array

GAMMA = 3e-3
SIGMA = 0.7  # pixels; sharp from the start, since the pose is known
INTENSITY = (0.4, 1.2)  # range of the true lights, per colour channel
AMBIENT = (0.05, 0.3)  # range, per colour channel
MIN_Z = 0.25  # of a light's direction: a light behind the part is not visible


def recover_lights(
  triangles: Triangles,
  key: Array,
  *,
  targets: int,
  starts: int,
  size: int,
  steps: int,
  keep_every: int = 0,
) -> Starts:
  """Renders a part under random lights, then recovers the lights.

  A light has a direction, an intensity and an ambient light, the latter two in
  three channels: nine numbers. All lights, true ones and starts, come from the
  camera's side.

  Args:
    triangles: one model.
    key: for the poses, the lights and the starts.
    targets: T.
    starts: S.
    size: height and width of an image, pixels.
    steps: of the descent.
    keep_every: see `descend`.
  """
  keys = jax.random.split(key, 5)
  true = make_views(random_views(keys[0], count=targets), colored=False)

  def between(key, bounds):
    return jax.random.uniform(
      key, (targets, 3), minval=bounds[0], maxval=bounds[1]
    )

  light = Light(
    direction=_from_front(keys[1], targets),
    intensity=between(keys[2], INTENSITY)[:, None],
    ambient=between(keys[3], AMBIENT),
  )
  true = dataclasses.replace(true, light=light)
  first = _from_front(keys[4], targets * starts)
  base = make_views(jnp.repeat(true.quaternion, starts, axis=0), colored=False)

  def draw(views, sigma, budget):
    images, usage = render(
      triangles,
      views,
      size=size,
      sigma=sigma,
      gamma=GAMMA,
      budget=budget,
      framing="object",
    )
    return images[0], usage

  images = draw_whole(draw, true, SIGMA)
  expected = jnp.repeat(images, starts, axis=0)

  def loss(light, sigma, budget):
    drawn, usage = draw(dataclasses.replace(base, light=light), sigma, budget)
    return jnp.mean((drawn - expected) ** 2, axis=(1, 2, 3)), usage

  def restore(light):
    return Light(
      direction=to_unit(light.direction),
      intensity=jnp.maximum(light.intensity, 0),
      ambient=jnp.maximum(light.ambient, 0),
    )

  descent = descend(
    loss,
    dataclasses.replace(base.light, direction=first),
    sigmas=(SIGMA, SIGMA),
    steps=steps,
    rate=0.1,
    restore=restore,
    keep_every=keep_every,
  )
  found = descent.parameters
  truth = jax.tree.map(lambda x: jnp.repeat(x, starts, axis=0), light)

  def grid(x):
    return np.asarray(x).reshape(targets, starts, *x.shape[1:])

  best = int(descent.losses[:starts].argmin())
  path = jax.tree.map(lambda *x: jnp.stack([y[best] for y in x]), *descent.kept)
  # One call draws all images to show, so that it compiles once.
  of_target = np.repeat(np.arange(targets), starts)
  first_again = np.zeros(len(descent.kept), int)
  shown = dataclasses.replace(
    take_views(true, np.concatenate([of_target, of_target, first_again])),
    light=jax.tree.map(
      lambda *x: jnp.concatenate(x), descent.kept[0], found, path
    ),
  )
  before, after, on_path = np.split(
    draw_whole(draw, shown, SIGMA), [targets * starts, 2 * targets * starts]
  )

  wrong = jnp.maximum(
    jnp.max(jnp.abs(found.intensity - truth.intensity), axis=(1, 2)),
    jnp.max(jnp.abs(found.ambient - truth.ambient), axis=1),
  )
  return Starts(
    targets=np.asarray(images),
    angles=grid(_angle(found.direction, truth.direction)),
    first_angles=grid(_angle(first, truth.direction)),
    errors=grid(wrong),
    losses=grid(descent.losses),
    images=grid(after),
    first_images=grid(before),
    path=on_path,
  )


def _from_front(key, count):
  """`[count, 1, 3]` unit vectors, uniform over a cap around the camera."""
  of_height, of_angle = jax.random.split(key)
  z = jax.random.uniform(of_height, (count, 1), minval=MIN_Z)
  angle = jax.random.uniform(of_angle, (count, 1), maxval=2 * np.pi)
  r = jnp.sqrt(1 - z**2)
  return jnp.stack([r * jnp.cos(angle), r * jnp.sin(angle), z], axis=-1)


def _angle(first, second):
  """Angle between `[..., 1, 3]` unit vectors, degrees."""
  chord = jnp.linalg.norm(first - second, axis=-1)[..., 0] / 2
  return 2 * jnp.degrees(jnp.arcsin(jnp.minimum(chord, 1)))
