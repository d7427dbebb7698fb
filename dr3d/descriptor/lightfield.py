"""The light field descriptor: silhouettes from ten dodecahedra.

Notation: B models, Q queries, A dodecahedra, F features of an image.

Source: D.-Y. Chen, X.-P. Tian, Y.-T. Shen, M. Ouhyoung, On visual similarity
based 3D model retrieval (Eurographics 2003). A light field is the 10
silhouettes from one dodecahedron, each described by 35 Zernike moments and 10
Fourier coefficients. A model has ten light fields, from rotated dodecahedra.
The distance of two models is the smallest distance of their light fields, over
the 60 rotations of a dodecahedron.
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
SIZE = 128  # height and width of a silhouette, pixels

FOURIER_WEIGHT = 2  # gives both kinds of features about the same weight

_CHUNK = 32  # models compared at a time, so that distances fit in the cache


def describe(mesh: Mesh) -> np.ndarray:
  """Returns the light fields of a model.

  Args:
    mesh: the model.

  Returns:
    float32 [10, 10, 45]: dodecahedra, axes, features. The features are the
    moments and the weighted Fourier coefficients of a silhouette.
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
  """Returns the distances of models to the light fields of queries.

  The distance of two light fields is the L1 distance of their features, summed
  over the ten axes, at the best of 60 rotations.

  Args:
    queries: float32 [Q, A, 10, F].
    gallery: float32 [B, A, 10, F].

  Returns:
    float32 [Q, A, B], the distance of each light field of a query to the
    nearest light field of a model. The minimum over A is the distance of the
    models.
  """
  count = len(gallery)
  missing = -count % _CHUNK
  padded = np.pad(gallery, [(0, missing)] + [(0, 0)] * 3)
  # Features first: the images of a chunk are then contiguous.
  chunks = padded.reshape(-1, _CHUNK, *gallery.shape[1:])
  images = jnp.asarray(chunks.transpose(0, 4, 1, 2, 3))
  # turns[i·10 + j, r] = 1 if rotation r maps axis i to axis j.
  turns = np.eye(AXES, dtype=np.float32)[find_turns()].reshape(-1, AXES**2).T
  return np.stack(
    [np.asarray(_compare(query, images, turns))[:, :count] for query in queries]
  )


@jax.jit
def _compare(
  query: jax.Array, images: jax.Array, turns: jax.Array
) -> jax.Array:
  """Maps [A, 10, F] and chunks [C, F, 32, A, 10] to distances [A, C·32]."""

  def one_chunk(chunk):
    # Unrolled over features: XLA fuses the sum into one loop, without an array
    # of all differences.
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
