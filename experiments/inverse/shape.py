"""Deforms a sphere until its silhouettes match those of a part.

`S` starts, `N` views, `V` vertices, `F` faces, `E` edges of the sphere.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import trimesh

from dr3d.camera.view import (
  make_views,
  random_views,
  rotation_matrix,
  sphere_views,
  take_views,
)
from dr3d.render.shading import flat_normals
from dr3d.render.triangle import Triangles, render
from experiments.inverse.descent import (
  descend,
  draw_whole,
  image_distance,
)

Array = jax.Array

GAMMA = 3e-3
FIRST_SIGMA = 0.03  # share of the image size
SIGMA = 0.7  # at the end, and of the targets, pixels
RADII = (0.4, 0.9)  # range for the ellipsoids of the starts
ROUGHNESS_WEIGHT = 0.4
UNEVENNESS_WEIGHT = 0.001


@dataclasses.dataclass(frozen=True, eq=False)
class Shapes:
  """Results of all starts.

  Attributes:
    targets: `[N, H, W]` alpha.
    images: `[S, N, H, W]` alpha at the end.
    overlaps: `[S]` silhouette IoU, the mean over the N fitted views.
    unseen_overlaps: `[S]` the same in other views.
    first_overlaps: `[S]` at the start, in the fitted views.
    losses: `[S]` at the end.
    first_images: `[S, N, H, W]` alpha at the start.
    shaded: `[S, N, H, W, 4]`, shaded, at the end.
    part: `[N, H, W, 4]`, the shaded part.
    path: `[K, H, W, 4]`, the descent of the best start, shaded, first view.
  """

  targets: np.ndarray
  images: np.ndarray
  overlaps: np.ndarray
  unseen_overlaps: np.ndarray
  first_overlaps: np.ndarray
  losses: np.ndarray
  first_images: np.ndarray
  shaded: np.ndarray
  part: np.ndarray
  path: np.ndarray

  @property
  def best(self) -> int:
    """The start with the least loss."""
    return int(self.losses.argmin())


def deform_spheres(
  triangles: Triangles,
  key: Array,
  *,
  starts: int,
  views: int,
  size: int,
  steps: int,
  cuts: int = 3,
  keep_every: int = 0,
) -> Shapes:
  """Fits ellipsoids to the silhouettes of a part.

  Args:
    triangles: the part, one model.
    key: for the radii and rotations of the starts.
    starts: S.
    views: N, spread over the sphere.
    size: height and width of an image, pixels.
    steps: of the descent.
    cuts: subdivisions of an icosahedron.
    keep_every: see `descend`.
  """
  sphere = trimesh.creation.icosphere(subdivisions=cuts)
  faces = np.asarray(sphere.faces)
  edges = np.asarray(sphere.edges_unique)
  others = np.asarray(random_views(jax.random.key(1), count=views))
  every = make_views(np.concatenate([sphere_views(views), others]))
  seen = take_views(every, np.arange(views))
  first = _ellipsoids(key, jnp.asarray(sphere.vertices), count=starts)

  def draw(shown, sigma, budget):
    corners, views = shown
    images, usage = render(
      Triangles(corners=corners, normals=flat_normals(corners)),
      views,
      size=size,
      sigma=sigma,
      gamma=GAMMA,
      budget=budget,
    )
    return images, usage

  def show(corners):
    return np.asarray(draw_whole(draw, (corners, every), SIGMA))

  solid = show(jnp.asarray(triangles.corners))[0]
  targets = jnp.asarray(solid[:views, ..., 3])

  def loss(vertices, sigma, budget):
    images, usage = draw((vertices[:, faces], seen), sigma, budget)
    distance = image_distance(images[..., 3:], targets[..., None])
    losses = jnp.mean(distance, axis=1)
    losses += ROUGHNESS_WEIGHT * roughness(vertices, edges)
    return losses + UNEVENNESS_WEIGHT * unevenness(vertices, edges), usage

  descent = descend(
    loss,
    first,
    sigmas=(max(FIRST_SIGMA * size, SIGMA), SIGMA),
    steps=steps,
    rate=0.03,
    keep_every=keep_every,
  )
  path = jnp.stack([x[descent.losses.argmin()] for x in descent.kept])
  shown = jnp.concatenate([first, descent.parameters, path])
  before, after, on_path = np.split(show(shown[:, faces]), [starts, 2 * starts])
  alpha = after[..., 3]
  return Shapes(
    targets=solid[:views, ..., 3],
    images=alpha[:, :views],
    overlaps=overlap(alpha[:, :views], solid[:views, ..., 3]),
    unseen_overlaps=overlap(alpha[:, views:], solid[views:, ..., 3]),
    first_overlaps=overlap(before[:, :views, ..., 3], solid[:views, ..., 3]),
    losses=descent.losses,
    first_images=before[:, :views, ..., 3],
    shaded=after[:, :views],
    part=solid[:views],
    path=on_path[:, 0],
  )


def roughness(vertices: Array, edges: np.ndarray) -> Array:
  """Mean square of the uniform Laplacian.

  Args:
    vertices: `[..., V, 3]`.
    edges: int `[E, 2]`, each once.

  Returns:
    `[...]`, 0 where each vertex is the mean of its neighbours.

  References:
    Desbrun et al., Implicit fairing of irregular meshes, SIGGRAPH 1999.
  """
  count = vertices.shape[-2]
  degree = np.bincount(edges.ravel(), minlength=count)[:, None]
  here, there = edges[:, 0], edges[:, 1]
  total = jnp.zeros_like(vertices)
  total = total.at[..., here, :].add(vertices[..., there, :])
  total = total.at[..., there, :].add(vertices[..., here, :])
  laplacian = total / degree - vertices
  return jnp.mean(jnp.sum(laplacian**2, axis=-1), axis=-1)


def unevenness(vertices: Array, edges: np.ndarray) -> Array:
  """Variance of the squared lengths of edges, relative to their mean.

  Args:
    vertices: `[..., V, 3]`.
    edges: int `[E, 2]`.

  Returns:
    `[...]`, 0 where all edges are equally long, whatever the size.
  """
  along = vertices[..., edges[:, 0], :] - vertices[..., edges[:, 1], :]
  square = jnp.sum(along**2, axis=-1)
  mean = jnp.mean(square, axis=-1, keepdims=True)
  return jnp.mean((square / mean - 1) ** 2, axis=-1)


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Intersection over union of silhouettes, alpha above one half.

  Args:
    first: `[..., N, H, W]` alpha.
    second: of a shape that broadcasts with it.

  Returns:
    `[...]`, the mean over the views.
  """
  one, two = first > 0.5, second > 0.5
  both = (one & two).sum(axis=(-2, -1))
  either = (one | two).sum(axis=(-2, -1))
  return np.mean(both / np.maximum(either, 1), axis=-1)


def _ellipsoids(key, vertices, *, count):
  of_radius, of_rotation = jax.random.split(key)
  radii = jax.random.uniform(
    of_radius, (count, 1, 3), minval=RADII[0], maxval=RADII[1]
  )
  rotation = rotation_matrix(random_views(of_rotation, count=count))
  return jnp.einsum(
    "sij,svj->svi", rotation, radii * vertices.astype(jnp.float32)
  )
