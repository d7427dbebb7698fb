"""The search network: features of a query and of a medium to one heat map.

`B` pairs, `H W` pixels of the medium, `S` pixels of the query's canonical
picture, `C` channels, `K` response maps.

A trunk makes features of strides 4, 8 and 16 of both sides. A `Pair` names a
representation of the query, one of the medium and a kernel size; every pair
gives response maps by correlation. They are resized to one grid, put together
with the medium's features and converted to one map by convolutions.

References:
  US 2018/0260664 [0035-0049, 0059]; claims 1, 12, 14.
"""

import dataclasses
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from dr3d.nn.correlation import correlate_cells, correlate_same

Array = jax.Array
Features = dict[int, Array]  # by stride: [B, H / stride, W / stride, C]

QUERY_SIZES = (128, 64)
"""S of the two canonical pictures of a query: two scales of the object."""

CELL = 16
"""Sides of a medium are multiples of it."""

BEST_CELLS = 3  # of a query whose mean response is a map beside their maximum


@dataclasses.dataclass(frozen=True)
class Pair:
  """One combination of a query's and a medium's representation [0045].

  Attributes:
    size: S of the query's picture.
    stride: of the features on both sides.
    kernel: odd side of the kernel in cells; 0 for all cells of the query, each
      a kernel of its own, of which the best responses are kept.
    shrink: the medium's features are averaged over so many cells, which looks
      for an object so much larger.
  """

  size: int
  stride: int
  kernel: int
  shrink: int = 1


PAIRS = (
  Pair(128, 16, 1),
  Pair(128, 16, 0),
  Pair(64, 16, 3),
  Pair(128, 16, 5),
  Pair(128, 16, 3, shrink=2),
  Pair(128, 8, 1),
  Pair(128, 8, 0),
  Pair(64, 8, 3),
)

SINGLE_SCALE = tuple(pair for pair in PAIRS[:2])


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
  """The network's size.

  Attributes:
    pairs: combinations of representations; at least two.
    channels: C of both representations after their generator.
    groups: groups of channels that give maps of their own, kernels of side 1.
    width: channels of the converter.
    normalized: whether responses are divided by both norms [0042].
  """

  pairs: tuple[Pair, ...] = PAIRS
  channels: int = 64
  groups: int = 8
  width: int = 32
  normalized: bool = True


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class QueryFeatures:
  """A query's features, by S and stride.

  Attributes:
    maps: S to stride to `[B, S / stride, S / stride, C]`.
    masks: S to stride to `[B, S / stride, S / stride]`, the object's share of
      each cell.
  """

  maps: dict[int, Features]
  masks: dict[int, Features]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Output:
  """What the network says of each pair.

  Attributes:
    heat: `[B, H / 4, W / 4]` logits of the fine mask.
    coarse: `[B, H / 16, W / 16]` logits: does the cell show the object.
    box: `[B, H / 8, W / 8, 4]` distances from a cell on the object to the left,
      top, right and bottom of its box, in cells of 16 pixels.
    responses: the K maps before their conversion, as logits
      `[B, H / 8, W / 8, K]`.
  """

  heat: Array
  coarse: Array
  box: Array
  responses: Array


def apply_network(
  config: NetworkConfig, weights: Any, query: QueryFeatures, medium: Features
) -> Output:
  """Runs `SearchNetwork` with its variables."""
  return cast(Output, SearchNetwork(config).apply(weights, query, medium))


