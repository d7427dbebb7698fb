"""The image with soft contours as the formula reads.

Every pixel against every face and every edge: the reference for
`dr3d.render.raster.outline`, whose notation it follows. It is written with
points and segments and differentiated by JAX alone.
"""

import jax
import jax.numpy as jnp

from dr3d.camera.projection import Camera

Array = jax.Array


def rasterize_dense_contour(
  corners: Array,
  colors: Array,
  soft: Array,
  *,
  size: tuple[int, int],
  sigma: Array | float,
  gamma: Array | float,
  depth_range: tuple[Array, Array],
  cutoff: float,
  thinnest: float,
  slack: float,
  brim: float,
  step: float,
  preference: float,
  camera: Camera = "perspective",
) -> tuple[Array, Array]:
  """Draws one image; see `raster.rasterize` for what the names mean.

  Args:
    corners: `[F, 3, 3]` x, y in pixels and the inverse depth.
    colors: `[F, 3, C]`.
    soft: bool `[F, 3]`, the edges that are soft.
    size: height and width in pixels.
    sigma: softness of edges, pixels.
    gamma: softness of occlusion, in normalised inverse depth.
    depth_range: the inverse depths that become 0 and 1.
    cutoff: logit below which an edge leaves a pixel alone.
    thinnest: a face that is less high than this (pixels) is not drawn.
    slack: how far a hard face reaches beyond its edges, pixels.
    brim: weight of a hard face there.
    step: how far beyond an edge the pixel across is taken, pixels.
    preference: for the edge that a pixel faces, of two that share a corner.
    camera: `"perspective"` or `"orthographic"`.

  Returns:
    Colour `[H, W, C]` and alpha `[H, W]`.
  """
  height, width = size
  y, x = jnp.meshgrid(
    jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij"
  )
  p = jnp.stack([x, y], axis=-1)[:, :, None, :].astype(corners.dtype)
  far, near = depth_range
  hard, top = _hard_image(
    p, corners, colors, gamma, far, near, thinnest, slack, brim, camera
  )

  def of_edges(array):  # [F, 3, ...] to [3 F, ...], at the start and the end
    end = jnp.roll(array, -1, axis=1)
    return (v.reshape(-1, *v.shape[2:]) for v in (array, end))

  a, b = of_edges(corners[..., :2])
  start, end = of_edges(corners[..., 2])
  start_color, end_color = of_edges(colors)
  ab = b - a
  square = jnp.sum(ab**2, axis=-1)
  t = jnp.sum((p - a) * ab, axis=-1) / jnp.where(square > 0, square, 1)
  t = jnp.clip(t, 0, 1)
  q = a + t[..., None] * ab
  d2 = jnp.sum((p - q) ** 2, axis=-1)
  depth = (1 - t) * start + t * end
  z = (depth - far) / (near - far)

  # The inner side is the one on which the face's third corner lies.
  third = jnp.roll(corners[..., :2], -2, axis=1).reshape(-1, 2)
  length = jnp.sqrt(jnp.where(square > 0, square, 1))
  normal = jnp.stack([-ab[:, 1], ab[:, 0]], axis=-1) / length[:, None]
  turn = jnp.where(jnp.sum(normal * (third - a), -1) < 0, -1, 1)
  normal = normal * turn[:, None]
  e = jnp.sum(normal * (p - a), axis=-1)
  is_inner = (e >= -slack) & (top[..., None] > -jnp.inf)
  is_between = (t > 0) & (t < 1)
  apart = jnp.sqrt(jnp.where(is_between | (d2 == 0), 1, d2))
  way = jnp.where(is_between[..., None], normal, (p - q) / apart[..., None])
  beyond = jnp.floor(q - step * way).astype(jnp.int32)
  row = jnp.clip(beyond[..., 1], 0, height - 1)
  column = jnp.clip(beyond[..., 0], 0, width - 1)
  other_top = jnp.where(is_inner, top[row, column], top[..., None])
  before = jnp.all(corners[..., 2] > 0, axis=-1)[:, None]
  before |= camera == "orthographic"
  exists = (soft & before).reshape(-1) & (square > 0)
  visible = exists & (d2 < -cutoff * sigma**2) & (z > other_top)

  key = jnp.where(visible, d2 + preference * (d2 - e**2), jnp.inf)
  key = jax.lax.stop_gradient(key)
  least = jnp.min(key, axis=-1, keepdims=True)
  number = jnp.arange(key.shape[-1])
  chosen = jnp.max(jnp.where(visible & (key == least), number, -1), axis=-1)
  has_edge = chosen >= 0

  def pick(array):
    array = jnp.broadcast_to(array, (*key.shape, *array.shape[3:]))
    index = jnp.maximum(chosen, 0).reshape(*chosen.shape, 1)
    index = index.reshape(index.shape + (1,) * (array.ndim - 3))
    return jnp.take_along_axis(array, index, axis=2)[:, :, 0]

  start_share, end_share = 1 - t, t
  if camera == "perspective":
    start_share, end_share = (1 - t) * start / depth, t * end / depth
  share = start_share[..., None] * start_color
  share = share + end_share[..., None] * end_color
  edge_color = jnp.concatenate(
    [pick(share), jnp.ones((height, width, 1), share.dtype)], axis=-1
  )
  across = hard[pick(row), pick(column)]
  other = jnp.where(pick(is_inner)[..., None], across, edge_color)
  cover = jax.nn.sigmoid(jnp.where(has_edge, pick(d2), 0) / sigma**2)[..., None]
  image = cover * hard + (1 - cover) * other
  image = jnp.where(has_edge[..., None], image, hard)
  alpha = image[..., -1]
  return image[..., :-1] / jnp.where(alpha > 0, alpha, 1)[..., None], alpha


