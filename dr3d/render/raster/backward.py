"""From the gradient of the pixels back to the faces, block by block.

Notation of `dr3d.render.raster.fragment`.
"""

import jax
import jax.numpy as jnp

from dr3d.render.raster.bin import Bins
from dr3d.render.raster.face import FaceTable
from dr3d.render.raster.forward import Pixels
from dr3d.render.raster.fragment import (
  BACKGROUND_DEPTH,
  CHUNK,
  Fragments,
  Softness,
  Style,
  at_edge,
  beyond_ends,
  chunk_count,
  cut_chunk,
  evaluate,
  image_of,
  less,
  more,
  pack,
)

Array = jax.Array


def scatter_gradient(
  table: FaceTable,
  bins: Bins,
  softness: Softness,
  pixels: Pixels,
  color_gradient: Array,
  alpha_gradient: Array,
  *,
  grid: tuple[int, int],
  style: Style,
) -> tuple[Array, Array, Array, Array]:
  """Carries the gradient of the pixels back to the faces.

  Two identities avoid differentiating the table. Where `f` is the point of an
  edge that is nearest to p, at the share t of its length, `d² = ‖p - f‖²` has
  the gradient `-2(1 - t)(p - f)` in the edge's start and `-2t(p - f)` in its
  end. And barycentric weights obey `∂λ_i/∂v_j = -λ_j ∇λ_i`, so what reaches
  them reaches corner j as `-λ_j Σ_i g_i ∇λ_i`. A third keeps what would cancel
  out of the range of depths: the gradients of all z of a pixel add up to what
  the background takes, so that z is counted from the pixel's top.

  Args:
    table: as in `gather_pixels`, and so are `bins`, `softness` and `grid`.
    bins: the blocks.
    softness: traced numbers.
    pixels: what `gather_pixels` returned.
    color_gradient: `[C, tiles + 1, TILE²]`.
    alpha_gradient: `[tiles + 1, TILE²]`.
    grid: rows and columns of tiles in an image.
    style: as in `gather_pixels`.

  Returns:
    The gradients with respect to the wound corners `[3, 3, I, F]` (x, y,
    inverse depth), their colours `[C, 3, I, F]`, and `softness.far` and
    `softness.near`, `[I]` each.
  """
  image_count, faces = table.drawn.shape
  channels = len(table.color)
  is_parallel = style.camera == "orthographic"
  dtype = table.start_x.dtype
  packed = pack(table)

  def body(i, both):
    sums, depths = both
    rows, used, tile, center, far, near = cut_chunk(
      table, packed, bins, softness, grid, i * CHUNK
    )
    f = evaluate(rows, used, center, softness, far, near, style=style)

    def pixel(array):
      return array[tile][:, None]

    seen = f.coverage > 0

    # Rounding may differ between the passes: a face at the cut-off that
    # contributes only in this one may be above the top, and must not overflow.
    behind = jnp.where(seen, less(f.z - pixel(pixels.top), 0), 0)
    w = jnp.exp(behind / softness.gamma)
    w = f.coverage * w / pixel(pixels.total)
    g_color = [pixel(color_gradient[c]) for c in range(channels)]
    pull = sum(
      g_color[c] * (f.color[c] - pixel(pixels.color[c]))
      for c in range(channels)
    )
    pull = jnp.where(seen, w * pull, 0)  # dL/d log w
    g_z = pull / ((near - far)[:, None, None] * softness.gamma)
    below = jnp.sum(g_z * behind, axis=(1, 2))
    g_depth = g_z / jnp.where(seen, f.weight_sum, 1)
    mixed = w / jnp.where(seen, f.color_sum, 1)
    g_color_sum = -mixed * sum(
      g * c for g, c in zip(g_color, f.color, strict=True)
    )
    g_weight_sum = -g_depth * f.depth_sum / jnp.where(seen, f.weight_sum, 1)
    if is_parallel:
      g_depth_sum = g_depth
      g_weight_sum += g_color_sum
    else:
      g_depth_sum = g_depth + g_color_sum
    slope_x = slope_y = jnp.zeros_like(pull)
    for k in range(3):
      g_weight = g_weight_sum + g_depth_sum * at_edge(rows.inverse_depth, k)
      for c in range(channels):
        g_weight += mixed * g_color[c] * at_edge(rows.color[c], k)
      g_weight = jnp.where(f.e[k] > 0, g_weight, 0)
      g_weight = g_weight * at_edge(rows.inverse_height, k)
      slope_x -= g_weight * at_edge(rows.normal_x, k)
      slope_y -= g_weight * at_edge(rows.normal_y, k)

    def over_pixels(g):
      return jnp.sum(g, axis=-1)

    if not style.is_hard:
      g_logit = (1 - f.coverage) * pull
      g_logit += pixel(alpha_gradient * pixels.clear) * f.coverage
      push = -2 * g_logit * f.sign / softness.sigma**2
      shares, off_x, off_y = _nearest_point(f, rows)

    columns = []
    for j in range(3):
      k = (j + 1) % 3  # the edge opposite to corner j
      bary = f.e[k] * at_edge(rows.inverse_height, k)
      pull_x, pull_y = bary * slope_x, bary * slope_y
      if not style.is_hard:
        pull_x = shares[j] * push * off_x + pull_x
        pull_y = shares[j] * push * off_y + pull_y
      columns += [
        over_pixels(pull_x),
        over_pixels(pull_y),
        over_pixels(g_depth_sum * f.weight[k]),
      ]
      columns += [over_pixels(mixed * f.weight[k] * g) for g in g_color]
    new = jnp.stack(columns, axis=-1)
    face = jax.lax.dynamic_slice_in_dim(bins.face, i * CHUNK, CHUNK)
    sums = sums.at[face].add(jnp.where(used[..., None], new, 0))
    place = (i * CHUNK,)
    return sums, jax.lax.dynamic_update_slice(depths, below, place)

  sums = jnp.zeros((image_count * faces, 3 * (3 + channels)), dtype)
  sums, below = jax.lax.fori_loop(
    0, chunk_count(bins), body, (sums, jnp.zeros(bins.tile.shape, dtype))
  )
  g_far, g_near = _range_gradient(
    below, bins, softness, pixels, color_gradient, grid=grid, style=style
  )
  sums = sums.reshape(image_count, faces, 3, 3 + channels)
  g_x, g_y, g_depth, *g_color = jnp.transpose(sums, (3, 2, 0, 1))
  if not is_parallel:
    # The table holds colour times inverse depth.
    depth = jnp.roll(table.inverse_depth, -1, axis=0)
    depth = jnp.where(depth == 0, 1, depth)
    for c, color in enumerate(jnp.roll(table.color, -1, axis=1)):
      g_depth += g_color[c] * (color / depth)
      g_color[c] = g_color[c] * depth
  g_corners = jnp.stack([g_x, g_y, g_depth])
  g_colors = jnp.stack(g_color) if g_color else jnp.zeros_like(table.color)
  return g_corners, g_colors, g_far, g_near


