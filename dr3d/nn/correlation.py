"""Search layers: correlation of a query's kernel with a medium's features.

`B` pairs of a query and a medium, `V U` height and width of a kernel, `H W` of
the medium's features, `C` channels, `G` groups of channels, `K` kernels of one
feature each.

The text of [0060] divides by norms that it takes of the convolved set. [0042]
has the order that gives a cosine, and that is what is here: the product of the
two volumes, divided by the norms of both.

References:
  US 2018/0260664 [0042-0044, 0056-0060].
"""

import jax
import jax.numpy as jnp

Array = jax.Array

EPSILON = 1e-6  # added to a product of norms


def correlate(
  kernel: Array,
  medium: Array,
  *,
  groups: int = 1,
  window: Array | None = None,
  normalized: bool = True,
) -> Array:
  """Compares each kernel with all windows of its medium that hold it.

  A sum of shifted products, because the equal grouped convolution takes tens of
  times as long on a CPU, above all in its gradient.

  Args:
    kernel: `[B, V, U, C]`, one for each medium.
    medium: `[B, H, W, C]`.
    groups: each G-th part of the channels gives a response of its own.
    window: `[B, V, U]` weights of the kernel's cells in products and norms,
      such as the mask of the object in the query; None for 1.
    normalized: whether to divide by the norms of both volumes [0042].

  Returns:
    `[B, H - V + 1, W - U + 1, G]`; within [-1, 1] if normalised.

  Raises:
    ValueError: shapes do not fit.

  Example:
    >>> import jax
    >>> x = jax.random.normal(jax.random.key(0), (1, 6, 7, 4))
    >>> response = correlate(x[:, 2:5, 1:4], x)
    >>> response.shape, round(float(response[0, 2, 1, 0]), 3)
    ((1, 4, 5, 1), 1.0)
  """
  B, V, U, C = kernel.shape
  _check(kernel, medium, groups)
  H, W = medium.shape[1] - V + 1, medium.shape[2] - U + 1
  split = (groups, C // groups)
  weight = jnp.ones((B, V, U)) if window is None else window
  product = energy = jnp.zeros((B, H, W, groups), medium.dtype)
  for v in range(V):
    for u in range(U):
      shifted = medium[:, v : v + H, u : u + W].reshape(B, H, W, *split)
      cell = kernel[:, v, u].reshape(B, *split)
      share = weight[:, v, u, None, None, None]
      product += share * jnp.einsum("bhwgc,bgc->bhwg", shifted, cell)
      if normalized:
        energy += share * jnp.sum(shifted**2, axis=-1)
  if not normalized:
    return product
  own = jnp.sum(
    weight[..., None, None] * kernel.reshape(B, V, U, *split) ** 2,
    axis=(1, 2, 4),
  )
  # One root of both: its gradient is finite where a volume is 0.
  norms = jnp.sqrt(energy * own[:, None, None] + EPSILON**2)
  return product / norms


def correlate_same(
  kernel: Array,
  medium: Array,
  *,
  groups: int = 1,
  window: Array | None = None,
  normalized: bool = True,
) -> Array:
  """As `correlate`, with zeros around the medium so that its size stays.

  Args:
    kernel: `[B, V, U, C]`, V and U odd.
    medium: `[B, H, W, C]`.
    groups: see `correlate`.
    window: see `correlate`.
    normalized: see `correlate`.

  Returns:
    `[B, H, W, G]`; the response at a cell is that of the window around it.

  Raises:
    ValueError: a side of the kernel is even, or shapes do not fit.
  """
  V, U = kernel.shape[1:3]
  if not V % 2 or not U % 2:
    raise ValueError(f"the kernel's sides must be odd, got {V} and {U}.")
  pad = ((0, 0), (V // 2, V // 2), (U // 2, U // 2), (0, 0))
  return correlate(
    kernel,
    jnp.pad(medium, pad),
    groups=groups,
    window=window,
    normalized=normalized,
  )


def correlate_cells(
  cells: Array, medium: Array, *, normalized: bool = True
) -> Array:
  """Compares every cell of a query with every cell of its medium.

  K kernels of 1 by 1 for each medium. It finds parts of an object in any
  arrangement, as after a turn or behind something else.

  Args:
    cells: `[B, K, C]`.
    medium: `[B, H, W, C]`.
    normalized: whether to divide by both norms.

  Returns:
    `[B, H, W, K]`.
  """
  product = jnp.einsum("bhwc,bkc->bhwk", medium, cells)
  if not normalized:
    return product
  own = jnp.sum(cells**2, axis=-1)[:, None, None]
  energy = jnp.sum(medium**2, axis=-1, keepdims=True)
  return product / jnp.sqrt(energy * own + EPSILON**2)


def correlate_grouped(kernel: Array, medium: Array) -> Array:
  """The grouped convolution of [0056-0059], equal to `correlate` unnormalised.

  All pairs become channels of one picture with B groups. For comparison: it is
  slow on a CPU.

  Args:
    kernel: `[B, V, U, C]`.
    medium: `[B, H, W, C]`.

  Returns:
    `[B, H - V + 1, W - U + 1, 1]`.
  """
  B, V, U, C = kernel.shape
  H, W = medium.shape[1:3]
  picture = jnp.moveaxis(medium, 0, 2).reshape(1, H, W, B * C)
  kernels = jnp.moveaxis(kernel, 0, 3).reshape(V, U, C, B)
  response = jax.lax.conv_general_dilated(
    picture,
    kernels,
    window_strides=(1, 1),
    padding="VALID",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=B,
  )
  return jnp.moveaxis(response, 3, 0).reshape(B, H - V + 1, W - U + 1, 1)


def _check(kernel: Array, medium: Array, groups: int) -> None:
  fits = (
    medium.ndim == 4
    and kernel.shape[0] == medium.shape[0]
    and kernel.shape[3] == medium.shape[3]
    and kernel.shape[1] <= medium.shape[1]
    and kernel.shape[2] <= medium.shape[2]
  )
  if not fits:
    raise ValueError(
      "kernel [B, V, U, C] must fit in medium [B, H, W, C], got"
      f" {kernel.shape} and {medium.shape}."
    )
  if groups < 1 or kernel.shape[3] % groups:
    raise ValueError(
      f"groups must divide {kernel.shape[3]} channels, got {groups}."
    )