class SearchNetwork(nn.Module):
  """Representation heads, search layers and the converter."""

  config: NetworkConfig

  @nn.compact
  def __call__(self, query: QueryFeatures, medium: Features) -> Output:
    """Compares each query with its medium.

    Args:
      query: features of B queries.
      medium: features of B media, strides 4, 8 and 16.
    """
    _, h, w, _ = medium[8].shape
    maps = [
      _resize(response, (h, w)) for response in self.search(query, medium)
    ]
    raw = jnp.concatenate(maps, axis=-1)
    K = raw.shape[-1]
    # A cosine becomes a logit: [0061] trains the search layers' own maps.
    scale = self.param("scale", nn.initializers.constant(4.0), (K,))
    shift = self.param("shift", nn.initializers.constant(-2.0), (K,))
    responses = scale * raw + shift
    heat, coarse, box = Converter(self.config.width, name="converter")(
      responses, medium
    )
    return Output(heat, coarse, box, responses)

  def search(self, query: QueryFeatures, medium: Features) -> list[Array]:
    """Response maps of all pairs, `[B, h, w, K_i]` of different grids."""
    generate = {
      stride: nn.Dense(self.config.channels, name=f"represent_{stride}")
      for stride in sorted({pair.stride for pair in self.config.pairs})
    }
    mine = {stride: head(medium[stride]) for stride, head in generate.items()}
    theirs = {
      size: {
        stride: generate[stride](query.maps[size][stride])
        for stride in generate
      }
      for size in query.maps
    }
    return [
      self.respond(
        pair,
        theirs[pair.size][pair.stride],
        query.masks[pair.size][pair.stride],
        mine[pair.stride],
      )
      for pair in self.config.pairs
    ]

  def respond(
    self, pair: Pair, kernel: Array, mask: Array, medium: Array
  ) -> Array:
    """The maps of one pair [0042-0044].

    Args:
      pair: the pair.
      kernel: `[B, s, s, C]`, the query's representation.
      mask: `[B, s, s]`.
      medium: `[B, h, w, C]`.
    """
    normalized = self.config.normalized
    if not normalized:  # only so that the logits have a usable size
      kernel = kernel / kernel.shape[-1]
    if pair.shrink > 1:
      medium = _shrink(medium, pair.shrink)
    if pair.kernel == 0:
      B, s, _, C = kernel.shape
      cells = correlate_cells(
        kernel.reshape(B, s * s, C), medium, normalized=normalized
      )
      hidden = mask.reshape(B, 1, 1, s * s) < 0.5
      best, _ = jax.lax.top_k(jnp.where(hidden, -1.0, cells), BEST_CELLS)
      return jnp.stack([best[..., 0], best.mean(-1)], axis=-1)
    small, window = pool_kernel(kernel, mask, pair.kernel)
    return correlate_same(
      small,
      medium,
      groups=self.config.groups if pair.kernel == 1 else 1,
      window=window,
      normalized=normalized,
    )


def pool_kernel(kernel: Array, mask: Array, side: int) -> tuple[Array, Array]:
  """Averages a query's representation over the object, per cell of a kernel.

  Args:
    kernel: `[B, s, s, C]`.
    mask: `[B, s, s]`.
    side: of the kernel, at most s.

  Returns:
    The dynamic kernel `[B, side, side, C]` [0037] and the share of the object
    in each of its cells `[B, side, side]`.
  """
  share = mask[..., None]
  shape = (kernel.shape[0], side, side)
  total = jax.image.resize(kernel * share, (*shape, kernel.shape[-1]), "linear")
  window = jax.image.resize(share, (*shape, 1), "linear")
  return total / (window + 1e-3), window[..., 0]


class Converter(nn.Module):
  """The further network of [0047-0048]: response maps to one map."""

  width: int

  @nn.compact
  def __call__(
    self, responses: Array, medium: Features
  ) -> tuple[Array, Array, Array]:
    """Returns heat, coarse and box, see `Output`."""
    h, w = responses.shape[1:3]
    seen = [_resize(medium[16], (h, w)), medium[8]]
    context = [nn.Dense(16)(x) for x in seen]
    x = jnp.concatenate([responses / 4, *context], axis=-1)
    x = nn.relu(nn.Conv(self.width, (3, 3))(x))
    for dilation in (1, 2, 4, 1):
      y = nn.relu(nn.Conv(self.width, (3, 3), kernel_dilation=dilation)(x))
      x = x + nn.Conv(self.width, (1, 1))(y)
    coarse = nn.Dense(1, name="coarse")(_shrink(x, 2))[..., 0]
    box = nn.softplus(nn.Dense(4, name="box")(x))
    # Most of the cost is here: four times as many cells, so fewer channels.
    fine = _resize(nn.Dense(3 * self.width // 4)(x), (2 * h, 2 * w))
    fine = jnp.concatenate([fine, nn.Dense(8)(medium[4])], axis=-1)
    for width in (3 * self.width // 4, self.width // 2):
      fine = nn.relu(nn.Conv(width, (3, 3))(fine))
    heat = nn.Dense(1, name="heat")(fine)[..., 0]
    return heat, coarse, box


def _resize(x: Array, grid: tuple[int, int]) -> Array:
  shape = (x.shape[0], *grid, x.shape[-1])
  return x if x.shape == shape else jax.image.resize(x, shape, "linear")


def _shrink(x: Array, times: int) -> Array:
  """Means of cells of `[B, h, w, C]`; an odd last row or column is repeated."""
  B, h, w, C = x.shape
  x = jnp.pad(
    x, ((0, 0), (0, -h % times), (0, -w % times), (0, 0)), mode="edge"
  )
  cells = (B, x.shape[1] // times, times, x.shape[2] // times, times, C)
  return jnp.mean(x.reshape(cells), axis=(2, 4))
