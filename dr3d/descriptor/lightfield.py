"""The light field descriptor: silhouettes from ten dodecahedra.

Notation: B models, Q queries, A dodecahedra, F numbers of an image.

Source: D.-Y. Chen, X.-P. Tian, Y.-T. Shen, M. Ouhyoung, On visual similarity
based 3D model retrieval (Eurographics 2003). A light field descriptor is the
10 silhouettes from one dodecahedron, each as 35 Zernike moments and 10 Fourier
coefficients; a model has ten of them, from dodecahedra that are turned
differently. Two models are as far apart as the nearest two of their light
fields under the best of the 60 rotations of a dodecahedron.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.descriptor import contour, moment
from dr3d.descriptor.dodecahedron import AXES, find_axes, find_turns
from dr3d.descriptor.silhouette import draw_silhouettes
from dr3d.mesh.mesh import Mesh

DODECAHEDRA = 10
SIZE = 128  # of a silhouette, pixels

FOURIER_WEIGHT = 2  # both kinds of numbers then weigh about the same

_CHUNK = 32  # models compared at a time: their distances fit in the cache


def describe(mesh: Mesh) -> np.ndarray:
  """The light fields of a model.

  Args:
    mesh: the model.

  Returns:
    float32 [10, 10, 45]: dodecahedra, their axes, and the moments and weighted
    Fourier coefficients of each silhouette.
  """
  images = draw_silhouettes(
    mesh.vertices.astype(np.float64),
    mesh.faces,
    find_axes(DODECAHEDRA).reshape(-1, 3),
    size=SIZE,
  )
  outlines = contour.fourier_descriptors(images)
  features = np.concatenate(
    [moment.zernike_moments(images), FOURIER_WEIGHT * outlines], axis=1
  )
  return features.reshape(DODECAHEDRA, AXES, -1)


def compare(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
  """Distances of models to the light fields of queries.

  The distance of two light fields is the sum over the ten axes of the sum of
  absolute differences of the numbers, at the best of 60 rotations.

  Args:
    queries: float32 [Q, A, 10, F].
    gallery: float32 [B, A, 10, F].

  Returns:
    float32 [Q, A, B]: of each light field of a query the distance to the
    nearest light field of a model. The least over A is the distance of the
    models.
  """
  count = len(gallery)
  missing = -count % _CHUNK
  padded = np.pad(gallery, [(0, missing)] + [(0, 0)] * 3)
  # Numbers in front: the images of a chunk then lie side by side.
  chunks = padded.reshape(-1, _CHUNK, *gallery.shape[1:])
  images = jnp.asarray(chunks.transpose(0, 4, 1, 2, 3))
  # turns[i·10 + j, r] = 1 where rotation r takes axis i to axis j.
  turns = np.eye(AXES, dtype=np.float32)[find_turns()].reshape(-1, AXES**2).T
  return np.stack(
    [np.asarray(_compare(query, images, turns))[:, :count] for query in queries]
  )


@jax.jit
def _compare(
  query: jax.Array, images: jax.Array, turns: jax.Array
) -> jax.Array:
  """[A, 10, F] and chunks [C, F, 32, A, 10] to distances [A, C·32]."""

  def one_chunk(chunk):
    # Written out: one loop that adds up as it goes, without a large array.
    far = functools.reduce(
      jnp.add,
      (
        jnp.abs(query[:, :, k][:, :, None, None, None] - chunk[k][None, None])
        for k in range(chunk.shape[0])
      ),
    )  # [A, i, 32, A, j]
    far = far.transpose(0, 2, 3, 1, 4).reshape(-1, AXES**2)
    at_turns = jnp.matmul(far, turns, precision="highest")
    shape = (query.shape[0], *chunk.shape[1:3], -1)
    return at_turns.reshape(shape).min(axis=(2, 3))

  return jnp.moveaxis(jax.lax.map(one_chunk, images), 0, 1).reshape(
    query.shape[0], -1
  )
