"""Cuts faces at a plane before the camera, with fixed shapes.

A face with one corner before the plane keeps a triangle, one with two corners
before it keeps a quadrilateral, which is two triangles. The first triangle
stands in the face's own place; the second goes into a room at the end whose
size is a budget, so that pictures that nothing crosses pay nothing.
"""

import jax
import jax.numpy as jnp

Array = jax.Array


def clip_near(
  corners: Array,
  colors: Array,
  soft: Array | None = None,
  *,
  nearest: float,
  room: int,
) -> tuple[Array, Array, Array | None, Array]:
  """Keeps what lies farther from the camera than a plane across its axis.

  Args:
    corners: `[I, F, 3, 3]` corner, then x, y and depth.
    colors: `[I, F, 3, C]` colour, or whatever is affine on a face.
    soft: `[I, F, 3]` bool, a mark for each edge k, from corner k to k + 1; or
      none.
    nearest: depth of the plane, positive.
    room: E, second triangles that a picture has room for.

  Returns:
    The three arguments for F + E faces, and int32 `[I]`, how many second
    triangles there are; if more than E, some are missing. A cut is an edge
    without a mark. Faces wholly before the plane keep a depth of `nearest` at
    all corners, without area.
  """
  depth = corners[..., 2]
  is_kept = depth > nearest
  kept = jnp.sum(is_kept, axis=-1)
  # Turn each face so that the corner unlike the other two comes first.
  alone = jnp.where((kept == 1)[..., None], is_kept, ~is_kept)
  alone &= ((kept == 1) | (kept == 2))[..., None]

  def turn(x):
    mark = alone.reshape(alone.shape + (1,) * (x.ndim - alone.ndim))
    turned = jnp.where(mark[..., 1:2, *_all(x)], jnp.roll(x, -1, axis=2), x)
    return jnp.where(mark[..., 2:3, *_all(x)], jnp.roll(x, -2, axis=2), turned)

  data = turn(jnp.concatenate([corners, colors], axis=-1))
  u, v, w = (data[..., k, :] for k in range(3))
  uv, uw = _cut(u, v, nearest), _cut(u, w, nearest)

  def choose(one, two, three):
    n = kept[..., None, None]
    x = jnp.where(n == 3, three, jnp.where(n == 2, two, one))
    return jnp.where(n == 0, 0, x)

  first = choose(jnp.stack([u, uv, uw], -2), jnp.stack([uv, v, w], -2), data)
  none_depth = (kept == 0)[..., None]
  first = first.at[..., 2].set(jnp.where(none_depth, nearest, first[..., 2]))
  count = jnp.sum(kept == 2, axis=-1)
  second = jnp.stack([uv, w, uw], -2)
  data = _append(first, second, kept == 2, room)
  if soft is not None:
    e = turn(soft)
    hard = jnp.zeros_like(e[..., 0])
    n = kept[..., None]
    marks = jnp.where(
      n == 3,
      e,
      jnp.where(
        n == 2,
        jnp.stack([e[..., 0], e[..., 1], hard], -1),
        jnp.stack([e[..., 0], hard, e[..., 2]], -1),
      ),
    )
    other = jnp.stack([hard, e[..., 2], hard], -1)
    soft = _append(marks, other, kept == 2, room)
  return data[..., :3], data[..., 3:], soft, count


def _all(x):
  return (slice(None),) * (x.ndim - 3)


def _cut(a, b, nearest):
  """Where the way from a to b meets the plane; a and b lie on two sides."""
  rise = b[..., 2:3] - a[..., 2:3]
  share = (nearest - a[..., 2:3]) / jnp.where(rise == 0, 1, rise)
  crosses = (a[..., 2:3] > nearest) != (b[..., 2:3] > nearest)
  point = a + jnp.where(crosses, share, 0) * (b - a)
  return point.at[..., 2].set(nearest)


def _append(first, second, is_second, room):
  """The faces of each picture, and behind them `room` of the second ones."""
  if not room:
    return first

  def each(first, second, is_second):
    place = jnp.nonzero(is_second, size=room, fill_value=0)[0]
    is_used = jnp.arange(room) < jnp.sum(is_second)
    extra = second[place]
    is_used = is_used.reshape((room,) + (1,) * (extra.ndim - 1))
    # A triangle of one point takes the places that are left.
    point = jnp.broadcast_to(first[:1, :1], extra.shape)
    return jnp.concatenate([first, jnp.where(is_used, extra, point)])

  return jax.vmap(each)(first, second, is_second)
