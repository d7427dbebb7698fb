"""The table of coefficients by which a pixel sees a projected face.

Notation, fixed for the whole folder. A face has corners `v_0, v_1, v_2` in
pixels (x to the right, y down, pixel centres at half integers) and inverse
depths `i_k`. It is wound so that its area in the picture is not negative.
Edge `k` runs from `v_k` to `v_{k+1}`, is `L_k` long, has the unit normal `n_k`
that points into the face, and lies `h_k` away from the corner `v_{k+2}`
opposite to it. For a pixel centre `p`:

* `e_k = n_k · (p - v_k)`, the distance to the edge's line, positive inside;
* `s_k`, the coordinate along the edge, 0 at `v_k` and `L_k` at `v_{k+1}`;
* `e_k / h_k`, the barycentric weight of the corner opposite to edge `k`.
"""

import dataclasses

import jax
import jax.numpy as jnp

Array = jax.Array

THINNEST = 1e-4  # pixels; a face thinner than this has no barycentric weights


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FaceTable:
  """What the pixels need of each face; leading dimensions are free.

  Every field but `drawn` ends in 3: one value for each edge `k`. Corner data
  (`inverse_depth`, `color`) stand at the edge opposite to their corner, so that
  the same `k` picks the weight and the value.

  Attributes:
    normal_x: `[..., 3]` x component of `n_k`.
    normal_y: `[..., 3]` y component of `n_k`.
    start_x: `[..., 3]` x of `v_k`, pixels.
    start_y: `[..., 3]` y of `v_k`, pixels.
    length: `[..., 3]` `L_k`, pixels.
    inverse_height: `[..., 3]` `1 / h_k`, 1/pixel.
    inverse_depth: `[..., 3]` of the corner opposite to edge `k`.
    color: `[..., C, 3]` of that corner, multiplied by its inverse depth.
    drawn: `[...]` bool; false for faces without an area in the picture, or
      with a corner whose inverse depth is not positive.
  """

  normal_x: Array
  normal_y: Array
  start_x: Array
  start_y: Array
  length: Array
  inverse_height: Array
  inverse_depth: Array
  color: Array
  drawn: Array


def wind(
  corners: Array, colors: Array, soft: Array | None = None
) -> tuple[Array, Array, Array | None]:
  """Orders the corners so that the area in the picture is not negative.

  Also their colours, and the marks `[..., 3]` of their edges if there are any.
  """
  flip = (_area(corners) < 0)[..., None, None]
  if soft is not None:
    swapped = jnp.stack([soft[..., 1], soft[..., 0], soft[..., 2]], axis=-1)
    soft = jnp.where(flip[..., 0], swapped, soft)
  return (
    jnp.where(flip, corners[..., ::-1, :], corners),
    jnp.where(flip, colors[..., ::-1, :], colors),
    soft,
  )


def _area(corners):
  """Twice the signed area, pixels²."""
  a = corners[..., 1, :2] - corners[..., 0, :2]
  b = corners[..., 2, :2] - corners[..., 0, :2]
  return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def tabulate(corners: Array, colors: Array) -> FaceTable:
  """Returns the table of wound faces given by their projected corners.

  Args:
    corners: `[..., 3, 3]` float; corner, then x and y in pixels and the inverse
      depth; in the order that `wind` gives.
    colors: `[..., 3, C]` float; corner, then channel.

  Returns:
    A `FaceTable` with the leading dimensions of the arguments.
  """
  area = _area(corners)
  start = corners[..., :2]
  along = jnp.roll(start, -1, axis=-2) - start
  square = along[..., 0] ** 2 + along[..., 1] ** 2
  # An edge of length 0 is a point: any direction serves, none may be NaN.
  is_edge = square > 0
  length = jnp.where(is_edge, jnp.sqrt(jnp.where(is_edge, square, 1)), 0)
  along = jnp.where(is_edge[..., None], along, jnp.array([1, 0], along.dtype))
  along = along / jnp.where(is_edge, length, 1)[..., None]

  longest = jnp.max(length, axis=-1)
  drawn = area > THINNEST * longest
  drawn &= jnp.all(corners[..., 2] > 0, axis=-1)
  area = jnp.where(drawn, area, 1)
  opposite = jnp.roll(corners[..., 2], -2, axis=-1)
  shade = jnp.roll(jnp.swapaxes(colors, -1, -2), -2, axis=-1)
  return FaceTable(
    normal_x=-along[..., 1],
    normal_y=along[..., 0],
    start_x=start[..., 0],
    start_y=start[..., 1],
    length=length,
    inverse_height=length / area[..., None],
    inverse_depth=opposite,
    color=shade * opposite[..., None, :],
    drawn=drawn,
  )