def _hard_image(
  p, corners, colors, gamma, far, near, thinnest, slack, brim, camera
):
  """Colour and coverage `[H, W, C + 1]`, and Z `[H, W]`."""

  def cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]

  v = corners[..., :2]
  area = cross(v[:, 1] - v[:, 0], v[:, 2] - v[:, 0])
  sides = jax.lax.stop_gradient(jnp.roll(v, -1, axis=1) - v)
  square = jnp.sum(sides**2, axis=-1)
  drawn = jnp.abs(area) > thinnest * jnp.sqrt(jnp.max(square, axis=-1))
  if camera == "perspective":
    drawn &= jnp.all(corners[..., 2] > 0, axis=-1)
  area = jnp.where(drawn, area, 1)
  weights, is_inside, is_near = [], drawn, jnp.zeros_like(drawn)
  for k in range(3):
    b, c = v[:, (k + 1) % 3], v[:, (k + 2) % 3]
    weights.append(cross(b - p, c - p) / area)
    is_inside &= weights[k] >= 0
    t = jnp.sum((p - b) * (c - b), axis=-1) / jnp.where(
      drawn, square[:, k - 2], 1
    )
    foot = b + jnp.clip(t, 0, 1)[..., None] * (c - b)
    is_near |= jnp.sum((p - foot) ** 2, axis=-1) <= slack**2
  is_within = is_inside | (drawn & is_near)
  weight = jnp.maximum(jnp.stack(weights, axis=-1), 0)
  total = jnp.sum(weight, axis=-1, keepdims=True)
  weight = weight / jnp.where(is_within[..., None], total, 1)
  depth = jnp.sum(weight * corners[..., 2], axis=-1)
  depth = jnp.where(is_within, depth, 1)
  if camera == "perspective":
    color = jnp.einsum("hwfk,fk,fkc->hwfc", weight, corners[..., 2], colors)
    color = color / depth[..., None]
  else:
    color = jnp.einsum("hwfk,fkc->hwfc", weight, colors)
  z = (depth - far) / (near - far)
  top = jnp.max(jnp.where(is_within, z, -jnp.inf), axis=-1)
  top = jax.lax.stop_gradient(top)
  covered = top > -jnp.inf
  behind = jnp.where(is_within, z - jnp.where(covered, top, 0)[..., None], 0)
  w = jnp.where(is_inside, 1, brim) * jnp.exp(behind / gamma)
  w = jnp.where(is_within, w, 0)
  total = jnp.where(covered, jnp.sum(w, axis=-1), 1)
  image = jnp.einsum("hwf,hwfc->hwc", w, color) / total[..., None]
  covered = covered.astype(image.dtype)[..., None]
  return jnp.concatenate([image, covered], axis=-1), top
