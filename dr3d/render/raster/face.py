"""The table of coefficients by which a pixel sees a projected face.

Notation, fixed for the whole folder. A face has corners `v_0, v_1, v_2` in
pixels (x to the right, y down, pixel centres at half integers) and inverse
depths `i_k`. It is wound so that its area in the image is not negative.
Edge `k` runs from `v_k` to `v_{k+1}`, is `L_k` long, has the unit normal `n_k`
that points into the face, and lies `h_k` away from the corner `v_{k+2}`
opposite to it. For a pixel centre `p`:

* `e_k = n_k · (p - v_k)`, the distance to the edge's line, positive inside;
* `s_k`, the coordinate along the edge, 0 at `v_k` and `L_k` at `v_{k+1}`;
* `e_k / h_k`, the barycentric weight of the corner opposite to edge `k`.

Arrays hold edge or corner first and faces last, `[3, I, F]` for I images, so
that a processor works on neighbouring faces at once.
"""

import dataclasses

import jax
import jax.numpy as jnp

from dr3d.camera.projection import Camera

Array = jax.Array

THINNEST = 1e-4  # pixels; a face thinner than this has no barycentric weights


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FaceTable:
  """What the pixels need of each face; `...` is `I, F`, or blocks of faces.

  Every field but `drawn` has one value for each edge `k`. Corner data
  (`inverse_depth`, `color`) stand at the edge opposite to their corner, so that
  the same `k` picks the weight and the value.

  Attributes:
    normal_x: `[3, ...]` x component of `n_k`.
    normal_y: `[3, ...]` y component of `n_k`.
    start_x: `[3, ...]` x of `v_k`, pixels.
    start_y: `[3, ...]` y of `v_k`, pixels.
    length: `[3, ...]` `L_k`, pixels.
    inverse_height: `[3, ...]` `1 / h_k`, 1/pixel.
    inverse_depth: `[3, ...]` of the corner opposite to edge `k`.
    color: `[C, 3, ...]` of that corner; in perspective, multiplied by its
      inverse depth.
    drawn: `[...]` bool; false for faces without an area in the image, or in
      perspective with a corner whose inverse depth is not positive.
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
  """Orders the corners so that the area in the image is not negative.

  Also their colours, and the marks of their edges if there are any.

  Args:
    corners: `[3, 3, I, F]` axis, corner.
    colors: `[C, 3, I, F]` channel, corner.
    soft: `[3, I, F]`.
  """
  flip = _area(corners) < 0
  if soft is not None:
    swapped = jnp.stack([soft[1], soft[0], soft[2]])
    soft = jnp.where(flip, swapped, soft)
  return (
    jnp.where(flip, corners[:, ::-1], corners),
    jnp.where(flip, colors[:, ::-1], colors),
    soft,
  )


def _area(corners):
  """Twice the signed area, pixels²."""
  x, y, _ = corners
  return (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])


def tabulate(corners: Array, colors: Array, *, camera: Camera) -> FaceTable:
  """Returns the table of wound faces given by their projected corners.

  Args:
    corners: `[3, 3, I, F]` float; x and y in pixels and the inverse depth, then
      corner; in the order that `wind` gives.
    colors: `[C, 3, I, F]` float; channel, corner.
    camera: `"perspective"` or `"orthographic"`.
  """
  area = _area(corners)
  x, y, inverse_depth = corners
  along_x, along_y = (jnp.roll(v, -1, axis=0) - v for v in (x, y))
  square = along_x**2 + along_y**2
  # An edge of length 0 is a point: any direction serves, none may be NaN.
  is_edge = square > 0
  length = jnp.where(is_edge, jnp.sqrt(jnp.where(is_edge, square, 1)), 0)
  scale = 1 / jnp.where(is_edge, length, 1)

  longest = jnp.max(length, axis=0)
  drawn = area > THINNEST * longest
  opposite = jnp.roll(inverse_depth, -2, axis=0)
  shade = jnp.roll(colors, -2, axis=1)
  if camera == "perspective":
    drawn &= jnp.all(inverse_depth > 0, axis=0)
    shade = shade * opposite
  return FaceTable(
    normal_x=-along_y * scale,
    normal_y=jnp.where(is_edge, along_x * scale, 1),
    start_x=x,
    start_y=y,
    length=length,
    inverse_height=length / jnp.where(drawn, area, 1),
    inverse_depth=opposite,
    color=shade,
    drawn=drawn,
  )
