"""Cut-outs of models from the renderer: painted, lit and seen at random.

`B` models, `N` views of a model, `S` pixels, `F` faces.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from dr3d.camera.view import Views, make_views
from dr3d.mesh.mesh import Mesh
from dr3d.render.draw import render
from dr3d.render.triangle import Triangles, stack_meshes

FACES = 1024  # of a model, at most
NEAR_SHARE = 0.75  # of the views lie within NEAR_ANGLE of a model's first one
NEAR_ANGLE = 1.0  # radians
SIGMA = 0.5  # softness of edges, pixels


def render_cutouts(
  meshes: Sequence[Mesh],
  rng: np.random.Generator,
  *,
  count: int,
  size: int,
  painted: bool = True,
) -> np.ndarray:
  """Draws models in random views and lights.

  All models share the views, because one compiled call draws them. Give the
  same number of models in each call.

  Args:
    meshes: B meshes of at most `FACES` faces.
    rng: draws views, lights, material and paint.
    count: N views of each model.
    size: S, height and width of an image, pixels.
    painted: whether models get colours, or are all light grey.

  Returns:
    float32 `[B, N, S, S, 4]`, multiplied by alpha.
  """
  triangles = stack_meshes(meshes, face_count=FACES)
  if painted:
    albedo = [paint(corners, rng) for corners in np.asarray(triangles.corners)]
    triangles = dataclasses.replace(triangles, albedo=np.stack(albedo))
  else:
    white = np.ones_like(triangles.corners)
    triangles = dataclasses.replace(triangles, albedo=white)
  views = draw_views(rng, count)
  return np.asarray(_draw(triangles, views, size))


def paint(corners: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Colours faces by where they are on the model.

  One colour, or regions of two to four colours between random planes. So all
  views of a model agree about its colours.

  Args:
    corners: `[F, 3, 3]`.
    rng: random numbers.

  Returns:
    Red, green and blue of the corners, float32 `[F, 3, 3]`.
  """
  kind = rng.random()
  colors = 1 if kind < 0.5 else int(rng.integers(2, 5))
  palette = _draw_colors(rng, colors, metal=kind < 0.2)
  centers = corners.mean(axis=1)
  planes = rng.normal(size=(colors, 3))
  regions = np.argmax(
    centers @ planes.T + rng.normal(size=colors) * 0.3, axis=-1
  )
  shade = 1 + rng.uniform(0, 0.1) * rng.normal(size=(len(corners), 1))
  painted = np.clip(palette[regions] * shade, 0.02, 1)
  return np.repeat(painted[:, None], 3, axis=1).astype(np.float32)


def draw_views(rng: np.random.Generator, count: int) -> Views:
  """Draws cameras around one another, and a light for each.

  Args:
    rng: random numbers.
    count: N; the first is the one that most others are near to.
  """
  first = Rotation.random(rng=rng)
  turns = [Rotation.identity()]
  for _ in range(count - 1):
    if rng.random() < NEAR_SHARE:
      axis = rng.normal(size=3)
      angle = NEAR_ANGLE * np.sqrt(rng.random())
      turns.append(Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)))
    else:
      turns.append(Rotation.random(rng=rng))
  xyzw = np.stack([(turn * first).as_quat() for turn in turns])
  views = make_views(
    np.roll(xyzw, 1, axis=-1),
    distance=float(rng.uniform(2.2, 6)),
    colored=False,
  )
  return _light(views, rng)


def _light(views: Views, rng: np.random.Generator) -> Views:
  """Replaces the lights and the material by random ones."""
  N = views.count
  direction = rng.normal(size=(N, 1, 3)) + np.array([0, 0.4, 1.0])
  direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
  intensity = rng.uniform(0.5, 1.1, (N, 1, 1)) * (
    1 + rng.uniform(-0.1, 0.1, (N, 1, 3))
  )
  ambient = np.repeat(rng.uniform(0.1, 0.5, (N, 1)), 3, axis=1)
  light = dataclasses.replace(
    views.light,
    direction=jnp.asarray(direction, jnp.float32),
    intensity=jnp.asarray(intensity, jnp.float32),
    ambient=jnp.asarray(ambient, jnp.float32),
  )
  material = dataclasses.replace(
    views.material,
    specular=jnp.asarray(rng.uniform(0, 0.5), jnp.float32),
    shininess=jnp.asarray(rng.uniform(4, 48), jnp.float32),
  )
  return dataclasses.replace(views, light=light, material=material)


def _draw(triangles: Triangles, views: Views, size: int) -> np.ndarray:
  images = render(triangles, views, size=size, sigma=SIGMA, framing="object")
  return np.clip(np.asarray(images), 0, 1)


def _draw_colors(
  rng: np.random.Generator, count: int, *, metal: bool
) -> np.ndarray:
  """`[count, 3]`: greys of metal, or colours of paint and plastic."""
  value = rng.uniform(0.15, 1, (count, 1))
  spread = 0.03 if metal else rng.choice([0.1, 0.35])
  return np.clip(value + spread * rng.normal(size=(count, 3)), 0.03, 1)
