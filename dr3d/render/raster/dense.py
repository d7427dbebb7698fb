"""The soft rasterizer as the formula reads: every pixel against every face.

This is the reference that the fast form is held to. It is written with points
and segments, shares no arithmetic with the fast form, and is differentiated by
JAX alone. It needs memory in proportion to pixels × faces.
"""

import jax
import jax.numpy as jnp

from dr3d.camera.projection import Camera

Array = jax.Array


def rasterize_dense(
  corners: Array,
  colors: Array,
  *,
  size: tuple[int, int],
  sigma: Array | float,
  gamma: Array | float,
  depth_range: tuple[Array, Array],
  cutoff: float,
  background_depth: float,
  thinnest: float,
  camera: Camera = "perspective",
) -> tuple[Array, Array]:
  """Draws one image; see `raster.rasterize` for what the names mean.

  Args:
    corners: `[F, 3, 3]` x, y in pixels and the inverse depth.
    colors: `[F, 3, C]`.
    size: height and width in pixels.
    sigma: softness of edges, pixels.
    gamma: softness of occlusion, in normalised inverse depth.
    depth_range: the inverse depths that become 0 and 1.
    cutoff: logit below which a face leaves a pixel alone.
    background_depth: normalised inverse depth of the background.
    thinnest: a face that is less high than this (pixels) is not drawn.
    camera: `"perspective"` or `"orthographic"`.

  Returns:
    Colour `[H, W, C]` and alpha `[H, W]`.

  References:
    Liu et al., Soft Rasterizer, ICCV 2019, Eq. 3 to 5.
  """
  height, width = size
  y, x = jnp.meshgrid(
    jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij"
  )
  p = jnp.stack([x, y], axis=-1)[:, :, None, :].astype(corners.dtype)

  def cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]

  v = corners[..., :2]
  area = cross(v[:, 1] - v[:, 0], v[:, 2] - v[:, 0])
  sides = jnp.stack([v[:, (k + 1) % 3] - v[:, k] for k in range(3)])
  longest = jnp.max(jnp.sum(jax.lax.stop_gradient(sides) ** 2, -1), axis=0)
  drawn = jnp.abs(area) > thinnest * jnp.sqrt(longest)
  if camera == "perspective":
    drawn &= jnp.all(corners[..., 2] > 0, axis=-1)
  area = jnp.where(drawn, area, 1)

  distances, weights = [], []
  for k in range(3):
    a, b = v[:, k], v[:, (k + 1) % 3]
    ab = b - a
    square = jnp.sum(ab**2, axis=-1)
    t = jnp.sum((p - a) * ab, axis=-1) / jnp.where(square > 0, square, 1)
    foot = a + jnp.clip(t, 0, 1)[..., None] * ab
    distances.append(jnp.sum((p - foot) ** 2, axis=-1))
    # The weight of corner k: the share of the area opposite to it.
    c = v[:, (k + 2) % 3]
    weights.append(cross(b - p, c - p) / area)
  distance = jnp.min(jnp.stack(distances), axis=0)
  weight = jnp.stack(weights, axis=-1)

  inside = jnp.all(weight >= 0, axis=-1)
  logit = jnp.where(inside, distance, -distance) / sigma**2
  seen = drawn & (logit > cutoff)
  coverage = jnp.where(seen, jax.nn.sigmoid(jnp.where(seen, logit, 0)), 0)

  clipped = jnp.maximum(weight, 0)
  total = jnp.sum(clipped, axis=-1, keepdims=True)
  clipped = clipped / jnp.where(drawn[:, None], total, 1)
  inverse_depth = jnp.sum(clipped * corners[..., 2], axis=-1)
  inverse_depth = jnp.where(drawn, inverse_depth, 1)
  if camera == "perspective":
    color = jnp.einsum("hwfk,fk,fkc->hwfc", clipped, corners[..., 2], colors)
    color = color / inverse_depth[..., None]
  else:
    color = jnp.einsum("hwfk,fkc->hwfc", clipped, colors)
  far, near = depth_range
  z = (inverse_depth - far) / (near - far)

  # A softmax over the faces and the background, weighted by the coverage.
  top = jnp.max(jnp.where(seen, z, background_depth), axis=-1, initial=-jnp.inf)
  top = jax.lax.stop_gradient(jnp.maximum(top, background_depth))
  w = coverage * jnp.exp(jnp.where(seen, z - top[..., None], 0) / gamma)
  total = jnp.sum(w, axis=-1) + jnp.exp((background_depth - top) / gamma)
  image = jnp.einsum("hwf,hwfc->hwc", w, color) / total[..., None]
  return image, 1 - jnp.prod(1 - coverage, axis=-1)