def _range_gradient(
  below, bins, softness, pixels, color_gradient, *, grid, style
):
  """Gradients of far and near `[I]`.

  With G the gradient of a fragment's z, these are `Σ G (z - 1)` and `-Σ G z`.

  Args:
    below: `[blocks]`, `Σ G (z - M)` of each block.
    bins: as in `scatter_gradient`, and so are all others.
    softness: traced numbers.
    pixels: M, S and C.
    color_gradient: that of C.
    grid: of tiles.
    style: how faces are drawn.
  """
  image_count = len(softness.far)
  owner = image_of(bins.tile, image_count, grid)
  # A matrix product, since blocks that add to one image would wait for another.
  is_owner = (owner == jnp.arange(image_count)[:, None]).astype(below.dtype)
  below = jnp.matmul(is_owner, below, precision="highest")
  if style.is_hard:  # no background, so that a pixel's G add up to 0
    return below, -below

  def by_image(field):
    return field[:-1].reshape(image_count, -1)

  top = by_image(pixels.top)
  background = jnp.exp((BACKGROUND_DEPTH - top) / softness.gamma)
  share = background / by_image(pixels.total)
  pull = by_image(jnp.sum(color_gradient * pixels.color, axis=0)) * share
  g = pull / ((softness.near - softness.far)[:, None] * softness.gamma)
  g_far = below + jnp.sum(g * (top - 1), axis=1)
  return g_far, -below - jnp.sum(g * top, axis=1)


def _nearest_point(f: Fragments, rows: FaceTable):
  """The corners' shares in a face's nearest point, and the way from it."""
  # The nearest edge, ties to the first.
  first = (f.square[0] <= f.square[1]) & (f.square[0] <= f.square[2])
  second = ~first & (f.square[1] <= f.square[2])
  nearest = [first, second, ~(first | second)]

  def pick(values):
    later = jnp.where(second, values[1], values[2])
    return jnp.where(first, values[0], later)

  e = pick(f.e)
  s = pick(f.s)
  nx = pick([at_edge(rows.normal_x, k) for k in range(3)])
  ny = pick([at_edge(rows.normal_y, k) for k in range(3)])
  length = pick([at_edge(rows.length, k) for k in range(3)])
  beyond = beyond_ends(s, length)
  share = more(less(s, length), 0) / jnp.where(length > 0, length, 1)
  shares = [
    # Corner j starts edge j and ends edge j - 1.
    jnp.where(nearest[j], 1 - share, jnp.where(nearest[j - 1], share, 0))
    for j in range(3)
  ]
  return shares, e * nx + beyond * ny, e * ny - beyond * nx
