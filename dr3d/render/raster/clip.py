"""Clips faces at a plane in front of the camera, with fixed shapes.

A face with one corner beyond the plane keeps a triangle. A face with two keeps
a quadrilateral, which is two triangles. The first triangle replaces the face,
the second is appended; a budget fixes how many can be. With a budget of 0 no
clipping is compiled.
"""

import jax
import jax.numpy as jnp

Array = jax.Array


def clip_near(
  data: Array, soft: Array | None = None, *, nearest: float, room: int
) -> tuple[Array, Array | None, Array]:
  """Keeps what is farther from the camera than a plane across its axis.

  Args:
    data: `[3 + C, 3, I, F]` x, y, depth and C colours, or whatever is affine on
      a face; then corner.
    soft: `[3, I, F]` bool, a mark for each edge k, from corner k to k + 1; or
      none.
    nearest: depth of the plane, positive.
    room: E, second triangles that an image has room for.

  Returns:
    The two arguments for F + E faces, and int32 `[I]`, the room that is needed:
    how many second triangles there are, and at least 1 if a corner is nearer
    than the plane. Without room nothing is cut, and such corners are moved to
    the plane. A cut is an edge without a mark. Faces completely nearer than the
    plane get a depth of `nearest` at all corners, without area.
  """
  is_kept = data[2] > nearest
  kept = jnp.sum(is_kept, axis=0)
  count = jnp.sum(kept == 2, axis=-1)
  count = jnp.maximum(count, ~jnp.all(is_kept, axis=(0, 2)))
  if room:
    return *_cut_faces(data, soft, kept=kept, nearest=nearest, room=room), count
  # As a choice, and so the data are worked out once before they are used: XLA
  # would compute them again for each use, and there are dozens.
  data = jax.lax.cond(
    jnp.all(is_kept), lambda x: x, lambda x: _push(x, nearest), data
  )
  return data, soft, count


def _push(data, nearest):
  x, y, depth, *rest = data
  return jnp.stack([x, y, jnp.maximum(depth, nearest), *rest])


def _cut_faces(data, soft, *, kept, nearest, room):
  is_kept = data[2] > nearest
  # Turn each face so that the corner unlike the other two comes first.
  alone = jnp.where(kept == 1, is_kept, ~is_kept) & ((kept == 1) | (kept == 2))

  def turn(x):
    turned = jnp.where(alone[1], jnp.roll(x, -1, axis=-3), x)
    return jnp.where(alone[2], jnp.roll(x, -2, axis=-3), turned)

  def choose(one, two, three):
    return jnp.where(kept == 3, three, jnp.where(kept == 2, two, one))

  data = turn(data)
  u, v, w = (data[:, k] for k in range(3))
  uv, uw = _cut(u, v, nearest), _cut(u, w, nearest)
  first = choose(jnp.stack([u, uv, uw], 1), jnp.stack([uv, v, w], 1), data)
  x, y, depth, *rest = jnp.where(kept == 0, 0, first)
  depth = jnp.where(kept == 0, nearest, depth)
  first = jnp.stack([x, y, depth, *rest])
  data = _append(first, jnp.stack([uv, w, uw], 1), kept == 2, room)
  if soft is None:
    return data, None
  e = turn(soft)
  hard = jnp.zeros_like(e[0])
  first = choose(
    jnp.stack([e[0], hard, e[2]]), jnp.stack([e[0], e[1], hard]), e
  )
  second = jnp.stack([hard, e[2], hard])
  return data, _append(first, second, kept == 2, room)


def _cut(a, b, nearest):
  """Where the way from a to b meets the plane; a and b lie on two sides."""
  rise = b[2] - a[2]
  share = (nearest - a[2]) / jnp.where(rise == 0, 1, rise)
  crosses = (a[2] > nearest) != (b[2] > nearest)
  x, y, _, *rest = a + jnp.where(crosses, share, 0) * (b - a)
  return jnp.stack([x, y, jnp.full_like(x, nearest), *rest])


def _append(first, second, is_second, room):
  """`[..., I, F]`: behind the faces of each image, `room` second ones."""
  if not room:
    return first

  def each(first, second, is_second):
    place = jnp.nonzero(is_second, size=room, fill_value=0)[0]
    is_used = jnp.arange(room) < jnp.sum(is_second)
    # A triangle of one point takes the places that are left.
    point = first[..., :1, :1]
    extra = jnp.where(is_used, second[..., place], point)
    return jnp.concatenate([first, extra], axis=-1)

  return jax.vmap(each, in_axes=(-2, -2, 0), out_axes=-2)(
    first, second, is_second
  )
